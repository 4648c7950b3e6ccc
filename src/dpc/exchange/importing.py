"""Prompts out of checkpoints of the released code: found, named as ours, and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dpc.artifacts import Artifact
from dpc.errors import DpcError
from dpc.exchange.checkpoint import Checkpoint, read_checkpoint
from dpc.exchange.layouts import Names, layout_of, plain_names, sort_names
from dpc.exchange.sentences import Marks, marks_of

EPOCH = re.compile(r"model\.pth\.tar-(\d+)")
BEST = "model-best.pth.tar"
COUNTER = "num_batches_tracked"  # of a batch norm: the one whole number among learned tensors


@dataclass(frozen=True)
class Foreign:
    """Prompts of a checkpoint.

    Attributes:
        checkpoint: where they come from.
        backbone: whose they are.
        names: its layout.
        tensors: by our names; floating ones in fp32.
        stored: of each, its official name, and its type and shape in the file.
        sentences: marks of the sentences that they were tuned in, if the file keeps these.
    """

    checkpoint: Checkpoint
    backbone: str
    names: Names
    tensors: dict[str, Tensor]
    stored: dict[str, dict[str, Any]]
    sentences: Marks | None


def checkpoint_file(path: Path) -> Path:
    """The file itself, or the last epoch of a folder of Dassl, by its number.

    Raises:
        DpcError: a folder without numbered checkpoints, or with several models' ones.
    """
    if not path.is_dir():
        return path
    found = [file for file in (*path.glob("model*"), *path.glob("*/model*")) if file.is_file()]
    epochs = {file: int(m[1]) for file in found if (m := EPOCH.fullmatch(file.name))}
    folders = sorted({str(file.parent) for file in epochs})
    if len(folders) > 1:
        raise DpcError(f"{path} holds checkpoints in {' and '.join(folders)}; name one of them")
    if epochs:
        return max(epochs, key=epochs.__getitem__)
    best = next((str(file) for file in sorted(found) if file.name == BEST), None)
    raise DpcError(
        f"{path} holds no model.pth.tar-N, neither itself nor in a folder of it"
        + (f"; {best} was chosen on test images: name it if you want that one" if best else "")
    )


def read_foreign(path: Path, known: Mapping[str, Names], backbone: str | None = None) -> Foreign:
    """The prompts of a checkpoint, or of the last one in a folder.

    Args:
        path: file or folder.
        known: layouts by backbone.
        backbone: whose prompts they are; None: the names tell.

    Raises:
        DpcError: no checkpoint, of no known layout, or with prompts that cannot be taken.
    """
    checkpoint = read_checkpoint(checkpoint_file(path))
    state = plain_names(checkpoint.state)
    place = str(checkpoint.path)
    name, names = layout_of(known, state, place, backbone)
    learned = sort_names(names, state).learned
    stored = {
        ours: {
            "name": official,
            "dtype": str(state[official].dtype).removeprefix("torch."),
            "shape": list(state[official].shape),
        }
        for ours, official in sorted(learned.items())
    }
    for ours, official in learned.items():
        _check_kind(state[official], ours, f"{place}: {official}", ours in names.contexts)
    tensors = {ours: _plain(state[official]) for ours, official in sorted(learned.items())}
    for ours, value in tensors.items():
        if not torch.isfinite(value).all():
            raise DpcError(f"{place}: {learned[ours]} holds values that are not finite")
    contexts = [] if names.from_teacher else [tensors[c] for c in names.contexts if c in tensors]
    sentences = marks_of(state, contexts[0].shape[1]) if contexts else None
    return Foreign(checkpoint, name, names, tensors, stored, sentences)


def _check_kind(value: Tensor, ours: str, where: str, context: bool) -> None:
    """Refuse what no prompt learner learns; ``context``: it goes into the text tower's input."""
    if context and value.ndim == 3:
        raise DpcError(
            f"{where} is {_shape(value)}, a context of its own for each class; one that all "
            "classes share (tokens, width) is expected"
        )
    if context and value.ndim != 2:
        raise DpcError(f"{where} is {_shape(value)}; a context (tokens, width) is expected")
    counts = ours.endswith(COUNTER)
    if value.ndim == 0 and not counts:
        raise DpcError(f"{where} is a single number; a tensor of prompts is expected")
    if value.is_complex() or not (value.is_floating_point() or counts):
        raise DpcError(f"{where} is of {value.dtype}; floating-point numbers are expected")


