"""What a baseline learns from, and what it answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor


@dataclass(frozen=True)
class Shots:
    """The few-shot images of the classes to tell apart, as the frozen CLIP sees them.

    Attributes:
        features: (N, V, d) of V views of N images, not normalised.
        labels: (N,) int64 classes, 0..C-1.
        texts: (C, d) zero-shot CLIP's text features, not normalised.
        scale: exp of CLIP's temperature, a scalar.
        seed: of whatever is drawn in training.
    """

    features: Tensor
    labels: Tensor
    texts: Tensor
    scale: Tensor
    seed: int


@dataclass(frozen=True)
class Facts:
    """What making a classifier took.

    Attributes:
        images_seen: views of images that it was shown.
        steps: of an optimizer.
        learned: name -> shape of what the optimizer stepped on.
        history: mean loss of each epoch by name; None where nothing is trained.
    """

    images_seen: int
    steps: int = 0
    learned: Mapping[str, Sequence[int]] | None = None
    history: Mapping[str, Sequence[float]] | None = None


class Baseline(ABC):
    """A classifier of the tuned classes, made from the shots."""

    # Its name in tables.
    label: ClassVar[str]
    facts: Facts

    @classmethod
    @abstractmethod
    def fit(cls, shots: Shots, params: Any) -> Self:
        """The classifier; ``params`` is its block in params.yaml."""

    @classmethod
    def operations(cls, images: int, width: int, classes: int, params: Any) -> float:
        """Multiplications and additions that `fit` takes, roughly; by default none to count.

        Args:
            images, width, classes: N, d and C of the shots.
            params: its block.
        """
        return 0.0

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """(M, C) of image features (M, d) that are not normalised, on CLIP's scale."""
