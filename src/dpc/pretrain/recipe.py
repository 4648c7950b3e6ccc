"""Sizes and lengths of the models that the recipe can make."""

from dataclasses import dataclass, field
from typing import Any

from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from dpc.errors import DpcError
from dpc.pretrain.images import MEAN, STD

VOCABULARY = 49408  # CLIP's byte pair encoding


@dataclass(frozen=True)
class WordPhase:
    """The image tower learns words: a softmax over a table of canonical words."""

    steps: int = 12_000
    batch: int = 64
    lr: float = 1e-3
    scale: float = 16.0  # of the cosines
    chunk: int = 100  # steps between two learning rates; checkpoints come every ten


@dataclass(frozen=True)
class CaptionPhase:
    """The text tower learns captions against cached image features."""

    steps: int = 2_000
    captions: int = 128
    images: int = 768
    views: int = 5
    lr: float = 1e-3
    chunk: int = 50


@dataclass(frozen=True)
class Recipe:
    """One model: its towers and its two phases."""

    embed: int = 128
    image: int = 48
    patch: int = 16
    width: int = 160
    layers: int = 4
    head: int = 32
    text_width: int = 128
    text_heads: int = 4
    text_layers: int = 4
    context: int = 32
    words: WordPhase = field(default_factory=WordPhase)
    captions: CaptionPhase = field(default_factory=CaptionPhase)


RECIPES: dict[str, Recipe] = {
    "icons": Recipe(),
    "icons-large": Recipe(embed=192, width=192, layers=6, words=WordPhase(steps=14_000)),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name; DpcError names the known ones."""
    if name not in RECIPES:
        raise DpcError(f"unknown pretraining model {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def model_config(item: Recipe) -> dict[str, Any]:
    """open_clip's description of the model and of its image preprocessing."""
    vision = {"image_size": item.image, "layers": item.layers, "width": item.width,
              "head_width": item.head, "patch_size": item.patch}  # fmt: skip
    text = {"context_length": item.context, "vocab_size": VOCABULARY, "width": item.text_width,
            "heads": item.text_heads, "layers": item.text_layers}  # fmt: skip
    return {
        "model_cfg": {"embed_dim": item.embed, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [MEAN] * 3, "std": [STD] * 3, "interpolation": "bilinear",
                           "resize_mode": "shortest"},
    }  # fmt: skip


def build_model(item: Recipe) -> CLIP:
    """An untrained model; draws its parameters from torch's generator as it stands."""
    config = model_config(item)["model_cfg"]
    return CLIP(
        config["embed_dim"],
        CLIPVisionCfg(**config["vision_cfg"]),
        CLIPTextCfg(**config["text_cfg"]),
    )
