"""Gaussian-weighted averaging of a module over its epochs (PromptSRC, ICCV 2023)."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def gaussian_weights(epochs: int, mean: float, std: float) -> list[float]:
    """Weights of the states after epochs 1..E, with sum 1: N(e; mean·E, std·E), normalised.

    Args:
        mean, std: as fractions of the epochs, so that a shorter run keeps the shape.
    """
    exponents = [-((e / epochs - mean) ** 2) / (2 * std**2) for e in range(1, epochs + 1)]
    highest = max(exponents)  # taken out, so that a narrow bell between two epochs is no 0/0
    bell = [math.exp(value - highest) for value in exponents]
    total = sum(bell)
    return [value / total for value in bell]


class Average:
    """The weighted sum of the states so far; after the last epoch it replaces the module's.

    Args:
        weights: one an epoch.
        so_far: the sum of an interrupted run; empty at the start.
    """

    def __init__(self, weights: Sequence[float], so_far: Mapping[str, Tensor]):
        self.weights = weights
        self.sum = {name: value.clone() for name, value in so_far.items()}

    @torch.no_grad()
    def add(self, epoch: int, module: nn.Module) -> None:
        """Add the state after ``epoch`` (from 0); counters are no sums and stay out."""
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                before = self.sum.get(name, torch.zeros(())).to(value.device)
                self.sum[name] = before + self.weights[epoch] * value

    def replace(self, module: nn.Module) -> None:
        """Put the average into the module."""
        module.load_state_dict(module.state_dict() | self.sum)
