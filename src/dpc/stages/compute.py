"""What the computing stages share: torch set up alike everywhere, and the CLIP loaded once."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.backbones import resolve
from dpc.backbones.base import Backbone
from dpc.backbones.tuning import Progress
from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec
from dpc.datasets.views import InputFormat
from dpc.errors import DpcError
from dpc.files import write_atomically
from dpc.params.sections import Params
from dpc.stages.slices import clip_spec

CHECKPOINTS = Path(".cache/checkpoints")
CHECKPOINT_SECONDS = 15.0


def clip_for(params: Params) -> Clip:
    """The frozen CLIP of an experiment; loaded once a process, torch made deterministic first.

    Raises:
        DpcError: weights that are missing, truncated or of another shape.
    """
    return _load(clip_spec(params), params.run.threads)


@cache
def _load(spec: ClipSpec, threads: int) -> Clip:
    from dpc.clip.load import load

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    return load(spec)


def input_format(clip: Clip) -> InputFormat:
    """How images must look for a CLIP."""
    mean, std = tuple(clip.mean), tuple(clip.std)
    return InputFormat(clip.image_size, mean, std, clip.interpolation)  # type: ignore[arg-type]


def new_backbone(params: Params, name: str, clip: Clip, seed: int) -> Backbone:
    """A backbone at its start; its random tensors are a function of ``seed``."""
    kind = resolve(name)
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


class Checkpoint:
    """Progress of one training, kept by the key of its work until that is done.

    It lies neither among the outputs nor among the inputs, since both engines delete a stage's
    outputs before they run it.
    """

    def __init__(self, key: str, clock: Callable[[], float]):
        self.path = CHECKPOINTS / f"{key}.safetensors"
        self._clock = clock
        self._last = clock()

    def load(self) -> Progress | None:
        """Where an interrupted run stopped; a damaged file is as good as none."""
        try:
            saved = artifacts.read(self.path)
        except DpcError:
            return None
        return Progress(
            epoch=saved.results["epoch"],
            tensors=tensors(saved, "state/"),
            momentum=tensors(saved, "momentum/"),
            history=dict(saved.results["history"]),
        )

    def save(self, progress: Progress) -> None:
        """Keep ``progress``, at most every few seconds."""
        now = self._clock()
        if now - self._last < CHECKPOINT_SECONDS:
            return
        self._last = now
        state = {f"state/{name}": value for name, value in progress.tensors.items()}
        state |= {f"momentum/{name}": value for name, value in progress.momentum.items()}
        results = {"epoch": progress.epoch, "history": progress.history}
        write_atomically(self.path, artifacts.encode(Artifact(arrays(state), results)))

    def done(self) -> None:
        """The work is finished: forget it."""
        self.path.unlink(missing_ok=True)


def _shapes(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(state.items()))
