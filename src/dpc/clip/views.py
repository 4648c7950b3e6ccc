"""What a backbone sees of an image, and what holds labelled images for training."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Views(NamedTuple):
    """One view of each image of a batch; what a backbone does not ask for may be missing."""

    frozen: Tensor | None = None  # (B, d) features of the frozen CLIP, not normalised
    images: Tensor | None = None  # (B, 3, H, W), only where a backbone changes image features
    teacher: Tensor | None = None  # (B, d_T) image features of a teacher, not normalised

    def to(self, device: torch.device) -> "Views":
        """The same views on a device."""
        return Views(*(None if part is None else part.to(device) for part in self))


class Bank(Protocol):
    """Labelled training images of one task."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64 classes, 0..C-1 within the task."""

    @property
    def count(self) -> int:
        """V, the number of views of an image."""

    def views(self, indices: Tensor, view: int) -> Views:
        """View number ``view`` (modulo the views there are) of the images ``indices`` (B,)."""


class FrozenBank:
    """A bank of precomputed features: all that backbones without image prompts need.

    Args:
        features: (N, V, d) features of V views of N images, not normalised.
        labels: (N,) classes.
        teacher: (N, V', d_T) features of a teacher's, or None.
    """

    def __init__(self, features: Tensor, labels: Tensor, teacher: Tensor | None = None):
        if features.ndim != 3 or len(features) != len(labels) or features.shape[1] < 1:
            raise ValueError(
                f"features are (images, views, d) and labels (images,), got "
                f"{tuple(features.shape)} and {tuple(labels.shape)}"
            )
        self.features = features
        self.labels = labels.to(torch.long)
        self.teacher = teacher

    @property
    def count(self) -> int:
        return self.features.shape[1]

    def views(self, indices: Tensor, view: int) -> Views:
        view %= self.features.shape[1]
        taught = None if self.teacher is None else self.teacher[indices, view]
        return Views(frozen=self.features[indices, view], teacher=taught)


def join(first: Views, second: Views, order: Tensor) -> Views:
    """The rows of two batches, one behind the other, then put in ``order``."""
    return Views(
        *(
            None if a is None or b is None else torch.cat([a, b])[order]
            for a, b in zip(first, second, strict=True)
        )
    )
