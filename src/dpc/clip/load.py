"""From a `dpc.clip.spec.ClipSpec` to a `dpc.clip.model.Clip`."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from torch import nn

from dpc.clip.anatomy import check_text, described, read_config
from dpc.clip.model import Clip
from dpc.clip.spec import (
    ClipSpec,
    architecture,
    check_activation,
    check_spec,
    config_file,
    random_seed,
    weights_file,
)
from dpc.clip.tokens import (
    Tokenizer,
    clip_tokenizer,
    folded_tokenizer,
    hugging_face_tokenizer,
)
from dpc.clip.weights_io import fill, openai_models, read_weights
from dpc.devices import device_kind
from dpc.errors import DpcError

OPENAI_PREPROCESS = {
    "mean": OPENAI_DATASET_MEAN,
    "std": OPENAI_DATASET_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def load(spec: ClipSpec, shortcuts: bool = True) -> Clip:
    """The frozen CLIP that ``spec`` names, on its device.

    Images are prepared as open_clip's table says of a tag, and as the json beside it says of a
    local model "icons". Every other local file, and a model without trained weights, gets
    OpenAI's mean and std, bicubic, what nearly all CLIPs were trained with; an architecture that
    has no such weights (SigLIP, CLIPA, MobileCLIP) gets what its own were trained with;
    docs/models.md lists the tags that ask for another way.

    Raises:
        DpcError: a name that is not known, a pair of model and weights that does not fit, a
            file that cannot be read, a tokenizer that is not there, or such a device.
    """
    check_spec(spec)
    config, preprocess = _configs(spec)
    check_text(spec.model, described(config))
    device = resolve_device(spec.device)
    tokenizer = _tokenizer(spec, config)
    model, preprocess = _build(spec, config, preprocess)
    return Clip(
        model.to(device).float(),
        tokenizer=tokenizer,
        mean=preprocess["mean"],
        std=preprocess["std"],
        interpolation=preprocess.get("interpolation", "bicubic"),
        resize_mode=preprocess.get("resize_mode") or "shortest",
        precision=spec.precision,
        shortcuts=shortcuts,
    )


def resolve_device(name: str) -> torch.device:
    """The device of "auto", "cpu" or "cuda"; auto takes CUDA where there is one.

    Raises:
        DpcError: CUDA is asked for and cannot be used, or torch and the driver do not agree on
            whether it is there: keys of results go by the driver, so auto would name the wrong one.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DpcError("clip.device is 'cuda' and no CUDA device can be used here: take 'auto'")
    device = torch.device("cuda" if available and name != "cpu" else "cpu")
    shown = device_kind(name)
    if device.type != shown:
        reason = (
            "the driver shows a CUDA device that this torch cannot use (it is built for the CPU, "
            "or the driver is too old for it)"
            if shown == "cuda"
            else "torch finds a CUDA device that the driver does not show"
        )
        raise DpcError(f"clip.device is {name!r} and {reason}: write clip.device: {device.type}")
    return device


def build_model(model_cfg: dict[str, Any]) -> nn.Module:
    """An open_clip model without trained weights from its ``model_cfg``."""
    config = dict(model_cfg)
    if config.pop("custom_text", False):
        return CustomTextCLIP(**config)
    return CLIP(**config)


