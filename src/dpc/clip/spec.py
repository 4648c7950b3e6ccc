"""Which CLIP: named, checked and identified without importing a deep-learning library."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from dpc.errors import DpcError

EMBEDDED_MODEL = "icons"
EMBEDDED_WEIGHTS = "embedded"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
RANDOM_PREFIX = "random:"
FILE_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
PRECISIONS = ("fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class ClipSpec:
    """A CLIP and how it runs.

    Attributes:
        model: "icons" (the CLIP that comes with the package) or an open_clip model name.
        pretrained: "embedded", an open_clip pretrained tag, a local weights file, or
            "random:SEED" (untrained, for tests without download).
        precision: "fp32" or "bf16" (autocast around the towers; prompts stay fp32).
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
    """

    model: str = EMBEDDED_MODEL
    pretrained: str = EMBEDDED_WEIGHTS
    precision: str = "fp32"
    device: str = "auto"


def weights_file(spec: ClipSpec) -> Path | None:
    """The local file that holds the weights; None where a tag or a seed names them."""
    if spec.pretrained == EMBEDDED_WEIGHTS:
        return WEIGHTS_FOLDER / f"{EMBEDDED_MODEL}.safetensors"
    if spec.pretrained.endswith(FILE_SUFFIXES):
        return Path(spec.pretrained)
    return None


def config_file(spec: ClipSpec) -> Path | None:
    """The json with ``model_cfg`` and ``preprocess_cfg``; None where open_clip knows the model.

    For model "icons" it lies beside the weights and has their name.
    """
    weights = weights_file(spec)
    if spec.model != EMBEDDED_MODEL or weights is None:
        return None
    return weights.with_suffix(".json")


def random_seed(spec: ClipSpec) -> int | None:
    """SEED of a "random:SEED" model, None for trained weights."""
    if not spec.pretrained.startswith(RANDOM_PREFIX):
        return None
    digits = spec.pretrained.removeprefix(RANDOM_PREFIX)
    if not digits.isdecimal():
        raise DpcError(f"clip.pretrained is {spec.pretrained!r}: write random:SEED, as random:1")
    return int(digits)


def check_spec(spec: ClipSpec) -> None:
    """Everything that can be seen without loading the model.

    Raises:
        DpcError: a value that is not allowed, or a file that is not there.
    """
    for name, value, allowed in (
        ("precision", spec.precision, PRECISIONS),
        ("device", spec.device, DEVICES),
    ):
        if value not in allowed:
            near = difflib.get_close_matches(str(value), allowed, 1)
            hint = f", did you mean {near[0]!r}" if near else ""
            raise DpcError(f"clip.{name} is {value!r}: allowed are {', '.join(allowed)}{hint}")
    if (spec.pretrained == EMBEDDED_WEIGHTS) and spec.model != EMBEDDED_MODEL:
        raise DpcError(
            f"clip.pretrained 'embedded' belongs to clip.model {EMBEDDED_MODEL!r}, "
            f"not to {spec.model!r}: name an open_clip tag or a weights file"
        )
    if spec.model == EMBEDDED_MODEL and weights_file(spec) is None:
        raise DpcError(
            f"clip.model {EMBEDDED_MODEL!r} has the weights 'embedded' or a .safetensors file, "
            f"not {spec.pretrained!r}"
        )
    random_seed(spec)
    for path in (weights_file(spec), config_file(spec)):
        if path is not None and not path.is_file():
            raise DpcError(f"{path}: no such file; it is named by clip.pretrained")


def weights_identity(spec: ClipSpec) -> dict[str, str | None]:
    """What decides the weights: model, pretrained, and the SHA-256 of each local file.

    ``sha256`` is None for a tag or a seed, where the name itself is the identity.

    Raises:
        DpcError: see :func:`check_spec`.
    """
    check_spec(spec)
    identity: dict[str, str | None] = {"model": spec.model, "pretrained": spec.pretrained}
    for key, path in (("sha256", weights_file(spec)), ("config_sha256", config_file(spec))):
        identity[key] = None if path is None else file_sha256(path)
    return identity


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
