"""Weight files: read without running anything in them, and checked tensor by tensor."""

import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import open_clip
import torch
from open_clip.pretrained import get_pretrained_url
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dpc.errors import DpcError
from dpc.files import sha256

VOCABULARY = 49408  # of CLIP's own tokenizer
# What OpenAI's archives hold beside the weights.
OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")


def read_weights(path: Path, archive: bool = False) -> dict[str, Tensor]:
    """All tensors of a weights file, by name.

    ``.safetensors`` holds nothing but tensors; every other file must load as plain tensors.

    Args:
        path: the file.
        archive: it is one of OpenAI's TorchScript archives, as `openai_models` found by
            its published SHA-256; nothing else may be opened so, since opening it runs code.

    Raises:
        DpcError: the file is damaged, of another kind, or not safe to open.
    """
    if path.suffix == ".safetensors":
        return _expand_token_rows(_read_safetensors(path), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch comments on the format; the result says it all
        return _read_archive(path) if archive else _read_plain_pickle(path)


def openai_models(path: Path) -> list[str]:
    """Names of the models whose published OpenAI file this is, by SHA-256; none for any other.

    The file is hashed here and now: what a remembered hash says must never open an archive.
    """
    if path.suffix == ".safetensors":
        return []
    found = sha256(path)
    names = open_clip.list_pretrained_models_by_tag("openai")
    return [name for name in names if f"/{found}/" in get_pretrained_url(name, "openai")]


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``state`` into ``model``; every tensor must be there in its shape, and no other.

    Raises:
        DpcError: names the file, the first tensor that does not fit, and both shapes.
    """
    expected = model.state_dict()
    state = _custom_names(state, expected)
    for name, tensor in expected.items():
        if name not in state:
            raise DpcError(
                f"{path}: tensor {name!r} is missing, expected shape {tuple(tensor.shape)}; "
                "is it the file of another model?"
            )
        if state[name].numel() == tensor.numel() == 1:
            continue  # logit_scale is a scalar in some files and one element long in others
        if state[name].shape != tensor.shape:
            raise DpcError(
                f"{path}: tensor {name!r} has shape {tuple(state[name].shape)}, expected "
                f"{tuple(tensor.shape)}; is it the file of another model?"
            )
    extra = sorted(state.keys() - expected.keys())
    if extra:
        raise DpcError(f"{path}: tensor {extra[0]!r} has no place in {type(model).__name__}")
    model.load_state_dict(
        {name: value.reshape(expected[name].shape) for name, value in state.items()}
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as problem:
        detail = _first_cut_tensor(path) or str(problem).splitlines()[0]
        raise DpcError(f"{path}: not a whole safetensors file: {detail}; fetch it again") from None


def _first_cut_tensor(path: Path) -> str | None:
    """Which tensor a truncated safetensors file breaks off in, in words."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            return f"{size} bytes, the header alone needs more"
        header_size = struct.unpack("<Q", prefix)[0]
        if header_size > size - 8:
            return f"{size} bytes, the header says {header_size} for itself"
        try:
            header = json.loads(stream.read(header_size))
        except ValueError:
            return None
    available = size - 8 - header_size
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if end > available:
            return (
                f"it ends inside tensor {name!r}, expected shape {tuple(entry['shape'])} "
                f"({end - begin} bytes), found {max(available - begin, 0)} bytes"
            )
    return None


def _expand_token_rows(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The whole token embedding out of ``token_rows`` (R,) and ``token_embedding_rows`` (R, d_t).

    A file that serves a known vocabulary keeps the rows it needs; all others are zero.
    """
    if "token_rows" not in state:
        return state
    rows, values = state.pop("token_rows"), state.pop("token_embedding_rows", torch.zeros(0, 0))
    if rows.ndim != 1 or len(rows) != len(values) or not 0 <= rows.min() <= rows.max() < VOCABULARY:
        raise DpcError(
            f"{path}: tensor 'token_rows' is expected as ids below {VOCABULARY}, one for each row "
            f"of 'token_embedding_rows', found shapes {tuple(rows.shape)}, {tuple(values.shape)}"
        )
    table = torch.zeros(VOCABULARY, values.shape[1], dtype=values.dtype)
    table[rows.long()] = values
    return {**state, "token_embedding.weight": table}


def _read_archive(path: Path) -> dict[str, Tensor]:
    state = torch.jit.load(str(path), map_location="cpu").state_dict()
    return {name: value for name, value in state.items() if name not in OPENAI_EXTRAS}


def _read_plain_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as problem:
        raise DpcError(
            f"{path}: not a file of plain tensors ({type(problem).__name__}), and its SHA-256 is "
            "not one of OpenAI's; it is not opened, convert it to .safetensors where you trust it"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(torch.is_tensor(v) for v in content.values()):
        raise DpcError(f"{path}: expected a dict of tensors, or one under 'state_dict'")
    return {name.removeprefix("module."): value for name, value in content.items()}


def _custom_names(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names, with the text tower under ``text.`` where the model keeps it there."""
    if "text.positional_embedding" not in expected or "positional_embedding" not in state:
        return dict(state)
    outside = ("visual.", "logit_scale", "logit_bias")
    return {
        name if name.startswith(outside) else f"text.{name}": value for name, value in state.items()
    }