def _build(
    spec: ClipSpec, config: dict[str, Any], preprocess: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """The model with its weights, and how its images are prepared: a tag says that itself."""
    path, seed = weights_file(spec), random_seed(spec)
    if seed is not None:
        with _seeded(seed):
            return build_model(config), preprocess
    if path is None:
        return _from_tag(spec, config)
    if config_file(spec) is not None:
        return _from_file(path, config), preprocess
    openai = openai_models(path)
    if openai and spec.model not in openai:
        raise DpcError(f"{path} holds OpenAI's {openai[0]}: write clip.model: {openai[0]}")
    if openai:
        config["quick_gelu"] = True  # OpenAI trained with it, whatever the architecture says
    else:
        check_activation(spec)
    return _from_file(path, config, archive=bool(openai)), preprocess


def _configs(spec: ClipSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """``model_cfg`` and ``preprocess_cfg`` of the architecture."""
    path = config_file(spec)
    if path is None:
        name = architecture(spec.model)
        return open_clip.get_model_config(name), usual_preprocess(name)
    config, preprocess = read_config(path)
    _check_resize(preprocess, str(path))
    return config, preprocess


def usual_preprocess(name: str) -> dict[str, Any]:
    """OpenAI's, unless no published weights of the architecture were trained so."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    known = [open_clip.get_pretrained_cfg(name, tag) for tag in tags]
    if not known or any(OPENAI_PREPROCESS.items() <= one.items() for one in known):
        return OPENAI_PREPROCESS
    return known[0]


def _from_file(path: Path, config: dict[str, Any], archive: bool = False) -> nn.Module:
    state = read_weights(path, archive)
    model = build_model(config)
    fill(model, state, path)
    return model


def _check_resize(preprocess: dict[str, Any], place: str) -> None:
    """ "longest" would need borders, which no test view has."""
    mode = preprocess.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        raise DpcError(
            f"{place}: trained on images of resize_mode {mode!r}, and here they are prepared with "
            "'shortest' (the shorter side resized, the centre cropped) or 'squash' (both sides "
            "resized): take other weights"
        )


def _from_tag(spec: ClipSpec, config: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    check_pair(spec.model, spec.pretrained)
    preprocess = open_clip.get_pretrained_cfg(spec.model, spec.pretrained)
    _check_resize(preprocess, f"weights {spec.pretrained!r} of {spec.model!r}")
    quick_gelu = bool(config.get("quick_gelu")) or is_openai(spec.pretrained)
    try:
        with _no_log_lines():
            model = open_clip.create_model(
                spec.model, pretrained=spec.pretrained, force_quick_gelu=quick_gelu
            )
    except (OSError, RuntimeError) as problem:
        raise DpcError(
            f"weights {spec.pretrained!r} of {spec.model!r} cannot be fetched or read: "
            f"{_line(problem)}; "
            "name a local .safetensors file in clip.pretrained to go without the network"
        ) from problem
    return model, preprocess


def check_pair(model: str, tag: str) -> None:
    """Refuse a tag that the architecture does not have, or that was trained with another GELU.

    OpenAI's weights are always built with QuickGELU and so fit either name.

    Raises:
        DpcError: with the tags there are, or the name that fits.
    """
    if not open_clip.get_pretrained_cfg(model, tag):
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise DpcError(
            f"clip.pretrained is {tag!r}: {model!r} has the weights {', '.join(tags) or 'none'}, "
            "or name a local .safetensors file, or random:SEED"
        )
    trained_quick = bool(open_clip.get_pretrained_cfg(model, tag).get("quick_gelu"))
    built_quick = bool((open_clip.get_model_config(model) or {}).get("quick_gelu"))
    if trained_quick == built_quick or is_openai(tag):
        return
    right = f"{model}-quickgelu" if trained_quick else model.removesuffix("-quickgelu")
    trained, built = ("QuickGELU", "GELU") if trained_quick else ("GELU", "QuickGELU")
    raise DpcError(
        f"{tag!r} was trained with {trained} and {model!r} is built with {built}: "
        f"write clip.model: {right}"
    )


def is_openai(tag: str) -> bool:
    """Whether a pretrained tag names OpenAI's own weights."""
    return tag.lower().replace("-", "_") == "openai"


def _tokenizer(spec: ClipSpec, config: dict[str, Any]) -> Tokenizer:
    """Untrained weights know no words, so that CLIP's byte pairs serve any vocabulary there."""
    text, own = config["text_cfg"], described(config).tokenizer
    kwargs = text.get("tokenizer_kwargs") or {}
    if not own:
        return clip_tokenizer(SimpleTokenizer(**kwargs))
    if random_seed(spec) is not None:
        return folded_tokenizer(text["vocab_size"], text.get("eos_id", 2))
    place = f"clip.model {spec.model!r} reads words with the tokenizer {own!r} of Hugging Face"
    try:
        with _no_log_lines():
            mode = text.get("tokenizer_mode")
            return hugging_face_tokenizer(HFTokenizer(own, tokenizer_mode=mode, **kwargs))
    except ImportError as problem:
        raise DpcError(f"{place}: pip install transformers sentencepiece") from problem
    except (OSError, ValueError) as problem:
        raise DpcError(
            f"{place}, which is not in its cache and cannot be fetched or read: {_line(problem)}"
        ) from problem


def _line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)


@contextlib.contextmanager
def _no_log_lines() -> Iterator[None]:
    """open_clip logs a failed download before it raises: the user gets the raised line alone."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """open_clip's constructors draw from the global generator: lend it a seed, put it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
