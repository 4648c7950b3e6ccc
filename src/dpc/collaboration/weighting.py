"""Weighting-Decoupling (DPC, CVPR 2025): one prompt for each task, out of two.

    mixed = weight · parallel + (1 − weight) · tuned

Arithmetic on state_dicts: it fits every backbone and knows none by name.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from dpc.backbones.base import Backbone

State = Mapping[str, Tensor]


def mix(tuned: State, parallel: State, weight: float) -> dict[str, Tensor]:
    """Prompts for one task: weight 0 is ``tuned`` and 1 is ``parallel``, to the bit.

    A weight above 1 extrapolates: params.yaml keeps ω in [0, 1], the analysis walks beyond.

    Raises:
        ValueError: the two states do not fit together.
    """
    _check(tuned, parallel)
    return {name: _lerp(name, tuned[name], parallel[name], weight) for name in tuned}


def unmix(mixed: State, tuned: State, weight: float) -> dict[str, Tensor]:
    """The parallel prompt that ``mixed`` was made from: (mixed − (1 − weight) · tuned) / weight.

    Raises:
        ValueError: the states do not fit together, or weight 0, where nothing of it is left.
    """
    if weight == 0:
        raise ValueError("a mix with weight 0 holds nothing of the parallel prompt")
    _check(tuned, mixed)
    return {
        name: (value - (1 - weight) * tuned[name]) / weight
        if value.is_floating_point()
        else _lerp(name, tuned[name], value, 1.0)
        for name, value in mixed.items()
    }


def mixed_backbone(tuned: Backbone, parallel: Backbone, weight: float) -> Backbone:
    """A frozen backbone that carries the mix; neither argument changes."""
    result = copy.deepcopy(tuned)
    result.load_state_dict(mix(tuned.state_dict(), parallel.state_dict(), weight))
    return result.eval().requires_grad_(False)


def _check(a: State, b: State) -> None:
    if a.keys() != b.keys():
        raise ValueError(f"only one state has {sorted(a.keys() ^ b.keys())}")
    for name, value in a.items():
        if value.shape != b[name].shape:
            shapes = f"{tuple(value.shape)} and {tuple(b[name].shape)}"
            raise ValueError(f"{name}: shapes {shapes} differ")


def _lerp(name: str, a: Tensor, b: Tensor, weight: float) -> Tensor:
    if a.is_floating_point():
        return torch.lerp(a, b, weight)
    if torch.equal(a, b):  # a counter, as BatchNorm keeps: equal in both, or not mixable
        return a.clone()
    raise ValueError(f"{name}: two different {a.dtype} tensors have no mix")
