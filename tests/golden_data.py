"""The golden files, the CLIP in them, and the one way to compare with them."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import load_file
from torch import Tensor

from dpc.clip.load import build_model
from dpc.clip.model import Clip
from dpc.clip.tokens import clip_tokenizer
from dpc.clip.weights_io import fill, read_weights

GOLDEN = Path(__file__).parent / "golden"
FORWARD = 1e-5  # features, logits, losses
BACKWARD = 3e-5  # gradients and updates

# (name, largest deviation relative to the largest value, bound), for the table of `pytest -s`.
DEVIATIONS: list[tuple[str, float, float]] = []


def tensors(name: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def facts(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def student_config() -> dict[str, Any]:
    """``model_cfg`` of the golden student."""
    return golden_config("clip_student")


def golden_config(name: str) -> dict[str, Any]:
    """``model_cfg`` of a golden CLIP, ``clip_student`` or ``clip_teacher``."""
    sizes = facts(name)
    return {
        "embed_dim": sizes["embed"],
        "quick_gelu": sizes["quick_gelu"],
        "vision_cfg": {
            "image_size": sizes["res"],
            "patch_size": sizes["patch"],
            "width": sizes["vw"],
            "layers": sizes["vl"],
            "head_width": sizes["vw"] // sizes["vision_heads"],
        },
        "text_cfg": {
            "context_length": sizes["context_length"],
            "vocab_size": sizes["vocab_size"],
            "width": sizes["tw"],
            "layers": sizes["tl"],
            "heads": sizes["text_heads"],
        },
    }


def load_golden_clip(
    name: str, shortcuts: bool = True, custom_text: bool = False, precision: str = "fp32"
) -> Clip:
    """A golden CLIP, built by open_clip from OpenAI's names and the token rows."""
    path = GOLDEN / f"{name}.safetensors"
    model = build_model({**golden_config(name), "custom_text": custom_text})
    fill(model, read_weights(path), path)
    return Clip(
        model,
        _tokenizer(),
        OPENAI_DATASET_MEAN,
        OPENAI_DATASET_STD,
        precision=precision,
        shortcuts=shortcuts,
    )


_tokenizer = cache(clip_tokenizer)  # a table of words, alike for all of them


def load_student(
    shortcuts: bool = True, custom_text: bool = False, precision: str = "fp32"
) -> Clip:
    """The golden student."""
    return load_golden_clip("clip_student", shortcuts, custom_text, precision)


def assert_close(name: str, got: Tensor, expected: Tensor, bound: float) -> None:
    """Compare whole tensors: largest difference over the largest expected value."""
    assert got.shape == expected.shape, f"{name}: {tuple(got.shape)} != {tuple(expected.shape)}"
    assert torch.isfinite(got).all(), name
    scale = float(expected.abs().max()) or 1.0
    deviation = float((got.detach().double() - expected.double()).abs().max()) / scale
    DEVIATIONS.append((name, deviation, bound))
    assert deviation <= bound, f"{name}: largest deviation {deviation:.2e}, bound {bound:.0e}"


def table(write: Callable[[str], None]) -> None:
    """The comparisons so far, the largest deviation of each group of names."""
    groups: dict[str, tuple[float, float]] = {}
    for name, deviation, bound in DEVIATIONS:
        worst, widest = groups.get(name, (0.0, 0.0))
        groups[name] = (max(worst, deviation), max(widest, bound))
    width = max(len(name) for name in groups)
    for name, (deviation, bound) in sorted(groups.items()):
        write(f"{name:<{width}}  {deviation:.1e}  (bound {bound:.0e})")
