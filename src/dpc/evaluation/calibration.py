"""How sure a classifier is against how often it is right (Guo et al., ICML 2017); no tensors
here, so that a page may say what its bins mean."""

import math
from collections.abc import Callable, Sequence

import numpy as np

BINS = 15  # of equal width, as in Guo et al.
ROWS = 4096  # images whose probabilities are held together, in double precision

Bin = tuple[int, float, float]  # images, their mean confidence, their accuracy, in percent


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Images by the probability of the class that they are taken for.

    Args:
        logits: (N, C) at the scale that the loss sees, over the classes of one task.
        labels: (N,) in 0..C-1.
        bins: bin m of M holds probabilities in ((m-1)/M, m/M].

    Returns:
        For each bin the number of images, their mean top probability and the percent of them
        that are right; 0 for both where there is no image.

    Raises:
        ValueError: there is no image at all.
    """
    pieces = (logits[start : start + ROWS] for start in range(0, len(logits), ROWS))
    top = np.concatenate([_confidence(piece) for piece in pieces])
    right = logits.argmax(axis=1) == labels
    place = np.searchsorted(np.arange(1, bins) / bins, top)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=each, minlength=bins) for each in (top, right)]
    means = [100 * total / count.clip(min=1) for total in sums]
    return list(zip(count.tolist(), *(mean.tolist() for mean in means), strict=True))


def ece(bins: Sequence[Bin]) -> float:
    """Expected calibration error in percent points: mean over the images of how far their bin's
    confidence and accuracy lie apart.

    Raises:
        ValueError: there is no image.
    """
    return _mean(bins, lambda confidence, right: abs(confidence - right))


def overconfidence(bins: Sequence[Bin]) -> float:
    """Mean confidence minus accuracy in percent points: above 0 too sure, below too modest.

    Raises:
        ValueError: there is no image.
    """
    return _mean(bins, lambda confidence, right: confidence - right)


def pooled(each: Sequence[Sequence[Bin]]) -> list[Bin]:
    """The bins of several tests as those of one with all their images."""
    found = []
    for bins in zip(*each, strict=True):
        count = sum(images for images, _, _ in bins)
        sums = [math.fsum(one[0] * one[part] for one in bins) for part in (1, 2)]
        found.append((count, *(total / max(count, 1) for total in sums)))
    return found


def _confidence(logits: np.ndarray) -> np.ndarray:
    """(N,) probability of the largest logit, in double precision: it lies close to 1, where bins
    end."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    return 1 / np.exp(shifted).sum(axis=1)


def _mean(bins: Sequence[Bin], of: Callable[[float, float], float]) -> float:
    images = sum(count for count, _, _ in bins)
    if images == 0:
        raise ValueError("calibration of no image")
    return math.fsum(count * of(sure, right) for count, sure, right in bins) / images
