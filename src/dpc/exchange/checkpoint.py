"""Checkpoints of Dassl and torch.save, read without running anything that they hold.

A checkpoint is a pickle, and a pickle may call any function by name. What it names is listed first,
without reading it; torch's restricted reader builds the tensors; objects of optimizers and
schedulers become empty shells; any other name refuses the file.
"""

import pickle
import pickletools
import re
import reprlib
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from dpc.errors import DpcError
from dpc.files import sha256

EXPECTED = (
    "model.pth.tar-N of Dassl is expected, or another torch.save of a state_dict or of "
    "{'state_dict': …}"
)
BROKEN = "is cut off, damaged or no checkpoint of torch.save"
# torch's own mark of files from before its zip format, and the pickles that such a file begins with
MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PICKLES = 5
# From this protocol on, names are put together while they are read and cannot be listed before.
UNLISTED_PROTOCOL = 4
SHOWN, LONGEST = 6, 120
# Of what tensors are made; torch's reader has functions of its own for these names.
TENSOR = re.compile(
    r"torch\.((cuda\.)?\w+(Storage|Tensor)|Size|Tensor|device|b?float\d+|u?int\d+|bool"
    r"|_utils\._rebuild_(tensor(_v2)?|parameter(_with_state)?)|nn\.parameter\.Parameter"
    r"|storage\.(Typed|Untyped)Storage)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode"
)
# Of what an optimizer or a scheduler is made, and numbers out of numpy. None of it is wanted.
SHELL = re.compile(
    r"(torch|dassl)\.optim\.[\w.]+|numpy(\._?core)?\.(multiarray\.scalar|dtype|dtypes\.\w+)"
)
MAPPING = re.compile(r"builtins\.dict|collections\.defaultdict")
# All that a pickle of nonsense makes torch's reader raise.
UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Checkpoint:
    """What is wanted of a checkpoint.

    Attributes:
        path: where it was read.
        state: every tensor by its name, on the CPU, in the precision it is stored in.
        epoch: the epoch that it says, if it does.
        sha256: of the file.
    """

    path: Path
    state: Mapping[str, Tensor]
    epoch: int | None
    sha256: str


class Shell:
    """Stands where a checkpoint asks for an object: takes what it is given and keeps nothing."""

    def __new__(cls, *_: Any) -> "Shell":
        return super().__new__(cls)

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a checkpoint; nothing that it pickles is called.

    Raises:
        DpcError: missing, empty, cut off, no checkpoint, without a state_dict, or naming a function
            or class that no checkpoint needs.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise DpcError(f"{path} is missing; {EXPECTED}") from None
    except OSError as problem:
        raise DpcError(f"{path} cannot be read ({problem.strerror or problem})") from None
    except UNREADABLE:
        raise DpcError(f"{path} {BROKEN}; copy it anew ({EXPECTED})") from None


def _read(path: Path) -> Checkpoint:
    if path.stat().st_size == 0:
        raise DpcError(f"{path} is empty; copy it anew")
    stand_ins: list[Any] = []
    for name in sorted(_named(path)):
        if MAPPING.fullmatch(name):
            stand_ins.append((_mapping, name))
        elif SHELL.fullmatch(name):
            stand_ins.append((Shell, name))
        elif not TENSOR.fullmatch(name):
            raise DpcError(
                f"{path} asks for {some([name])} when it is read, which no checkpoint needs; "
                "refused, nothing of it was run"
            )
    with torch.serialization.safe_globals(stand_ins):
        content = torch.load(path, map_location="cpu", weights_only=True)
    state = _state_of(content)
    if not state:
        found = some(content) if isinstance(content, dict) else type(content).__name__
        raise DpcError(f"{path} holds no state_dict (found: {found or 'nothing'}); {EXPECTED}")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        claimed, stored = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if claimed > stored:
            raise DpcError(
                f"{path}: {some([name])} is {tuple(value.shape)}, {claimed} bytes, and {stored} of "
                "them are stored; save a contiguous copy of it"
            )
    epoch = content.get("epoch")
    return Checkpoint(path, tensors, epoch if isinstance(epoch, int) else None, sha256(path))


def some(names: Iterable[Any]) -> str:
    """The first names on one line, each as it is unless it is long or could break the line."""
    listed = [
        name
        if isinstance(name, str) and name.isprintable() and len(name) <= LONGEST
        else " ".join(reprlib.repr(name).split())
        for name in names
    ]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _state_of(content: Any) -> dict[Any, Any]:
    """The tensors by name: under ``state_dict``, or all that there is."""
    if not isinstance(content, dict):
        return {}
    alone = all(isinstance(value, Tensor) for value in content.values())
    state = content if alone else content.get("state_dict")
    return state if isinstance(state, dict) else {}


def _mapping(*_: Any) -> dict[Any, Any]:
    """An optimizer's state is a mapping that the reader fills, so no shell will do."""
    return {}


def _named(path: Path) -> set[str]:
    """Full names of all functions and classes that a checkpoint's pickles ask for."""
    found = set()
    for operation, value in _operations(path):
        if operation == "GLOBAL":
            found.add(str(value).replace(" ", ".").replace("__builtin__.", "builtins."))
        elif operation == "PROTO" and value >= UNLISTED_PROTOCOL:
            raise DpcError(
                f"{path} was written with pickle protocol {value}; save it again with protocol 2, "
                "torch.save's own"
            )
        elif operation in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            raise ValueError("a name that is put together while it is read")
    return found


def _operations(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
                    raise DpcError(
                        f"{path} is compressed inside, which torch.save never does; save it again"
                    )
                inner = [name for name in archive.namelist() if name.endswith("/data.pkl")]
                for name in inner or [""]:
                    with archive.open(name) as pickled:
                        yield from _one_pickle(pickled)
            return
        file.seek(0)
        if MAGIC not in [value for _, value in _one_pickle(file)]:
            raise ValueError("no file of torch.save")
        for _ in range(1, LEGACY_PICKLES):
            yield from _one_pickle(file)


def _one_pickle(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for operation, value, _ in pickletools.genops(file):
        yield operation.name, value
