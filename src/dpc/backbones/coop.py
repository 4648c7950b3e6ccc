"""CoOp: one learned context before every class name (Zhou et al., IJCV 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from dpc.backbones.base import Backbone, Prompts
from dpc.backbones.context import context_sentences, start_context
from dpc.clip.model import Clip
from dpc.params.fields import param


@dataclass(frozen=True)
class CoOpParams:
    """CoOp: one learned context, shared by all classes."""

    init: str | None = param(
        "a photo of a",
        "Words the context starts from; null: random vectors.",
        source="CoOp: base-to-new",
    )
    length: int = param(4, "Number of context tokens where init is null.", ge=1)
    lr: float = param(0.0035, "Learning rate of stage one (SGD).", gt=0, source="released DPC")
    epochs: int = param(10, "Epochs of stage one.", ge=1, source="released DPC")
    batch: int = param(4, "Images of a batch.", ge=1, source="released DPC")


class CoOp(Backbone):
    """A context (n, d_t), shared by all classes, standing where the sentence's words were.

    Args:
        context: (n, d_t), copied.
        words: the words that the context stands for; None: it stands for n times X.
    """

    Params = CoOpParams
    label = "CoOp"

    def __init__(self, context: Tensor, words: str | None = None):
        super().__init__()
        if context.ndim != 2:
            raise ValueError(f"context is (tokens, width), got shape {tuple(context.shape)}")
        self.words = words
        self.context = nn.Parameter(context.detach().clone())

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """Start from the embeddings of ``params.init``, or from N(0, 0.02²).

        Raises:
            DpcError: ``init`` holds no word.
        """
        length = params.length if params.init is None else None
        return cls(*start_context(clip, params.init, length, generator))

    def prompts(self) -> Prompts:
        return Prompts(text=[self.context])

    def sentences(self, classnames: Sequence[str], template: str) -> list[str]:
        """``words name.`` or ``X … X name.``: the template is the context's own words."""
        return context_sentences(self.words, len(self.context), classnames)
