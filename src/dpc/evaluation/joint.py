"""Base and new classes in one label space: accuracies, and what an offset between them changes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dpc.evaluation.accuracy import accuracy

# Subtracted from base classes' logits, in their own unit: 1 is 0.01 of cosine at CLIP's scale 100.
OFFSETS = tuple(step / 2 for step in range(-20, 21))


def joint_accuracies(logits: Tensor, labels: Tensor, base: int) -> dict[str, float]:
    """Percent right among the images of base classes, of new ones, and among all.

    Args:
        logits: (N, C), the base classes first.
        labels: (N,) in 0..C-1.
        base: number of base classes.

    Raises:
        ValueError: no image of one kind.
    """
    of_base = labels < base
    return {
        "base": accuracy(logits[of_base], labels[of_base]),
        "new": accuracy(logits[~of_base], labels[~of_base]),
        "overall": accuracy(logits, labels),
    }


def offset_curve(
    logits: Tensor, labels: Tensor, base: int, offsets: Sequence[float] = OFFSETS
) -> list[dict[str, float]]:
    """Accuracies when an offset is taken off the base classes' logits (calibrated stacking).

    Tuned classes are too sure of themselves; the curve shows how much of a loss is that alone.
    Arguments and errors as of `joint_accuracies`.

    Returns:
        ``{"offset", "base", "new", "overall"}`` for each offset, in their order.
    """
    points = []
    for offset in offsets:
        shift = torch.zeros(logits.shape[1], dtype=logits.dtype)
        shift[:base] = offset
        points.append({"offset": offset} | joint_accuracies(logits - shift, labels, base))
    return points
