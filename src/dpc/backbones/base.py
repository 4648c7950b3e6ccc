"""What every backbone is: learned tensors, and the prompts that CLIP reads from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.clip.features import encode_texts
from dpc.clip.model import Clip, logits
from dpc.clip.sentences import sentence
from dpc.clip.views import Views
from dpc.params.fields import param


class Prompts(NamedTuple):
    """Prompt tokens of the two towers: one (n, width) tensor for each prompted layer."""

    text: Sequence[Tensor] = ()
    image: Sequence[Tensor] = ()


@dataclass(frozen=True)
class Teacher:
    """A larger CLIP with tuned prompts, which a student learns from.

    Attributes:
        text_features: (C, d_T) of the task's classes, not normalised.
        logit_scale: exp of its temperature, a scalar.
        text_prompts: its tuned text prompts, one (n, d_t) a layer.
        tokens: (C, L) ids of its sentences.
        load: the teacher's CLIP, for those who learn text prompts through it.
    """

    text_features: Tensor
    logit_scale: Tensor
    text_prompts: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    load: Callable[[], Clip] | None = None


@dataclass(frozen=True)
class Task:
    """Classes to tell apart, and the CLIP that does it.

    Attributes:
        clip: the frozen CLIP.
        classnames: C names; a class is its place in them.
        tokens: (C, L) ids of the backbone's sentences.
        template: the sentence that the backbone was asked to use; {} is the class name.
        teacher: for backbones that learn from one.
    """

    clip: Clip
    classnames: tuple[str, ...]
    tokens: Tensor
    template: str = "{}"
    teacher: Teacher | None = None
    _frozen: dict[Any, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def frozen_text_features(
        self, templates: Sequence[str] | None = None, normalized: bool = False
    ) -> Tensor:
        """Frozen CLIP's text features (C, d), the mean over sentences; computed once a task.

        Args:
            templates: sentences with {}; None: the task's own.
            normalized: whether each sentence's feature has length 1 before the mean is taken.
        """
        chosen = tuple(templates) if templates is not None else (self.template,)
        if (chosen, normalized) not in self._frozen:
            total = torch.zeros(())
            for template in chosen:
                tokens = self.clip.tokenize([sentence(template, n) for n in self.classnames])
                found = encode_texts(self.clip, tokens)
                total = total.to(found.device) + (
                    F.normalize(found, dim=-1) if normalized else found
                )
            self._frozen[chosen, normalized] = total / len(chosen)
        return self._frozen[chosen, normalized]


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
    # backbone with learned tensors has lr, epochs and batch among them, its stage-one recipe;
    # average_mean and average_std, if it has them, ask for the Gaussian average over epochs.
    Params: ClassVar[type] = Training
    # Its name in tables; "" is the name of its block.
    label: ClassVar[str] = ""
    # Whether stage one learns from the unlabelled training images of all classes, new ones
    # included; tables put such rows in a block of their own.
    transductive: ClassVar[bool] = False
    # Whether it is made by `from_teacher` and its tasks and images carry a teacher's features.
    needs_teacher: ClassVar[bool] = False
    # The towers that its prompts go into, "text" and "image". A CLIP that cannot take them is
    # refused before any work, and so are more layers than a tower has, by the parameter that
    # says so: `param(…, layers=("text",))`.
    prompted: ClassVar[tuple[str, ...]] = ("text",)
    # Names of `regularizers` that DPC keeps beside its own loss unless params say otherwise.
    kept_losses: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """A backbone at its start, sized for ``clip``; by default the class without arguments."""
        return cls()

    @classmethod
    def from_teacher(
        cls, clip: Clip, teacher: Teacher, params: Any, generator: torch.Generator
    ) -> Self:
        """As `from_clip`, for a backbone that `needs_teacher`."""
        return cls.from_clip(clip, params, generator)

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

    def text_features(self, task: Task, classes: Tensor | None = None) -> Tensor:
        """Features (U, d), not normalised, of ``classes`` (U,) of the task; None: of all C."""
        tokens = task.tokens if classes is None else task.tokens[classes.cpu()]
        return task.clip.encode_text(tokens, self.prompts().text)

    def image_features(self, clip: Clip, views: Views) -> Tensor:
        """Features (B, d), not normalised; without image prompts, the frozen ones as they are."""
        if not self.needs_images:
            if views.frozen is None:
                raise ValueError(f"{type(self).__name__} reads frozen features and got none")
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
        rows = labels if classes is None else torch.searchsorted(classes, labels)
        images = self.image_features(task.clip, views)  # (B, d)
        texts = self.text_features(task, classes)  # (U, d)
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
            task, views, classes: as in `losses`.
            images: (B, d) this backbone's image features, not normalised.
            texts: (U, d) its text features of ``classes``, not normalised.
        """
        return {}

    def parallel_parameters(self) -> list[str]:
        """Names of the tensors that DPC gives a parallel copy: all learned ones.

        A backbone with other learned parts (couplings, a projector) names its prompts here; the
        rest is carried along as ``dpc.couplings`` says.
        """
        return [name for name, _ in self.named_parameters()]


def make_task(
    clip: Clip,
    backbone: Backbone,
    classnames: Sequence[str],
    template: str,
    teacher: Teacher | None = None,
) -> Task:
    """The task of telling ``classnames`` apart with the backbone's sentences.

    Raises:
        DpcError: a sentence that is too long for the CLIP.
    """
    tokens = clip.tokenize(backbone.sentences(classnames, template))
    return Task(clip, tuple(classnames), tokens, template, teacher)
