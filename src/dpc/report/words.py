"""Numbers as words: signed points, p values and the verdict of a test."""

import math
from collections.abc import Sequence

from dpc.evaluation.statistics import ALPHA, PairedTest, Summary
from dpc.report.effects import Effect

DASH = "–"
MINUS = "−"
SPACE = "\u00a0"  # does not break a line


def points(value: float | None, digits: int = 2, sign: bool = True) -> str:
    """A difference with its sign: ``+0.62``, ``−0.20``, ``0.00``; a dash for None."""
    if value is None:
        return DASH
    if math.isinf(value):
        return (MINUS if value < 0 else "") + "∞"
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def amount(value: float) -> str:
    """The size of a difference: ``0.62``; ``less than 0.01`` where that would print as nothing."""
    text = f"{abs(value):.2f}"
    return text if float(text) else "less than 0.01"


def percent(summary: Summary | None, seeded: bool = True) -> str:
    """``81.80 ± 1.02``; a single seed has ``± –``, a method without seeds no deviation."""
    if summary is None:
        return DASH
    if not seeded:
        return f"{summary.mean:.2f}"
    spread = DASH if summary.std is None else f"{summary.std:.2f}"
    return f"{summary.mean:.2f} ± {spread}"


def p_value(p: float | None) -> str:
    """``p = 0.023``, ``p < 0.001``, unbroken; a dash where no test is possible."""
    if p is None:
        return DASH
    text = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return text.replace(" ", SPACE)


def significant(effect: Effect) -> bool:
    """Whether the deciding test rejects "no difference" at the 5 % level, after Holm's rule."""
    return effect.adjusted is not None and effect.adjusted < ALPHA


def verdict(effect: Effect) -> str:
    """One clause of an effect: a gain, a loss, no significant difference, or not measured."""
    test = effect.seeds
    if test is None:
        return "not measured: no pair of runs"
    if effect.equal:
        return "equal in every pair"
    if effect.adjusted is None:
        return f"{points(test.mean)} points{untested(effect)}"
    if not significant(effect):
        return f"no significant difference ({points(test.mean)} points, {p_value(effect.adjusted)})"
    word = "gain" if test.mean > 0 else "loss"
    return f"a {word} of {amount(test.mean)} points ({p_value(effect.adjusted)})"


def untested(effect: Effect) -> str:
    """Why there is a difference and no test of it, to follow the difference."""
    seeds = effect.seeds.n if effect.seeds is not None else 0
    return " with one seed" if seeds == 1 else f" with each of {seeds} seeds, no spread to test"


def reading(effect: Effect) -> str:
    """What the deciding test found, in a word or few."""
    test = effect.seeds
    if test is None:
        return "not measured"
    if effect.equal:
        return "equal"
    if effect.adjusted is None:
        return "one seed, no test" if test.n == 1 else "no spread, no test"
    if not significant(effect):
        return "not significant"
    return "gain" if test.mean > 0 else "loss"


def doubt(effect: Effect) -> str:
    """The deciding p, and the one over data sets where a finding may not hold on another set."""
    p, sets = p_value(effect.adjusted), effect.sets
    if not significant(effect) or sets is None or (sets.p is not None and sets.p < ALPHA):
        return p
    if sets.n == 1:
        return f"{p}, on one data set"
    return p if sets.p is None else f"{p}; {p_value(sets.p)} over data sets"


def coverage(effect: Effect) -> str:
    """Which part of the runs is compared, where some are missing: ``2 of 3 seeds``."""
    seeds, sets = effect.seeds, effect.sets
    parts = [] if sets is None else [(sets.n, effect.of_sets, "data sets")]
    parts += [] if seeds is None else [(seeds.n, effect.of_seeds, "seeds")]
    return ", ".join(f"{n} of {count} {name}" for n, count, name in parts if n < count)


def span(low_high: tuple[float | None, float | None] | None) -> str:
    """``+0.34 to +0.70`` on one line, or a dash."""
    low, high = low_high or (None, None)
    return DASH if low is None else f"{points(low)} to {points(high)}".replace(" ", SPACE)


def counts(test: PairedTest | None) -> str:
    """How many differences are above, at and below 0: ``2 / 0 / 1``, unbroken."""
    if test is None:
        return DASH
    return f"{test.wins} / {test.ties} / {test.losses}".replace(" ", SPACE)


def bare_p(p: float | None) -> str:
    """``0.023`` or ``< 0.001``, for a column of p values."""
    return p_value(p).removeprefix(f"p{SPACE}").removeprefix(f"={SPACE}")


def listed(texts: Sequence[str]) -> str:
    """``a``, ``a and b`` or ``a, b and c``."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
