"""Artefacts: what a stage hands on. Tensors and results in one sealed safetensors file, or JSON.

An artefact has ``content`` (tensors and results: what later stages read) and ``provenance`` (how it
came about: stage, cell, parameters, hashes of inputs, version of the code; never a time, a host or
a path). Two digests stand in the file: ``content`` identifies what later stages depend on, ``seal``
covers everything, so that a file that was cut or edited is noticed when it is read.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dpc.errors import DpcError
from dpc.files import digest

FORMAT = 1
_HEADER = 8  # bytes that hold the length of a safetensors header


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
        """As :attr:`content`, of the tensors whose names begin with one of ``prefixes``: what a
        stage depends on that reads no other. Without prefixes, of all."""
        chosen = {
            name: value
            for name, value in self.tensors.items()
            if not prefixes or name.startswith(prefixes)
        }
        hasher = hashlib.sha256()
        for piece in _tensor_bytes(chosen):  # one after the other: tensors may be large
            hasher.update(piece)
        hasher.update(b"\0" + canonical(self.results).encode())
        return hasher.hexdigest()


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
    return save(_contiguous(artifact.tensors), {"dpc": canonical(_header(artifact))})


def encode_json(results: Any, provenance: Mapping[str, Any]) -> bytes:
    """The bytes of a sealed JSON artefact, for results that people want to read."""
    artifact = Artifact(results=results, provenance=provenance)
    return (json.dumps(_header(artifact), indent=1, sort_keys=True, ensure_ascii=False)).encode()


def read(path: Path, remedy: str = "run the stage that makes it again") -> Artifact:
    """A whole artefact, checked against its seal; .json or .safetensors.

    Raises:
        DpcError: missing, truncated, not an artefact, or changed after it was written.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DpcError(f"{path} is missing; {remedy}") from None
    except OSError as problem:
        raise DpcError(f"{path} cannot be read ({problem.strerror}); {remedy}") from None
    return decode(raw, path, remedy)


def decode(raw: bytes, path: Path, remedy: str = "run the stage that makes it again") -> Artifact:
    """As :func:`read`, from the file's bytes; ``path`` only names it in errors."""
    damaged = DpcError(f"{path} is truncated or not an artefact of dpc; {remedy}")
    if path.suffix == ".json":
        tensors: Mapping[str, np.ndarray] = {}
        try:
            header = json.loads(raw)
        except ValueError:
            raise damaged from None
    else:
        tensors, header = _safetensors(raw, damaged)
    if not isinstance(header, dict) or not {"seal", "results", "provenance"} <= set(header):
        raise damaged
    artifact = Artifact(tensors, header["results"], header["provenance"])
    if header != _header(artifact):
        raise DpcError(f"{path} was changed after it was written; {remedy}")
    return artifact


def _safetensors(raw: bytes, damaged: DpcError) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(raw)
        length = int.from_bytes(raw[:_HEADER], "little")
        metadata = json.loads(raw[_HEADER : _HEADER + length])["__metadata__"]
        return tensors, json.loads(metadata["dpc"])
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise damaged from None


def _header(artifact: Artifact) -> dict[str, Any]:
    content = artifact.content
    return {
        "format": FORMAT,
        "results": artifact.results,
        "provenance": artifact.provenance,
        "content": content,
        "seal": digest(content + canonical(artifact.provenance)),
    }


def _contiguous(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    # Not `ascontiguousarray`, which gives a counter without dimensions one.
    return {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}


def _tensor_bytes(tensors: Mapping[str, np.ndarray]) -> Iterator[bytes | memoryview]:
    """What identifies tensors: of each its name, type and shape, then its bytes."""
    between = b""
    for name, value in _contiguous(tensors).items():
        head = canonical([name, str(value.dtype), list(value.shape)]).encode()
        yield between + head + b"\0"
        yield value.reshape(-1).view(np.uint8).data
        between = b"\0"
