"""Near-equal drawings of two collections, found by looking at the images, not at the names.

The families of pretraining and of the downstream sets were drawn by different hands, but they share
ancestors and simple shapes. What is nearly the same picture leaves pretraining, so that no model
has seen a downstream image.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dpc.icons.render import Drawing

THRESHOLD = 0.95  # correlation of two blurred maps from which on they count as one drawing
_SIDE = 24
_BLOCK = 1024


def fingerprints(drawings: Sequence[Drawing]) -> np.ndarray:
    """(N, 576) float32: each map at 24x24 (box filter), centred, of length 1.

    The product of two rows is the correlation of the two blurred images.
    """
    rows = np.empty((len(drawings), _SIDE * _SIDE), np.float32)
    for row, drawing in zip(rows, drawings, strict=True):
        small = Image.fromarray(drawing.ink).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        row[:] = np.asarray(small, np.float32).ravel()
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def nearest(
    drawings: Sequence[Drawing], others: Sequence[Drawing]
) -> tuple[np.ndarray, np.ndarray]:
    """For each drawing the correlation (N,) with its nearest of ``others`` and that one's index."""
    if not others:
        return np.full(len(drawings), -1.0, np.float32), np.zeros(len(drawings), np.int64)
    left, right = fingerprints(drawings), fingerprints(others)
    best = np.empty(len(left), np.float32)
    which = np.empty(len(left), np.int64)
    for begin in range(0, len(left), _BLOCK):
        similar = left[begin : begin + _BLOCK] @ right.T
        which[begin : begin + _BLOCK] = similar.argmax(axis=1)
        best[begin : begin + _BLOCK] = similar.max(axis=1)
    return best, which


def without_duplicates(
    drawings: Sequence[Drawing], others: Sequence[Drawing], threshold: float = THRESHOLD
) -> list[Drawing]:
    """The drawings that are not nearly one of ``others``."""
    best, _ = nearest(drawings, others)
    return [drawing for drawing, value in zip(drawings, best, strict=True) if value < threshold]
