"""Right and wrong class by class, out of predictions; arrays of numpy, no tensors."""

import numpy as np


def per_class(predictions: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Images of each class, and how many of them are right: (C, 2) int64.

    Args:
        predictions: (N,).
        labels: (N,) in 0..C-1.
        classes: C.
    """
    right = labels[predictions == labels]
    return np.stack([np.bincount(each, minlength=classes) for each in (labels, right)], axis=1)


def confused(predictions: np.ndarray, labels: np.ndarray) -> dict[tuple[int, int], int]:
    """(true class, class it is taken for) -> images, of the wrong ones.

    Args:
        predictions, labels: (N,) classes.
    """
    wrong = predictions != labels
    if not wrong.any():
        return {}
    width = int(predictions.max()) + 1  # one number for a pair: unique sorts rows far more slowly
    pairs, counts = np.unique(labels[wrong] * width + predictions[wrong], return_counts=True)
    return {divmod(pair, width): n for pair, n in zip(pairs.tolist(), counts.tolist(), strict=True)}
