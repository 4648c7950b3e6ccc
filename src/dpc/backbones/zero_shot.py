"""Zero-shot CLIP: sentences and nothing learned (Radford et al., ICML 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from dpc.backbones.base import Backbone, Prompts, Task
from dpc.backbones.templates import TEMPLATES
from dpc.clip.model import Clip
from dpc.params.fields import param


@dataclass(frozen=True)
class ZeroShotParams:
    """Zero-shot CLIP: a sentence, or several, and nothing learned."""

    template: str = param(
        "a photo of a {}.",
        "Sentence of a class; {} is its name. A dataset on disk may have its own.",
    )
    ensemble: str = param(
        "none",
        "Further sentences, whose features are averaged with the template's: seven for photos, "
        "or those the icons CLIP learned.",
        choices=("none", "imagenet-7", "icons"),
        source="imagenet-7: CLIP's prompt ensemble, as CoOp released it",
    )


class ZeroShot(Backbone):
    """The row that every other backbone is measured against.

    Args:
        templates: further sentences with {}, averaged with the task's own.
    """

    Params = ZeroShotParams
    label = "Zero-shot CLIP"
    prompted = ()

    def __init__(self, templates: Sequence[str] = ()):
        super().__init__()
        self.templates = tuple(templates)

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """Nothing is drawn."""
        return cls(() if params.ensemble == "none" else TEMPLATES[params.ensemble])

    def prompts(self) -> Prompts:
        return Prompts()

    def text_features(self, task: Task, classes: Tensor | None = None) -> Tensor:
        """The sentence's features; in an ensemble the mean of features of length 1, which is
        shorter and not normalised again here.

        The task's own sentence joins unless the list holds it already; the released code leaves
        it out on ImageNet.
        """
        if not self.templates:
            return super().text_features(task, classes)
        sentences = dict.fromkeys((*self.templates, task.template))
        features = task.frozen_text_features(tuple(sentences), normalized=True)  # (C, d)
        return features if classes is None else features[classes.to(features.device)]
