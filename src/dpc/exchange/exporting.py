"""A tuned classifier as files that other programs read: prompts, class embeddings, onnx, a card."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dpc.artifacts import canonical
from dpc.backbones.base import Backbone
from dpc.clip.model import Clip
from dpc.errors import DpcError
from dpc.exchange import onnx_file
from dpc.exchange.card import card
from dpc.files import full_disk_is_one_line

PROMPTS, CLASSES = "prompts.safetensors", "classes.safetensors"
NPZ, ONNX, CARD = "classes.npz", "classifier.onnx", "README.md"
FILES = {"safetensors": (PROMPTS, CLASSES), "npz": (NPZ,), "onnx": (ONNX,)}


@dataclass(frozen=True)
class Part:
    """Classes that one mix of P and P' tells apart.

    Attributes:
        prompt: "tuned", "mixed.base" or "mixed.new": what its tensors are called in the files.
        backbone: the mix.
        features: (C, d) text features of the classes, not normalised.
        classnames: C names.
    """

    prompt: str
    backbone: Backbone
    features: Tensor
    classnames: Sequence[str]


@dataclass(frozen=True)
class Exported:
    """A classifier on its way out.

    Attributes:
        parts: the classes; logits are in their order.
        states: the tensors of "tuned" (P) and, with DPC, "parallel" (P').
        logit_scale: a scalar.
        facts: what it is and how it came about, JSON values: metadata of every file.
        row: of the table, if it was tested.
        tower: the CLIP on the CPU in fp32, for onnx.
    """

    parts: Sequence[Part]
    states: Mapping[str, Mapping[str, Tensor]]
    logit_scale: Tensor
    facts: Mapping[str, Any]
    row: Mapping[str, Any] | None
    tower: Callable[[], Clip]


def files(exported: Exported, formats: Sequence[str]) -> dict[str, bytes]:
    """Every file by its name; equal classifiers give equal bytes.

    Raises:
        DpcError: no onnx file can be written of this CLIP.
    """
    classes = {
        "classnames": [name for part in exported.parts for name in part.classnames],
        "class_prompts": [part.prompt for part in exported.parts for _ in part.classnames],
    }
    facts = {**exported.facts, **classes}
    makers: dict[str, Callable[[], bytes]] = {
        PROMPTS: partial(_safetensors, _prompts(exported), facts),
        CLASSES: partial(_safetensors, _embeddings(exported), facts),
        NPZ: partial(_npz, exported, classes),
        ONNX: partial(_onnx, exported, facts),
    }
    names = [name for chosen in formats for name in FILES[chosen]]
    made = {name: makers[name]() for name in names}
    return made | {CARD: card(facts, exported.row, names).encode()}


def check_folder(folder: Path, force: bool) -> None:
    """Refuse to write over what is there; with ``force``, over all but an earlier export.

    Raises:
        DpcError: the folder exists and is not to be replaced.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise DpcError(f"--out {folder} is no folder; name another")
    known = {CARD, *(name for names in FILES.values() for name in names)}
    there = sorted(path.name for path in folder.iterdir())
    if others := [name for name in there if name not in known]:
        raise DpcError(
            f"--out {folder} holds {others[0]}, which no export wrote; name another folder"
        )
    if there and not force:
        raise DpcError(f"--out {folder} exists; --force replaces it")


def write_folder(folder: Path, content: Mapping[str, bytes], force: bool) -> None:
    """Write all files of ``folder``, or none: a temporary sibling takes its name at the end.

    Raises:
        DpcError: as `check_folder`, or the disk is full or not writable.
    """
    check_folder(folder, force)
    with full_disk_is_one_line(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            new, old = made / "new", made / "old"
            new.mkdir()
            for name, each in content.items():
                (new / name).write_bytes(each)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            shutil.rmtree(made)


def _prompts(exported: Exported) -> dict[str, np.ndarray]:
    states = dict(exported.states)
    states |= {part.prompt: part.backbone.state_dict() for part in exported.parts}
    return {
        f"{prompt}.{name}": value.cpu().numpy()
        for prompt, state in states.items()
        for name, value in state.items()
    }


def _embeddings(exported: Exported) -> dict[str, np.ndarray]:
    features = torch.cat([part.features for part in exported.parts])
    return {
        "embeddings": F.normalize(features, dim=-1).cpu().numpy(),
        "logit_scale": exported.logit_scale.cpu().numpy(),
    }


def _safetensors(tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> bytes:
    from safetensors.numpy import save

    # One entry: the library writes several in no fixed order.
    whole = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    return save(whole, {"dpc": canonical(facts)})


def _npz(exported: Exported, classes: Mapping[str, Sequence[str]]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**_embeddings(exported)}
    arrays |= {name: np.array(values, dtype=np.str_) for name, values in classes.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _onnx(exported: Exported, facts: Mapping[str, Any]) -> bytes:
    parts = [(part.backbone, F.normalize(part.features, dim=-1)) for part in exported.parts]
    properties = {
        "classnames": json.dumps(facts["classnames"], ensure_ascii=False),
        "preparation": (
            "RGB; the shorter side resized to size (resize_mode shortest) or both (squash), the "
            "central square cropped, divided by 255, mean subtracted, divided by std; "
            "(batch, 3, size, size) float32"
        ),
        "dpc": canonical(facts),
    }
    for name, value in facts["images"].items():
        properties[name] = value if isinstance(value, str) else json.dumps(value)
    return onnx_file.encode(onnx_file.Classifier(exported.tower(), parts), properties)
