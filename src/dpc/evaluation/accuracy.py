"""Top-1 accuracy over a test split."""

import torch
from torch import Tensor


class NotNumbers(ValueError):
    """Logits whose argmax would mean nothing."""


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Percent of images whose largest logit is their label: correct / total (micro average).

    Args:
        logits: (N, C), any floating type, over the classes of ONE task.
        labels: (N,) integers, 0..C-1 within that task.

    Raises:
        ValueError: the shapes do not fit, there is no image, or a label lies outside the task.
        NotNumbers: a logit is not a number.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits are (N, C) and labels (N,), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if labels.numel() == 0:
        raise ValueError("accuracy of no image: the test split is empty")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(f"labels {low}..{high}, but the task has classes 0..{logits.shape[1] - 1}")
    if bool(torch.isnan(logits).any()):
        raise NotNumbers("logits hold values that are not numbers")
    correct = int((logits.argmax(dim=1) == labels).sum())
    return 100.0 * correct / labels.numel()
