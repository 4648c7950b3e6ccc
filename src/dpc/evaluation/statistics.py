"""Means, spreads and paired tests of accuracies in percent; no tensors here.

scipy is imported where it is asked: the means are wanted without it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TIE = 1e-9  # percent points: accuracies closer than this are equal
LEVEL = 0.95  # coverage of intervals
ALPHA = 0.05  # a p below this is called significant
POWER = 0.8  # of a difference that is called detectable


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

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Student's interval of the mean, n - 1 degrees of freedom; None without a deviation."""
        if self.std is None:
            return None
        half = critical(self.n - 1, level) * self.std / math.sqrt(self.n)
        return self.mean - half, self.mean + half


def critical(freedom: int, level: float = LEVEL) -> float:
    """How many standard errors Student's interval of this coverage reaches to each side."""
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ValueError(f"level is between 0 and 1, got {level}")
    return float(stdtrit(freedom, (1 + level) / 2))


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

    ``t``, ``p``, ``low`` and ``high`` are None where there is no spread to judge by: of a single
    pair, and where all pairs differ by one and the same amount. ``std`` has n - 1 below.
    ``wins``, ``ties`` and ``losses`` count the pairs whose difference is above, at and below 0.
    """

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None
    t: float | None
    p: float | None
    wins: int
    ties: int
    losses: int


def paired_t(differences: Sequence[float], level: float = LEVEL) -> PairedTest:
    """Test whether the mean of paired differences is 0.

    All pairs equal to 0 give t = 0 and p = 1. One other difference in all pairs gives no test,
    where scipy has p = 0: accuracies move in steps of one test image, and runs that agree to the
    image have a spread too small to be seen, not none.

    Args:
        differences: first minus second of each pair, in percent points.
        level: coverage of the interval of the mean.
    """
    summary = summarize(differences)
    wins = sum(difference > TIE for difference in differences)
    losses = sum(difference < -TIE for difference in differences)
    n, mean, std, ties = summary.n, summary.mean, summary.std, summary.n - wins - losses
    if std is not None and ties == n:
        return PairedTest(n, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, wins, ties, losses)
    interval = summary.interval(level)
    if std is None or interval is None or std <= TIE:
        return PairedTest(n, mean, std, None, None, None, None, wins, ties, losses)
    from scipy.special import stdtr

    t = mean / (std / math.sqrt(n))
    return PairedTest(
        n, mean, std, *interval, t, float(2 * stdtr(n - 1, -abs(t))), wins, ties, losses
    )


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted by Holm's step-down rule, in the order given.

    Calling significant what is below α then errs in any of the tests with probability α at most,
    whatever they have to do with each other (Holm 1979). None is no test and stays None.
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    found: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        found[place] = largest
    return found


def detectable(test: PairedTest) -> float | None:
    """The true difference that a test like this finds four times out of five, in percent points.

    Of one test at the 5 % level, two-sided, for as many pairs with this deviation; the far tail,
    below 1e-6 here, is left out. None where nothing was tested.
    """
    if test.p is None or not test.std:
        return None
    from scipy.special import nctdtrinc  # the non-centrality by the power

    freedom = test.n - 1
    shift = float(nctdtrinc(freedom, 1 - POWER, critical(freedom, 1 - ALPHA)))
    return shift * test.std / math.sqrt(test.n)
