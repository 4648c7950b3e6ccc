"""Negative Sampler of DPC's Dynamic Hard Negative Optimizer (CVPR 2025).

An image's hard negatives are the classes that the tuned prompt finds most similar to it, its own
left out. A class stands once in an extended batch. Departures from the released sampler: always
K−1 negatives, never a random class to fill up, images drawn from the pool that is given.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dpc.errors import DpcError


class Extended(NamedTuple):
    """A batch with its hard negatives: image 1, its negatives by falling similarity, image 2, …"""

    labels: Tensor  # (n,) int64, the class of each row
    own: Tensor  # (n,) bool, True for an image of the batch, False for a negative


def rank(similarities: Tensor, labels: Tensor) -> Tensor:
    """For each image the classes that are not its own, by falling similarity.

    Args:
        similarities: (B, C) images against all classes.
        labels: (B,) classes of the images.

    Returns:
        (B, C−1) classes; equal similarities in the order of the classes.
    """
    order = similarities.argsort(dim=1, descending=True, stable=True)
    others = order != labels[:, None].to(order.device)
    return order[others].reshape(len(labels), -1)


def hard_negatives(
    ranking: Tensor, labels: Tensor, k: int, refill: bool = False
) -> list[list[int]]:
    """Hard-negative classes of each image of a batch, no class twice.

    The batch holds the classes of all its images from the start, then, image by image, the
    negatives taken so far; what it holds already is dropped.

    Args:
        ranking: (B, C−1) of `rank`.
        labels: (B,) classes of the images.
        k: an image and its K−1 negatives; K above the number of classes means all of them.
        refill: walk on down the ranking until K−1 new classes are found or none is left;
            otherwise only the first K−1 are looked at.
    """
    taken = set(labels.tolist())
    result = []
    for row in ranking.tolist():
        mine: list[int] = []
        for candidate in row if refill else row[: k - 1]:
            if len(mine) == k - 1:
                break
            if candidate not in taken:
                taken.add(candidate)
                mine.append(candidate)
        result.append(mine)
    return result


def extend(labels: Tensor, negatives: Sequence[Sequence[int]]) -> Extended:
    """The rows of the extended batch of images ``labels`` (B,) and their negatives."""
    classes: list[int] = []
    own: list[bool] = []
    for label, mine in zip(labels.tolist(), negatives, strict=True):
        classes += [label, *mine]
        own += [True, *[False] * len(mine)]
    return Extended(torch.tensor(classes), torch.tensor(own))


class Pool:
    """Labelled images that negatives are drawn from.

    Args:
        labels: (M,) classes of the pool's images.
    """

    def __init__(self, labels: Tensor):
        labels = labels.cpu()
        self._by_class = labels.argsort(stable=True)
        self._count = labels.bincount()
        self._start = self._count.cumsum(0) - self._count

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """One random image for each class of ``classes`` (n,): indices (n,) into the pool.

        Raises:
            DpcError: a class without an image in the pool.
        """
        known = classes < len(self._count)
        count = torch.where(known, self._count[classes.clamp(max=len(self._count) - 1)], 0)
        if bool((count == 0).any()):
            missing = int(classes[count == 0][0])
            raise DpcError(f"class {missing} has no image to draw a hard negative from")
        place = (torch.rand(len(classes), generator=generator, dtype=torch.float64) * count).long()
        return self._by_class[self._start[classes] + place]
