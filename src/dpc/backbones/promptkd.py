"""PromptKD: a prompted student that learns a larger teacher's view of images without labels
(Li et al., CVPR 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.backbones.base import Backbone, Prompts, Task, Teacher
from dpc.backbones.context import check_depth, noise, start_linear
from dpc.clip.model import Clip, logits
from dpc.clip.views import Views
from dpc.errors import DpcError
from dpc.params.fields import param


@dataclass(frozen=True)
class PromptKDParams:
    """PromptKD: image prompts and a projector, distilled from a teacher on unlabelled images."""

    length: int = param(4, "Number of image prompt tokens.", ge=1, source="PromptKD")
    depth: int = param(
        9,
        "Image layers with prompts, the input counted.",
        ge=1,
        source="PromptKD: base-to-new",
        layers=("image",),
    )
    kd_weight: float = param(
        1000.0,
        "Weight of the distillation; published: 200 on FGVCAircraft, OxfordFlowers and DTD.",
        ge=0,
        source="PromptKD",
    )
    temperature: float = param(1.0, "Temperature of both distributions.", gt=0, source="PromptKD")
    dual: str = param(
        "image",
        "What DPC gives a parallel: the image prompts, or the teacher's text prompt (released).",
        choices=("image", "text"),
        source="the paper; released DPC has text",
    )
    lr: float = param(0.005, "Learning rate of stage one (SGD).", gt=0, source="PromptKD")
    epochs: int = param(20, "Epochs of stage one.", ge=1, source="PromptKD")
    batch: int = param(
        8,
        "Images of a batch, two at least for BatchNorm; 32 in the README of released DPC.",
        ge=2,
        source="PromptKD",
    )


class PromptKD(Backbone):
    """Image prompts, and a projector from the student's image features to the teacher's.

    The classes are the teacher's text features as they are. With ``text`` (released DPC) they
    come from the teacher's text tower with prompts that start as its tuned ones; stage one leaves
    those alone, DPC gives the one at the input a parallel. The released loader of that variant
    means to take the deep prompts of both towers over from stage one, but they reach no layer and
    the run starts from noise there; here they are taken over.

    Args:
        image: (n, d_v), one a layer, the input's first; copied.
        projector: (B, d) -> (B, d_T), on features that are not normalised.
        text: (m, d_t) text prompts of the teacher, one a layer, copied; none: see above.
        kd_weight, temperature: of the distillation.
    """

    Params = PromptKDParams
    label = "PromptKD"
    prompted = ("image",)
    transductive = True
    needs_teacher = True

    def __init__(
        self,
        image: Sequence[Tensor],
        projector: nn.Module,
        text: Sequence[Tensor] = (),
        kd_weight: float = 1000.0,
        temperature: float = 1.0,
    ):
        super().__init__()
        self.image = _learned(image)
        self.projector = projector
        self.text = _learned(text)
        self.kd_weight = kd_weight
        self.temperature = temperature

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        """Refused: the projector is as wide as the teacher's features.

        Raises:
            DpcError: always.
        """
        raise DpcError(f"{cls.label} learns from a teacher and got none: use from_teacher")

    @classmethod
    def from_teacher(
        cls, clip: Clip, teacher: Teacher, params: Any, generator: torch.Generator
    ) -> Self:
        """Image prompts from N(0, 0.02²), layer by layer, then the projector of PyTorch's default.

        Raises:
            DpcError: more prompted layers than the tower has, or text prompts that are wanted and
                that the teacher lacks.
        """
        check_depth("backbones.promptkd.depth", params.depth, image=clip.image_layers)
        if params.dual == "text" and not teacher.text_prompts:
            raise DpcError(
                "promptkd.dual is 'text' and the teacher learned no text prompts: take 'image', "
                "or a teacher that has them (promptsrc)"
            )
        size = (params.length, clip.image_width)
        image = [noise(clip, *size, generator) for _ in range(params.depth)]
        projector = make_projector(clip.embed_dim, teacher.text_features.shape[1], generator)
        text = teacher.text_prompts if params.dual == "text" else ()
        made = cls(image, projector, text, params.kd_weight, params.temperature)
        return made.to(clip.device)

    def prompts(self) -> Prompts:
        """Image prompts of the student; text prompts, if any, of the teacher's tower."""
        return Prompts(list(self.text), list(self.image))

    def text_features(self, task: Task, classes: Tensor | None = None) -> Tensor:
        """Teacher's text features (U, d_T), not normalised; base class has the arguments."""
        teacher = _teacher(task)
        if not len(self.text):
            return _rows(teacher.text_features, classes).to(task.clip.device)
        if teacher.load is None or teacher.tokens is None:
            raise ValueError(f"{self.label} prompts the teacher's text tower and got no such tower")
        features = teacher.load().encode_text(_rows(teacher.tokens, classes), list(self.text))
        return features.to(task.clip.device)

    def image_features(self, clip: Clip, views: Views) -> Tensor:
        """Projected features (B, d_T), not normalised; fp32 whatever the precision of CLIP."""
        return self.projector(super().image_features(clip, views))

    def losses(
        self, task: Task, views: Views, labels: Tensor, classes: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Distillation alone: the images count as unlabelled, ``labels`` are not looked at."""
        images = self.image_features(task.clip, views)
        return {"distillation": self._distillation(task, views, images, classes)}

    def regularizers(
        self, task: Task, views: Views, images: Tensor, texts: Tensor, classes: Tensor | None
    ) -> dict[str, Tensor]:
        """Distillation, where the teacher's image features are at hand."""
        if views.teacher is None:
            return {}
        return {"distillation": self._distillation(task, views, images, classes)}

    def parallel_parameters(self) -> list[str]:
        """The image prompts; with text prompts the one at the input of the text tower alone."""
        if len(self.text):
            return ["text.0"]
        return [f"image.{layer}" for layer in range(len(self.image))]

    def _distillation(
        self, task: Task, views: Views, images: Tensor, classes: Tensor | None
    ) -> Tensor:
        """weight · T² · KL(p_teacher ‖ p_student) / (B·U), the KL summed over images and classes.

        Both distributions use the text features that the teacher came with, so that stage one
        never runs its text tower.
        """
        if views.teacher is None:
            raise ValueError(f"{self.label} learns from a teacher's image features and got none")
        teacher = _teacher(task)
        texts = _rows(teacher.text_features, classes).to(images.device)
        scale = teacher.logit_scale.to(images.device)
        target = logits(scale, views.teacher.to(images.device), texts) / self.temperature
        student = logits(task.clip.logit_scale, images, texts) / self.temperature
        divergence = F.kl_div(
            student.log_softmax(dim=1), target.log_softmax(dim=1), reduction="sum", log_target=True
        )
        return self.kd_weight * self.temperature**2 * divergence / student.numel()


def make_projector(width: int, out: int, generator: torch.Generator) -> nn.Sequential:
    """Linear, BatchNorm, ReLU, Linear from (B, width) to (B, out).

    On features of one place these are the 1×1 convolutions of the released code.
    """
    first = start_linear(width, out, generator)
    last = start_linear(out, out, generator)
    return nn.Sequential(first, nn.BatchNorm1d(out), nn.ReLU(), last)


def _learned(tensors: Sequence[Tensor]) -> nn.ParameterList:
    return nn.ParameterList([nn.Parameter(value.detach().clone()) for value in tensors])


def _teacher(task: Task) -> Teacher:
    if task.teacher is None:
        raise ValueError("PromptKD compares images with a teacher's classes: the task has none")
    return task.teacher


def _rows(tensor: Tensor, classes: Tensor | None) -> Tensor:
    return tensor if classes is None else tensor[classes.to(tensor.device)]
