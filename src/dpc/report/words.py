"""Numbers as words: signed points, p values and the verdict of a test."""

import math
from collections.abc import Sequence

from dpc.evaluation.statistics import PairedTest, Summary
from dpc.report.effects import ALPHA, Effect

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


def significant(test: PairedTest | None) -> bool:
    """Whether a test rejects "no difference" at the 5 % level."""
    return test is not None and test.p is not None and test.p < ALPHA


def equal(test: PairedTest) -> bool:
    """Whether all pairs are ties."""
    return test.ties == test.n


def verdict(effect: Effect) -> str:
    """One clause of an effect: a gain, a loss, no significant difference, or not measured."""
    test = effect.pairs
    if test is None:
        return "not measured: no pair of runs"
    if equal(test):
        return "equal in every pair"
    if test.p is None:
        return f"{points(test.mean)} points in the one pair there is, too few for a test"
    if not significant(test):
        return f"no significant difference ({points(test.mean)} points, {p_value(test.p)})"
    word = "gain" if test.mean > 0 else "loss"
    return f"a {word} of {amount(test.mean)} points ({p_value(test.p)})"


def reading(effect: Effect) -> str:
    """What a test found, in a word or two; says so where the stricter test does not agree."""
    test = effect.pairs
    if test is None:
        return "not measured"
    if equal(test):
        return "equal"
    if test.p is None:
        return "one pair, no test"
    word = "gain" if test.mean > 0 else "loss"
    over = effect.sets if effect.sets is not None and effect.sets.p is not None else test
    if significant(test):
        return word if significant(over) else f"{word}, not over sets"
    return f"{word} over sets only" if significant(over) else "none found"


def doubt(effect: Effect) -> str:
    """The p value over pairs, and the stricter one where it does not agree with a finding."""
    p = p_value(effect.pairs.p if effect.pairs is not None else None)
    if not significant(effect.pairs) or effect.sets is None or significant(effect.sets):
        return p
    if effect.sets.p is None:
        return f"{p}, on one data set"
    return f"{p}, but {p_value(effect.sets.p)} over data sets"


def coverage(effect: Effect) -> str:
    """How many of the pairs there are, where some are missing."""
    count = effect.pairs.n if effect.pairs is not None else 0
    return f"{count} of {effect.possible} pairs" if count < effect.possible else ""


def effect_cells(effect: Effect) -> list[str]:
    """The columns of the table of effects, as text."""
    test, sets = effect.pairs, effect.sets
    if test is None:
        return [effect.title, "0", *[DASH] * 6, reading(effect)]
    interval = DASH
    if test.low is not None:
        interval = f"{points(test.low)} to {points(test.high)}"
    statistic = DASH if test.t is None else points(test.t, sign=False)
    p, over = (bare_p(each.p if each is not None else None) for each in (test, sets))
    counts = f"{test.wins} / {test.ties} / {test.losses}"
    mean, read = points(test.mean), reading(effect)
    return [effect.title, str(test.n), mean, interval, statistic, p, over, counts, read]


def bare_p(p: float | None) -> str:
    """``0.023`` or ``< 0.001``, for a column of p values."""
    return p_value(p).removeprefix(f"p{SPACE}").removeprefix(f"={SPACE}")


def listed(texts: Sequence[str]) -> str:
    """``a``, ``a and b`` or ``a, b and c``."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
