"""Means, spreads and paired tests of accuracies in percent; no tensors here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TIE = 1e-9  # percent points: accuracies closer than this are equal


def harmonic_mean(base: float, new: float) -> float:
    """H = 2·base·new / (base + new); 0 when both are 0."""
    if base < 0 or new < 0:
        raise ValueError(f"accuracies are percent, at least 0; got base {base} and new {new}")
    total = base + new
    return 2.0 * base * new / total if total > 0 else 0.0


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (ddof 1) of ``n`` values; no deviation below two."""

    mean: float
    std: float | None
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """Mean and standard deviation with ddof 1; ``std`` is None for a single value."""
    if not values:
        raise ValueError("summary of no value")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Summary(mean, None, len(values))
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Summary(mean, math.sqrt(variance), len(values))


@dataclass(frozen=True)
class PairedTest:
    """Student's t of paired differences, with the two-sided p and an interval of the mean.

    ``t``, ``p``, ``low`` and ``high`` are None for a single pair: one difference has no spread.
    ``wins``, ``ties`` and ``losses`` count the pairs whose difference is above, at and below 0.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    t: float | None
    p: float | None
    wins: int
    ties: int
    losses: int


def paired_t(differences: Sequence[float], level: float = 0.95) -> PairedTest:
    """Test whether the mean of paired differences is 0.

    All pairs equal to 0 give t = 0 and p = 1. One and the same difference in all pairs gives an
    infinite t and p = 0, as in scipy: it has no spread to be judged by.

    Args:
        differences: first minus second of each pair, in percent points.
        level: coverage of the interval of the mean.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is between 0 and 1, got {level}")
    summary = summarize(differences)
    wins = sum(difference > TIE for difference in differences)
    losses = sum(difference < -TIE for difference in differences)
    ties = summary.n - wins - losses
    if summary.std is None:
        return PairedTest(1, summary.mean, None, None, None, None, wins, ties, losses)
    if ties == summary.n:
        return PairedTest(summary.n, 0.0, 0.0, 0.0, 0.0, 1.0, wins, ties, losses)
    error = summary.std / math.sqrt(summary.n) if summary.std > TIE else 0.0
    t = summary.mean / error if error > 0 else math.copysign(math.inf, summary.mean)
    from scipy.special import stdtr, stdtrit  # here: the other functions are asked without scipy

    freedom = summary.n - 1
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    p = float(2 * stdtr(freedom, -abs(t)))
    low, high = summary.mean - half, summary.mean + half
    return PairedTest(summary.n, summary.mean, low, high, t, p, wins, ties, losses)
