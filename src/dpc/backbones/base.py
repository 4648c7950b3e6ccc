"""What every backbone is: learned tensors, and the prompts that CLIP reads from them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.clip.model import Clip, logits
from dpc.clip.sentences import sentence
from dpc.clip.views import Views
from dpc.params.fields import param


class Prompts(NamedTuple):
    """Prompt tokens of the two towers: one (n, width) tensor for each prompted layer."""

    text: Sequence[Tensor] = ()
    image: Sequence[Tensor] = ()


@dataclass(frozen=True)
class Task:
    """Classes to tell apart, and the CLIP that does it.

    Attributes:
        clip: the frozen CLIP.
        classnames: C names; a class is its place in them.
        tokens: (C, L) ids of the backbone's sentences.
    """

    clip: Clip
    classnames: tuple[str, ...]
    tokens: Tensor


@dataclass(frozen=True)
class Training:
    """A backbone without parameters of its own: how stage one trains it."""

    lr: float = param(0.0035, "Learning rate of stage one (SGD).", gt=0)
    epochs: int = param(10, "Epochs of stage one.", ge=1)
    batch: int = param(4, "Images of a batch.", ge=1)


class Backbone(nn.Module, ABC):
    """Learned prompts; ``state_dict()`` is all there is to save, mix or compare.

    A backbone says what the prompts are; where they go is CLIP's affair, so CLIP is an argument
    and never an attribute.
    """

    # A dataclass of `dpc.params.fields.param` fields: the backbone's block in params.yaml. A
    # backbone with learned tensors has lr, epochs and batch among them, its stage-one recipe.
    Params: ClassVar[type] = Training

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """A backbone at its start, sized for ``clip``; by default the class without arguments."""
        return cls()

    @abstractmethod
    def prompts(self) -> Prompts:
        """The prompts of both towers, made from the learned tensors."""

    @property
    def needs_images(self) -> bool:
        """Whether image features depend on learned tensors, so that pixels must be at hand."""
        return len(self.prompts().image) > 0

    def sentences(self, classnames: Sequence[str], template: str) -> list[str]:
        """One sentence a class, into which the text prompts are put."""
        return [sentence(template, name) for name in classnames]

    def text_features(self, clip: Clip, tokens: Tensor) -> Tensor:
        """Features (C, d), not normalised, of ``tokens`` (C, L)."""
        return clip.encode_text(tokens, self.prompts().text)

    def image_features(self, clip: Clip, views: Views) -> Tensor:
        """Features (B, d), not normalised; without image prompts, the frozen ones as they are."""
        if not self.needs_images:
            return views.frozen.to(clip.device)
        if views.images is None:
            raise ValueError(f"{type(self).__name__} prompts the image tower and got no images")
        return clip.encode_image(views.images, self.prompts().image)

    def losses(
        self, task: Task, views: Views, labels: Tensor, classes: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Named scalar losses of a batch; the one over the classes is "classification".

        Args:
            task: the classes.
            views: the images, B of them.
            labels: (B,) their classes.
            classes: (U,) ascending, the classes to tell apart; None: all. Holds all labels.
        """
        if classes is None:
            tokens, rows = task.tokens, labels
        else:
            tokens, rows = task.tokens[classes.cpu()], torch.searchsorted(classes, labels)
        images = self.image_features(task.clip, views)  # (B, d)
        texts = self.text_features(task.clip, tokens)  # (U, d)
        scores = logits(task.clip.logit_scale, images, texts)
        return {
            "classification": F.cross_entropy(scores, rows),
            **self.regularizers(task, views, images, texts, classes),
        }

    def regularizers(
        self, task: Task, views: Views, images: Tensor, texts: Tensor, classes: Tensor | None
    ) -> dict[str, Tensor]:
        """Named losses beside the one over the classes; none unless a backbone has them.

        Args:
            task, views, classes: as in :meth:`losses`.
            images: (B, d) this backbone's image features, not normalised.
            texts: (U, d) its text features of ``classes``, not normalised.
        """
        return {}

    def parallel_parameters(self) -> list[str]:
        """Names of the tensors that DPC gives a parallel copy: all learned ones."""
        return [name for name, _ in self.named_parameters()]


def make_task(clip: Clip, backbone: Backbone, classnames: Sequence[str], template: str) -> Task:
    """The task of telling ``classnames`` apart with the backbone's sentences.

    Raises:
        DpcError: a sentence that is too long for the CLIP.
    """
    tokens = clip.tokenize(backbone.sentences(classnames, template))
    return Task(clip, tuple(classnames), tokens)
