"""PromptSRC: prompts of both towers, held near the frozen CLIP (Khattak et al., ICCV 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.backbones.base import Backbone, Prompts, Task
from dpc.backbones.context import check_depth, context_sentences, noise, start_context
from dpc.backbones.templates import TEMPLATES
from dpc.clip.model import Clip, logits
from dpc.clip.views import Views
from dpc.params.fields import param

RELEASED = "released PromptSRC: base-to-new"


@dataclass(frozen=True)
class PromptSRCParams:
    """PromptSRC: independent prompts in both towers, three regularizers, averaged epochs."""

    init: str | None = param(
        "a photo of a",
        "Words whose first tokens the context starts from; null, or fewer words than length: "
        "random vectors.",
        source=RELEASED,
    )
    length: int = param(4, "Prompt tokens of each prompted layer.", ge=1, source=RELEASED)
    text_depth: int = param(
        9,
        "Prompted layers of the text tower, the input counted.",
        ge=1,
        source=RELEASED,
        layers=("text",),
    )
    image_depth: int = param(
        9,
        "Prompted layers of the image tower, the input counted.",
        ge=1,
        source=RELEASED,
        layers=("image",),
    )
    text_weight: float = param(
        25.0, "Weight of the distance to frozen text features.", ge=0, source=RELEASED
    )
    image_weight: float = param(
        10.0, "Weight of the distance to frozen image features.", ge=0, source=RELEASED
    )
    templates: str = param(
        "imagenet-60",
        "Sentences of the frozen text features: 60 for photos, or those the icons CLIP learned.",
        choices=("imagenet-60", "icons"),
        source="released PromptSRC: 60 of OpenAI's ImageNet prompts",
    )
    average_mean: float = param(
        0.75,
        "Mean of the Gaussian average over epochs, as a fraction of the epochs.",
        ge=0,
        source=f"{RELEASED}, epoch 15 of 20",
    )
    average_std: float = param(
        0.05,
        "Its standard deviation, as a fraction of the epochs.",
        gt=0,
        source=f"{RELEASED}, 1 epoch of 20",
    )
    lr: float = param(0.0025, "Learning rate of stage one (SGD).", gt=0, source=RELEASED)
    epochs: int = param(20, "Epochs of stage one.", ge=1, source=RELEASED)
    batch: int = param(4, "Images of a batch.", ge=1, source=RELEASED)


class PromptSRC(Backbone):
    """Prompts of the first layers of each tower, which know nothing of one another.

    Args:
        text: (n, d_t) of layers 0, 1, … of the text tower, copied.
        image: (n, d_v) of layers 0, 1, … of the image tower, copied.
        words: as in `dpc.backbones.context.Start`.
        templates: sentences with {} whose mean is the frozen text feature.
        text_weight, image_weight: of the two distances.
    """

    Params = PromptSRCParams
    label = "PromptSRC"
    prompted = ("text", "image")
    kept_losses = ("text_l1", "image_l1", "kl")

    def __init__(
        self,
        text: Sequence[Tensor],
        image: Sequence[Tensor],
        words: str | None = None,
        templates: Sequence[str] = TEMPLATES["imagenet-60"],
        text_weight: float = 25.0,
        image_weight: float = 10.0,
    ):
        super().__init__()
        self.words = words
        self.templates = tuple(templates)
        self.text_weight, self.image_weight = text_weight, image_weight
        self.text = nn.ParameterList([prompt.detach().clone() for prompt in text])
        self.image = nn.ParameterList([prompt.detach().clone() for prompt in image])

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """Text input out of words, all else N(0, 0.02²).

        Drawn in this order: the text input, if it is noise; the deeper text prompts; the image
        prompts from the input on.

        Raises:
            DpcError: more layers than a tower has, or ``init`` holds no word.
        """
        check_depth("backbones.promptsrc.text_depth", params.text_depth, text=clip.text_layers)
        check_depth("backbones.promptsrc.image_depth", params.image_depth, image=clip.image_layers)
        context, words = start_context(clip, params.init, params.length, generator)

        def draw(layers: int, width: int) -> list[Tensor]:
            return [noise(clip, params.length, width, generator) for _ in range(layers)]

        text = [context, *draw(params.text_depth - 1, clip.text_width)]
        image = draw(params.image_depth, clip.image_width)
        templates = TEMPLATES[params.templates]
        return cls(text, image, words, templates, params.text_weight, params.image_weight)

    def prompts(self) -> Prompts:
        return Prompts(list(self.text), list(self.image))

    def sentences(self, classnames: Sequence[str], template: str) -> list[str]:
        """``words name.`` or ``X … X name.``: the template is the context's own words."""
        return context_sentences(self.words, len(self.text[0]), classnames)

    def regularizers(
        self, task: Task, views: Views, images: Tensor, texts: Tensor, classes: Tensor | None
    ) -> dict[str, Tensor]:
        """Distances to the frozen CLIP, of features and of what follows from them.

        With T, I the features of length 1 and T₀, I₀ the frozen ones (T₀: the mean over the
        templates, normalised once, after the mean): text_l1 = w_t · mean|T − T₀|, image_l1 =
        w_i · mean|I − I₀|, kl = Σ KL(p₀ ‖ p) / (B·U), the zero-shot distribution p₀ the target.
        """
        if views.frozen is None:
            raise ValueError("PromptSRC is held near frozen image features and got none")
        frozen_images = views.frozen.to(images.device)  # (B, d)
        frozen_texts = task.frozen_text_features(self.templates)  # (C, d)
        if classes is not None:
            frozen_texts = frozen_texts[classes.to(frozen_texts.device)]  # (U, d)
        scale = task.clip.logit_scale
        log_p = logits(scale, images, texts).log_softmax(dim=1)  # (B, U)
        log_p0 = logits(scale, frozen_images, frozen_texts).log_softmax(dim=1)
        kl = F.kl_div(log_p, log_p0, reduction="sum", log_target=True)
        return {
            "text_l1": self.text_weight * _distance(texts, frozen_texts),
            "image_l1": self.image_weight * _distance(images, frozen_images),
            "kl": kl / log_p.numel(),
        }


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of all elements of (N, d) features of length 1."""
    return F.l1_loss(F.normalize(a, dim=-1), F.normalize(b, dim=-1))
