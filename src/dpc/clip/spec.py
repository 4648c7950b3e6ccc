"""Which CLIP: named, checked and identified without importing a deep-learning library."""

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from dpc.errors import DpcError
from dpc.hashes import remembered_sha256

EMBEDDED_MODELS = ("icons", "icons-large")
EMBEDDED_WEIGHTS = "embedded"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
RANDOM_PREFIX = "random:"
FILE_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
QUICK_GELU, GELU = "-quickgelu", "-gelu"
PRECISIONS = ("fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class ClipSpec:
    """A CLIP and how it runs.

    Attributes:
        model: "icons" or "icons-large" (CLIPs that come with the package), or an open_clip model
            name. Of an architecture that open_clip has with either activation (``ViT-B-16`` and
            ``ViT-B-16-quickgelu``), a local file needs the name that says which one it was
            trained with: ``ViT-B-16-quickgelu`` or, for local files alone, ``ViT-B-16-gelu``.
        pretrained: "embedded", an open_clip pretrained tag, a local weights file, or
            "random:SEED" (untrained, for tests without download).
        precision: "fp32" or "bf16" (autocast around the towers; prompts stay fp32).
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
    """

    model: str = EMBEDDED_MODELS[0]
    pretrained: str = EMBEDDED_WEIGHTS
    precision: str = "fp32"
    device: str = "auto"


def weights_file(spec: ClipSpec) -> Path | None:
    """The local file that holds the weights; None where a tag or a seed names them."""
    if spec.pretrained == EMBEDDED_WEIGHTS:
        return WEIGHTS_FOLDER / f"{spec.model}.safetensors"
    if spec.pretrained.endswith(FILE_SUFFIXES):
        return Path(spec.pretrained)
    return None


def config_file(spec: ClipSpec) -> Path | None:
    """The json with ``model_cfg`` and ``preprocess_cfg``; None where open_clip knows the model.

    For embedded models it lies beside the weights and has their name.
    """
    weights = weights_file(spec)
    if spec.model not in EMBEDDED_MODELS or weights is None:
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
    if spec.pretrained == EMBEDDED_WEIGHTS and spec.model not in EMBEDDED_MODELS:
        raise DpcError(
            f"clip.pretrained 'embedded' belongs to clip.model {' or '.join(EMBEDDED_MODELS)}, "
            f"not to {spec.model!r}: name an open_clip tag or a weights file"
        )
    if spec.model in EMBEDDED_MODELS and weights_file(spec) is None:
        raise DpcError(
            f"clip.model {spec.model!r} has the weights 'embedded' or a .safetensors file, "
            f"not {spec.pretrained!r}"
        )
    random_seed(spec)
    _check_model(spec)
    for path in (weights_file(spec), config_file(spec)):
        if path is not None and not path.is_file():
            raise DpcError(f"{path}: no such file; it is named by clip.pretrained")
    if spec.pretrained.endswith(".safetensors"):
        check_activation(spec)  # other files may be OpenAI's archives, known by their hash


def check_activation(spec: ClipSpec) -> None:
    """Refuse a local file for an architecture that exists with GELU and with QuickGELU.

    The tensors of both have the same names and shapes, so the wrong one loads and is only worse.

    Raises:
        DpcError: with the two names to choose from.
    """
    if weights_file(spec) is not None and f"{spec.model}{QUICK_GELU}" in architectures():
        raise DpcError(
            f"clip.model {spec.model!r} does not say which activation {spec.pretrained} was "
            f"trained with: write {spec.model}{QUICK_GELU} (OpenAI's weights, DFN's, MetaCLIP's) "
            f"or {spec.model}{GELU} (most others)"
        )


def architecture(model: str) -> str:
    """open_clip's own name of ``clip.model``, which may end in ``-gelu`` for a local file."""
    plain = model.removesuffix(GELU)
    return plain if f"{plain}{QUICK_GELU}" in architectures() else model


@cache
def architectures() -> frozenset[str]:
    """Names of open_clip's models: its configuration files, listed without importing it."""
    return frozenset(path.stem for path in configs_folder().glob("*.json"))


def configs_folder() -> Path:
    """Where open_clip's configuration files lie."""
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        raise DpcError("open_clip is not installed: pip install open_clip_torch")
    return Path(found.origin).parent / "model_configs"


def weights_identity(spec: ClipSpec) -> dict[str, str | None]:
    """What decides the weights: model, pretrained, and the SHA-256 of each local file.

    ``pretrained`` is "file" for a local file, which is known by its content, wherever it lies;
    ``sha256`` is None for a tag or a seed, where the name itself is the identity.

    Raises:
        DpcError: see `check_spec`.
    """
    check_spec(spec)
    weights = weights_file(spec)
    embedded = spec.pretrained == EMBEDDED_WEIGHTS
    pretrained = spec.pretrained if embedded or weights is None else "file"
    identity: dict[str, str | None] = {"model": spec.model, "pretrained": pretrained}
    for key, path in (("sha256", weights), ("config_sha256", config_file(spec))):
        identity[key] = None if path is None else remembered_sha256(path)
    return identity


def _check_model(spec: ClipSpec) -> None:
    if spec.model in EMBEDDED_MODELS:
        return
    name = architecture(spec.model)
    if name not in architectures():
        near = difflib.get_close_matches(name, [*EMBEDDED_MODELS, *sorted(architectures())], 3, 0.4)
        raise DpcError(
            f"clip.model is {spec.model!r}, which open_clip does not know; near it: "
            f"{', '.join(near) or 'nothing'}; embedded are {', '.join(EMBEDDED_MODELS)}"
        )
    if name != spec.model and weights_file(spec) is None:
        raise DpcError(
            f"clip.model {spec.model!r} says how a local weights file was trained, and "
            f"clip.pretrained {spec.pretrained!r} names none: write clip.model: {name}"
        )
