"""Artefacts: what a stage hands on. Tensors and results in one sealed safetensors file, or JSON.

An artefact has ``content`` (tensors and results: what later stages read) and ``provenance`` (how it
came about: stage, cell, parameters, hashes of inputs, version of the code; never a time, a host or
a path). Two digests stand in the file: ``content`` identifies what later stages depend on, ``seal``
covers everything, so that a file that was cut or edited is noticed when it is read.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpc.errors import DpcError
from dpc.files import digest

FORMAT = 1
PIECE = 2**26  # bytes of a tensor that are looked at together


@dataclass(frozen=True)
class Artifact:
    """Tensors by name, results (JSON values), and provenance."""

    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """SHA-256 of tensors and results: equal content, equal digest, whatever made it."""
        return self.part()

    def part(self, *prefixes: str) -> str:
        """As `content`, of the tensors whose names begin with one of ``prefixes``: what a
        stage depends on that reads no other. Without prefixes, of all."""
        hasher = _Hasher(prefixes)
        for name, value in _contiguous(self.tensors).items():
            hasher.update(name, value.shape, value)
        return hasher.digest(self.results)


class Examined(NamedTuple):
    """What `examine` says of a file.

    Attributes:
        content: as `Artifact.content`.
        part: as `Artifact.part` of the prefixes that were asked for.
    """

    results: Mapping[str, Any]
    provenance: Mapping[str, Any]
    content: str
    part: str


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def encode(artifact: Artifact) -> bytes:
    """The bytes of a .safetensors file; equal artefacts give equal bytes."""
    from safetensors.numpy import save

    # One metadata entry only: the library writes several in no fixed order.
    header = _header(artifact.content, artifact.results, artifact.provenance)
    return save(_contiguous(artifact.tensors), {"dpc": canonical(header)})


def encode_json(results: Any, provenance: Mapping[str, Any]) -> bytes:
    """The bytes of a sealed JSON artefact, for results that people want to read."""
    header = _header(Artifact(results=results).content, results, provenance)
    return (json.dumps(header, indent=1, sort_keys=True, ensure_ascii=False)).encode()


def read(path: Path, remedy: str = "run the stage that makes it again") -> Artifact:
    """A whole artefact, checked against its seal; .json or .safetensors.

    Raises:
        DpcError: missing, truncated, not an artefact, or changed after it was written.
    """
    tensors: Mapping[str, np.ndarray] = {}
    if path.suffix == ".json":
        header = _checked(_json(path, remedy), path, remedy)
    else:
        with _opened(path, remedy) as file:
            header = _metadata(file, path, remedy)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    artifact = Artifact(tensors, header["results"], header["provenance"])
    if header != _header(artifact.content, artifact.results, artifact.provenance):
        raise DpcError(f"{path} was changed after it was written; {remedy}")
    return artifact


def some(path: Path, remedy: str, suffixes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors artefact whose names end so, by name; no other byte of the
    tensors is read, so that no seal is checked: see `examine`.

    Raises:
        DpcError: missing, truncated or not an artefact.
    """
    with _opened(path, remedy) as file:
        return {
            name: file.get_tensor(name) for name in sorted(file.keys()) if name.endswith(suffixes)
        }


def _json(path: Path, remedy: str) -> Any:
    with _readable(path, remedy):
        raw = path.read_bytes()
    try:
        return json.loads(raw)
    except ValueError:
        return None


def examine(path: Path, remedy: str, prefixes: tuple[str, ...] = ()) -> Examined:
    """As `read`, without holding the tensors: they are read piece by piece, and hashed.

    Args:
        prefixes: of the tensors that ``part`` is about; none: of all.

    Raises:
        DpcError: as `read`.
    """
    if path.suffix == ".json":
        found = read(path, remedy)
        return Examined(found.results, found.provenance, found.content, found.part(*prefixes))
    whole, part = _Hasher(()), _Hasher(prefixes)
    with _opened(path, remedy) as file:
        header = _metadata(file, path, remedy)
        for name in sorted(file.keys()):
            shape = tuple(file.get_slice(name).get_shape())
            for piece in _pieces(file, name):
                whole.update(name, shape, piece)
                part.update(name, shape, piece)
    results, provenance = header["results"], header["provenance"]
    content = whole.digest(results)
    if header != _header(content, results, provenance):
        raise DpcError(f"{path} was changed after it was written; {remedy}")
    return Examined(results, provenance, content, part.digest(results))


@contextmanager
def _readable(path: Path, remedy: str) -> Iterator[None]:
    """A file that is missing or that the system refuses is one line."""
    try:
        yield
    except FileNotFoundError:
        raise DpcError(f"{path} is missing; {remedy}") from None
    except OSError as problem:
        raise DpcError(f"{path} cannot be read ({problem.strerror}); {remedy}") from None


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[Any]:
    """A safetensors file, not yet read."""
    from safetensors import SafetensorError, safe_open

    try:
        with _readable(path, remedy), safe_open(path, "np") as file:
            yield file
    except SafetensorError:
        raise DpcError(f"{path} is truncated or not an artefact of dpc; {remedy}") from None


def _metadata(file: Any, path: Path, remedy: str) -> dict[str, Any]:
    try:
        header = json.loads((file.metadata() or {})["dpc"])
    except (KeyError, ValueError):
        header = None
    return _checked(header, path, remedy)


def _checked(header: Any, path: Path, remedy: str) -> dict[str, Any]:
    if not isinstance(header, dict) or not {"seal", "results", "provenance"} <= set(header):
        raise DpcError(f"{path} is truncated or not an artefact of dpc; {remedy}")
    return header


def _pieces(file: Any, name: str) -> Iterator[np.ndarray]:
    """A tensor in pieces of some rows, if it is large."""
    part = file.get_slice(name)
    shape = part.get_shape()
    rows = shape[0] if shape else 1
    each = max(1, PIECE // max(1, 8 * math.prod(shape[1:])))
    if rows <= each:
        yield file.get_tensor(name)
        return
    for start in range(0, rows, each):
        yield part[start : min(start + each, rows)]


def _header(content: str, results: Any, provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "results": results,
        "provenance": provenance,
        "content": content,
        "seal": digest(content + canonical(provenance)),
    }


def _contiguous(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    # Not `ascontiguousarray`, which gives a counter without dimensions one.
    return {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}


class _Hasher:
    """Identifies tensors: of each its name, type and shape, then its bytes; then the results."""

    def __init__(self, prefixes: tuple[str, ...]):
        self._prefixes = prefixes
        self._hash = hashlib.sha256()
        self._name: str | None = None

    def update(self, name: str, shape: tuple[int, ...], piece: np.ndarray) -> None:
        """The next piece of a tensor, if that counts: tensors by name, their rows in order."""
        if self._prefixes and not name.startswith(self._prefixes):
            return
        if name != self._name:
            between = b"" if self._name is None else b"\0"
            head = canonical([name, str(piece.dtype), list(shape)]).encode()
            self._hash.update(between + head + b"\0")
            self._name = name
        self._hash.update(np.asarray(piece, order="C").reshape(-1).view(np.uint8).data)

    def digest(self, results: Any) -> str:
        """SHA-256 in hex."""
        self._hash.update(b"\0" + canonical(results).encode())
        return self._hash.hexdigest()
