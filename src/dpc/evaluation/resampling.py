"""What the choice of test images does to an accuracy: the bootstrap over images."""

import numpy as np


def resampled_accuracies(
    correct: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Accuracies in percent on test sets drawn anew, with replacement, from these images.

    All columns are tested on the same images in each draw, so that their differences are paired
    (Efron 1979). Images that the columns agree on are drawn as one kind: how often each kind comes
    is multinomial, the very distribution of drawing images one by one.

    Args:
        correct: bool (N, M): whether each of M runs is right on each of N images.
        draws: how many test sets.
        generator: the source of chance.

    Returns:
        Float (draws, M).

    Raises:
        ValueError: no image.
    """
    if correct.ndim != 2 or len(correct) == 0:
        raise ValueError(f"correct is (N, M) with N above 0, got {correct.shape}")
    kinds, counts = np.unique(correct, axis=0, return_counts=True)
    drawn = generator.multinomial(len(correct), counts / len(correct), size=draws)
    return 100.0 * (drawn @ kinds.astype(np.int64)) / len(correct)
