"""MaPLe: text prompts, and image prompts that follow from them (Khattak et al., CVPR 2023)."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from dpc.backbones.base import Backbone, Prompts
from dpc.backbones.context import (
    check_depth,
    context_sentences,
    noise,
    start_context,
    start_linear,
)
from dpc.clip.model import Clip
from dpc.params.fields import param

RELEASED = "released MaPLe: base-to-new"


@dataclass(frozen=True)
class MaPLeParams:
    """MaPLe: coupled prompts in both towers, some layers deep."""

    init: str | None = param(
        "a photo of a",
        "Words whose first tokens the context starts from; null, or fewer words than length: "
        "random vectors.",
        source=RELEASED,
    )
    length: int = param(2, "Prompt tokens of each prompted layer.", ge=1, source=RELEASED)
    depth: int = param(
        9,
        "Prompted layers of both towers, the input counted.",
        ge=1,
        source=RELEASED,
        layers=("text", "image"),
    )
    lr: float = param(0.0035, "Learning rate of stage one (SGD).", gt=0, source=RELEASED)
    epochs: int = param(5, "Epochs of stage one.", ge=1, source=RELEASED)
    batch: int = param(4, "Images of a batch.", ge=1, source=RELEASED)


class MaPLe(Backbone):
    """Text prompts of J layers; the image prompt of a layer is a linear map of the text's.

    Args:
        context: (n, d_t) of the input, copied.
        deep: J−1 times (n, d_t), of layers 1..J−1, copied.
        couplings: J maps from d_t to d_v, of layers 0..J−1, copied: one module may come twice.
        words: as in `dpc.backbones.context.Start`.
    """

    Params = MaPLeParams
    label = "MaPLe"
    prompted = ("text", "image")

    def __init__(
        self,
        context: Tensor,
        deep: Sequence[Tensor],
        couplings: Sequence[nn.Module],
        words: str | None = None,
    ):
        super().__init__()
        if len(couplings) != 1 + len(deep):
            raise ValueError(f"{1 + len(deep)} layers have prompts, {len(couplings)} a coupling")
        self.words = words
        self.context = nn.Parameter(context.detach().clone())
        self.deep = nn.ParameterList([prompt.detach().clone() for prompt in deep])
        self.couplings = nn.ModuleList([copy.deepcopy(coupling) for coupling in couplings])

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """Context out of words; deeper prompts N(0, 0.02²); couplings as PyTorch starts a Linear.

        Drawn in this order: the context, if it is noise; the deeper prompts; the coupling of the
        input; one coupling of which all deeper layers get a copy.

        Raises:
            DpcError: more layers than a tower has, or ``init`` holds no word.
        """
        layers = {"text": clip.text_layers, "image": clip.image_layers}
        check_depth("backbones.maple.depth", params.depth, **layers)
        context, words = start_context(clip, params.init, params.length, generator)
        width = clip.text_width
        deep = [noise(clip, params.length, width, generator) for _ in range(params.depth - 1)]
        first, deeper = (start_linear(width, clip.image_width, generator) for _ in range(2))
        return cls(context, deep, [first, *[deeper] * len(deep)], words).to(clip.device)

    def prompts(self) -> Prompts:
        text = [self.context, *self.deep]
        coupled = zip(self.couplings, text, strict=True)
        return Prompts(text, [coupling(prompt) for coupling, prompt in coupled])

    def sentences(self, classnames: Sequence[str], template: str) -> list[str]:
        """``words name.`` or ``X … X name.``: the template is the context's own words."""
        return context_sentences(self.words, len(self.context), classnames)

    def parallel_parameters(self) -> list[str]:
        """The text prompts: couplings are no prompts, and with equal couplings a mix of text
        prompts mixes the image prompts alike."""
        return ["context", *(f"deep.{index}" for index in range(len(self.deep)))]
