"""Backbones and their states between artefacts and modules."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpc.artifacts import Artifact
from dpc.backbones import resolve
from dpc.backbones.base import Backbone, Teacher
from dpc.clip.model import Clip
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages.frozen import clip_for, teacher_clip_for
from dpc.stages.negatives import RECORD


def new_backbone(
    params: Params, name: str, clip: Clip, seed: int, teacher: Teacher | None = None
) -> Backbone:
    """A backbone at its start; its random tensors are a function of ``seed``.

    ``teacher``: for a backbone that needs one.
    """
    return _start(name, params.backbones[name], clip, seed, teacher)


def new_teacher(params: Params, clip: Clip, seed: int) -> Backbone:
    """The teacher's prompt learner at its start, on the teacher's ``clip``."""
    return _start(params.teacher.backbone, params.teacher_block(), clip, seed, None)


def _start(
    name: str, block: Mapping[str, Any], clip: Clip, seed: int, teacher: Teacher | None
) -> Backbone:
    kind: Any = resolve(name, block)
    values = kind.Params(**{key: value for key, value in block.items() if key != "class"})
    generator = torch.Generator().manual_seed(seed)
    if not kind.needs_teacher:
        return kind.from_clip(clip, values, generator)
    if teacher is None:
        raise DpcError(f"backbone {name} learns from a teacher: run `dpc teacher` first")
    return kind.from_teacher(clip, teacher, values, generator)


def saved_backbone(
    params: Params, name: str, clip: Clip, artifact: Artifact, teacher: Teacher | None = None
) -> Backbone:
    """A backbone as an artefact holds it.

    Raises:
        DpcError: the artefact holds other tensors than the backbone has.
    """
    return restored(new_backbone(params, name, clip, 0, teacher), artifact, name).to(clip.device)


def restored(backbone: Backbone, artifact: Artifact, name: str) -> Backbone:
    """``backbone`` with the tensors of an artefact; DpcError if those are others than it has."""
    found = tensors(artifact)
    state = {key: value for key, value in found.items() if not key.startswith(RECORD)}
    expected = backbone.state_dict()
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in state.items()}:
        raise DpcError(
            f"{name}: the artefact holds {_shapes(state)}, {_shapes(expected)} is expected; "
            "tune it again"
        )
    backbone.load_state_dict(state)
    return backbone


def teacher_of(params: Params, artifact: Artifact | None, classes: slice) -> Teacher | None:
    """The teacher for some of the data set's classes (base ones first, then new ones).

    Args:
        artifact: what ``dpc teacher`` made of the data set; None: there is no teacher.
    """
    if artifact is None:
        return None
    found = tensors(artifact, "text.")
    prompts = tensors(artifact, "text.prompts.")
    device = clip_for(params).device
    return Teacher(
        text_features=found["features"][classes].to(device),
        logit_scale=found["logit_scale"].to(device),
        text_prompts=tuple(prompts[str(layer)].to(device) for layer in range(len(prompts))),
        tokens=found["tokens"][classes],
        load=lambda: teacher_clip_for(params),
    )


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
