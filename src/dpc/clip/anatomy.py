"""Which towers of a CLIP take prompts, and how deep: read from its configuration, without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dpc.clip.spec import ClipSpec, architecture, config_file, configs_folder
from dpc.errors import DpcError

TOWERS = ("text", "image")
# Beginnings of timm's names, and why no prompt can join the tokens of such a trunk.
NO_TOKENS = "its blocks keep a map of the image, not a sequence of tokens that prompts could join"
TRUNKS = {
    "convnext": f"convolutional: {NO_TOKENS}",
    "fastvit": f"convolutional: {NO_TOKENS}",
    "vitamin": f"convolutional at first, its features a mean over the image: {NO_TOKENS}",
    "swin": f"attention in windows: {NO_TOKENS}",
}


@dataclass(frozen=True)
class Tower:
    """One tower.

    Attributes:
        layers: blocks; 0 where they are not counted, since no prompts go in.
        refusal: why prompts cannot go in; "": they can.
    """

    layers: int = 0
    refusal: str = ""


@dataclass(frozen=True)
class Anatomy:
    """What can be known of a CLIP before it is built.

    Attributes:
        text: a text tower that is refused is of no use: no sentence can be read.
        image: an image tower that takes no prompts still gives features.
        context: tokens of a sentence.
        tokenizer: the Hugging Face tokenizer that its trained weights need; "": CLIP's own.
    """

    text: Tower
    image: Tower
    context: int
    tokenizer: str = ""


def anatomy(spec: ClipSpec) -> Anatomy:
    """Of a model that `dpc.clip.spec.check_spec` lets pass.

    Raises:
        DpcError: a local json that says too little.
    """
    path = config_file(spec)
    if path is not None:
        return described(read_config(path)[0])
    return _known(configs_folder() / f"{architecture(spec.model)}.json")


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """``model_cfg`` and ``preprocess_cfg`` of the json beside a local model "icons".

    Raises:
        DpcError: they are not there, or lack what every CLIP has.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        config, preprocess = content["model_cfg"], content["preprocess_cfg"]
        described(config)
        channels = len(preprocess["mean"]), len(preprocess["std"])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DpcError(
            f"{path}: expected json with 'model_cfg' and 'preprocess_cfg', there 'mean' and 'std' "
            f"({problem!r})"
        ) from problem
    if channels != (3, 3):
        raise DpcError(f"{path}: 'mean' and 'std' have {channels} values, expected 3 each")
    return config, preprocess


def check_text(model: str, found: Anatomy) -> None:
    """Refuse a CLIP whose text tower takes no prompts: no sentence is read with it here.

    Raises:
        DpcError: with the reason.
    """
    if found.text.refusal:
        raise DpcError(
            f"clip.model {model!r}: no prompts go into its text tower, {found.text.refusal}; "
            "take a model whose text tower is open_clip's own (ViT-B-16)"
        )


def described(config: Mapping[str, Any]) -> Anatomy:
    """Of an open_clip ``model_cfg``."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    refusal = _text_refusal(config)
    return Anatomy(
        Tower(0 if refusal else text.get("layers", 12), refusal),
        _image_tower(vision),
        text.get("context_length", 77),
        text.get("hf_tokenizer_name") or "",
    )


def _text_refusal(config: Mapping[str, Any]) -> str:
    text = config["text_cfg"]
    if "multimodal_cfg" in config or text.get("embed_cls"):
        return "its feature comes from a class token behind the padding (CoCa)"
    if text.get("hf_model_name"):
        return f"it is {text['hf_model_name']}, a model of Hugging Face"
    if text.get("pool_type") == "none" or text.get("output_tokens"):
        return "it gives the features of all tokens"
    return ""


def _image_tower(vision: Mapping[str, Any]) -> Tower:
    name = vision.get("timm_model_name")
    if name:
        found = [why for beginning, why in TRUNKS.items() if name.startswith(beginning)]
        pooled = vision.get("timm_pool") == "map"
        return Tower(refusal=found[0] if found else _timm_vit(pooled))
    layers = vision.get("layers", 12)
    if isinstance(layers, list):
        return Tower(refusal=f"convolutional (ResNet): {NO_TOKENS}")
    if vision.get("attentional_pool"):
        return Tower(refusal="no class token is read: its features come from attention pooling")
    if vision.get("pool_type", "tok") != "tok":
        return Tower(refusal="no class token is read: its features are the mean of the patches")
    return Tower(layers)


def _timm_vit(pooled: bool) -> str:
    if pooled:
        return "no class token is read: its features come from attention pooling"
    return "a ViT of timm's make: prompts go into open_clip's own ViTs"


@cache
def _known(path: Path) -> Anatomy:
    return described(json.loads(path.read_text(encoding="utf-8")))
