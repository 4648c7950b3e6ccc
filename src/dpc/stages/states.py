"""Backbones and their states between artefacts and modules."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpc.artifacts import Artifact
from dpc.backbones import resolve
from dpc.backbones.base import Backbone
from dpc.clip.model import Clip
from dpc.errors import DpcError
from dpc.params.sections import Params


def new_backbone(params: Params, name: str, clip: Clip, seed: int) -> Backbone:
    """A backbone at its start; its random tensors are a function of ``seed``."""
    kind: Any = resolve(name)
    block = kind.Params(**params.backbones[name])
    return kind.from_clip(clip, block, torch.Generator().manual_seed(seed))


def saved_backbone(params: Params, name: str, clip: Clip, artifact: Artifact) -> Backbone:
    """A backbone as an artefact holds it.

    Raises:
        DpcError: the artefact holds other tensors than the backbone has.
    """
    backbone = new_backbone(params, name, clip, seed=0)
    state = tensors(artifact)
    expected = backbone.state_dict()
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in state.items()}:
        raise DpcError(
            f"{name}: the artefact holds {_shapes(state)}, {_shapes(expected)} is expected; "
            "tune it again"
        )
    backbone.load_state_dict(state)
    return backbone.to(clip.device)


def tensors(artifact: Artifact, prefix: str = "") -> dict[str, Tensor]:
    """The artefact's tensors whose names begin with ``prefix``, which is taken off."""
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(value))
        for name, value in artifact.tensors.items()
        if name.startswith(prefix)
    }


def arrays(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """A state as arrays on the CPU."""
    return {name: value.detach().cpu().numpy() for name, value in state.items()}


def _shapes(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(state.items()))