def _plain(value: Tensor) -> Tensor:
    """fp32 of half precision, which is exact; the matrix of a 1×1 convolution (out, in, 1, 1)."""
    value = value.flatten(1) if value.ndim == 4 and value.shape[2:] == (1, 1) else value
    return value.detach().float() if value.is_floating_point() else value.detach()


def unmixed(stored: Foreign, tuned: Foreign, weight: float) -> dict[str, Tensor]:
    """P' = (S − (1−ω)·P) / ω of the tensors that released DPC means to store as a mix.

    Computed in double precision. As it really runs, the released code stores P' itself: its P
    shares memory with S and moves along.

    Args:
        stored: S; other tensors of it stay as they are.
        tuned: P, of the same names.
        weight: ω, above 0.

    Raises:
        DpcError: a backbone of which no mix is stored, or a P that lacks a tensor or has another
            shape.
    """
    if not stored.names.mixed:
        raise DpcError(
            f"no released code stores a mix of {stored.backbone} prompts; leave --stored away"
        )
    found = dict(stored.tensors)
    for name in stored.names.mixed:
        if name not in found:
            raise DpcError(
                f"{stored.checkpoint.path} holds no {name}, the tensor of {stored.backbone} that "
                "is stored as a mix; is it a checkpoint of DPC?"
            )
        prompt = tuned.tensors.get(name)
        if prompt is None or prompt.shape != found[name].shape:
            raise DpcError(
                f"{tuned.checkpoint.path}: {name} {_difference(prompt, found[name])} to take "
                f"{stored.checkpoint.path} apart"
            )
        mixed, kept = found[name].double(), prompt.double()
        found[name] = ((mixed - (1 - weight) * kept) / weight).float()
    return found


def artifact_of(
    found: Foreign, cell: Mapping[str, Any], mixed_with: Foreign | None, weight: float | None
) -> Artifact:
    """The prompts as an artefact that says where they come from.

    Args:
        found: the checkpoint's.
        cell: backbone, dataset, shots, seed and stage that they are for.
        mixed_with: P, where the checkpoint holds a mix with it by ``weight``.
    """
    tensors = found.tensors
    if mixed_with is not None and weight is not None:
        tensors = unmixed(found, mixed_with, weight)
    results = {
        "cell": dict(cell),
        "layout": found.backbone,
        "epoch": found.checkpoint.epoch,
        "source": found.checkpoint.sha256,
        "mixed_with": None if mixed_with is None else mixed_with.checkpoint.sha256,
        "weight": weight,
        "tensors": found.stored,
        "sentences": found.sentences,
    }
    arrays = {name: value.contiguous().numpy() for name, value in tensors.items()}
    return Artifact(arrays, results, {"stage": "import"})


def fit(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    names: Names,
    block: Mapping[str, Any],
    place: str,
    key: str,
) -> None:
    """Refuse prompts of another size than the parameters ask for.

    Args:
        found: prompts by our names.
        expected: the backbone's own state.
        names: its layout.
        block: its block of the parameters.
        place: the file.
        key: where the block stands: ``backbones.coop``.

    Raises:
        DpcError: the first tensor that is missing, too many or of another shape, with the
            parameters to set; or one of whole numbers where fractions are expected, or the
            reverse.
    """
    for name in sorted({*found, *expected}):
        have, want = found.get(name), expected.get(name)
        if have is not None and want is not None and have.shape == want.shape:
            if have.is_floating_point() != want.is_floating_point():
                raise DpcError(f"{place}: {name} is of {have.dtype}, {want.dtype} is expected")
            continue
        width_alone = have is not None and want is not None and have.shape[:1] == want.shape[:1]
        said = [
            f"{key}.{setting}={'null' if value is None else value}"
            for setting, value in names.settings(found).items()
            if block.get(setting) != value and not width_alone
        ]
        remedy = f"set {' '.join(said)}" if said else "it is of another clip.model (or teacher's)"
        raise DpcError(f"{place}: {name} {_difference(have, want)}; {remedy}")


def _difference(have: Tensor | None, want: Tensor | None) -> str:
    if have is None or want is None:
        return f"{_shape(want)} is missing" if have is None else f"{_shape(have)} is one too many"
    return f"is {_shape(have)}, {_shape(want)} is expected"


def _shape(value: Tensor | None) -> str:
    return "none" if value is None else str(tuple(value.shape))
