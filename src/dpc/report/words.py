"""Numbers as words: signed points, p values, verdicts and the headline of the page."""

import math
from collections.abc import Sequence

from dpc.evaluation.statistics import PairedTest, Summary
from dpc.report.effects import ALPHA, Effect, effects
from dpc.report.rows import Method, Results, backbone_label

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
    return f"a {word} of {abs(test.mean):.2f} points ({p_value(test.p)})"


def sentence(effect: Effect) -> str:
    """An effect explained in one sentence."""
    test = effect.pairs
    start = f"{effect.question} " if effect.question else ""
    clause = verdict(effect)
    if test is None or equal(test) or test.p is None:
        return f"{start}{clause[0].upper()}{clause[1:]}."
    counts = f"{test.wins} pairs up, {test.ties} equal, {test.losses} down"
    if effect.sets is None or effect.sets.p is None:
        return f"{start}{clause[0].upper()}{clause[1:]}; {counts}."
    same = significant(effect.sets) == significant(test)
    also = "the test over data sets agrees" if same else "the test over data sets does not agree"
    return f"{start}{clause[0].upper()}{clause[1:]}; {counts}; {also} ({p_value(effect.sets.p)})."


def headline(results: Results) -> list[str]:
    """The result in one sentence a backbone, honest in both directions."""
    tested = effects(results)
    lines = []
    for backbone in results.backbones:
        name, dpc = backbone_label(backbone), Method(backbone, "dpc")
        if not any(results.runs(dataset, dpc) for dataset in results.datasets):
            lines.append(f"{name}: DPC was not run, so there is nothing to compare.")
            continue
        start = _find(tested, dpc, "plain", "base")
        budget = _find(tested, dpc, "budget", "base")
        lines.append(
            f"On base classes {_clause(start, f'the {name} it starts from')}; "
            f"{_clause(budget, f'a {name} trained on as many images as both its stages')}. "
            f"{_new_clause(results, tested, dpc)}"
        )
    return lines


def details(results: Results) -> list[str]:
    """The numbers behind the headline: averages, interval and counts of each comparison."""
    tested = effects(results)
    lines = []
    for backbone in results.backbones:
        dpc = Method(backbone, "dpc")
        for kind, metric in (("plain", "base"), ("budget", "base"), ("budget", "new")):
            found = _find(tested, dpc, kind, metric)
            if found.pairs is not None:
                lines.append(_detail(results, found))
        lines.extend(_tuning_detail(tested, backbone))
        lines.extend(_balance(results, backbone))
    return lines


def _clause(effect: Effect, other: str) -> str:
    """A comparison of DPC with ``other`` as a main clause; both tests where they disagree."""
    test = effect.pairs
    if test is None:
        return f"there is no run of {other} to compare DPC with"
    if equal(test):
        return f"DPC equals {other} in every pair"
    if test.p is None:
        return f"DPC differs by {points(test.mean)} points from {other} (one pair, no test)"
    if not significant(test):
        return (
            f"there is no significant difference from {other} "
            f"({points(test.mean)} points, {p_value(test.p)})"
        )
    p = p_value(test.p)
    if effect.sets is not None and effect.sets.p is not None and not significant(effect.sets):
        p += f", but {p_value(effect.sets.p)} over data sets"
    verb, preposition = ("gains", "over") if test.mean > 0 else ("loses", "against")
    return f"DPC {verb} {abs(test.mean):.2f} points {preposition} {other} ({p})"


def _new_clause(results: Results, tested: Sequence[Effect], dpc: Method) -> str:
    runs = [score for dataset in results.datasets for score in results.runs(dataset, dpc)]
    frozen = all(score.row.get("omega_n") == 0 for score in runs)
    found = _find(tested, dpc, "plain", "new")
    test = found.pairs
    if test is None:
        return "New classes were not compared."
    if equal(test):
        reason = " by construction (ω_n = 0)" if frozen else " in every pair"
        return f"New classes are unchanged{reason}."
    return f"New classes: {verdict(found)}."


def _find(tested: Sequence[Effect], first: Method, second_kind: str, metric: str) -> Effect:
    for effect in tested:
        if (effect.first, effect.second.kind, effect.metric) == (first, second_kind, metric):
            return effect
    raise KeyError(f"no effect of {first.key} against {second_kind} on {metric}")


def _detail(results: Results, effect: Effect) -> str:
    test = effect.pairs
    assert test is not None
    first, second = results.average(effect.first), results.average(effect.second)
    text = f"{effect.first.label} against {effect.second.label} on {effect.metric}: "
    if first is not None and second is not None:
        one, two = (getattr(cell, effect.metric).mean for cell in (first, second))
        text += f"{one:.2f} against {two:.2f}; "
    text += f"difference {points(test.mean)}"
    if test.low is not None:
        text += f" (95 % interval {points(test.low)} to {points(test.high)}, {p_value(test.p)})"
    text += f"; higher in {test.wins}, equal in {test.ties}, lower in {test.losses} "
    text += f"of {test.n} seed × data-set pairs"
    if effect.without_one is not None:
        low, high = effect.without_one
        text += f"; leaving one data set out, {points(low)} to {points(high)}"
    return text + "."


def _tuning_detail(tested: Sequence[Effect], backbone: str) -> list[str]:
    plain = Method(backbone, "plain")
    base = _find(tested, plain, "zero_shot", "base")
    new = _find(tested, plain, "zero_shot", "new")
    if base.pairs is None or new.pairs is None:
        return []
    return [
        f"The trade-off itself: {plain.label} against zero-shot CLIP, on base "
        f"{verdict(base)}; on new {verdict(new)}."
    ]


def _balance(results: Results, backbone: str) -> list[str]:
    parts = []
    for kind in ("zero_shot", "plain", "budget", "dpc"):
        method = Method("zero_shot" if kind == "zero_shot" else backbone, kind)
        cell = results.average(method)
        if cell is not None:
            parts.append(f"{method.label} {cell.h.mean:.2f}")
    return [f"H of the average base and new: {'; '.join(parts)}."] if len(parts) > 1 else []


def effect_cells(effect: Effect) -> list[str]:
    """The columns of the table of effects, as text."""
    test, sets = effect.pairs, effect.sets
    if test is None:
        return [effect.title, "0", *[DASH] * 6]
    interval = DASH
    if test.low is not None:
        interval = f"{points(test.low)} to {points(test.high)}"
    statistic = DASH if test.t is None else points(test.t, sign=False)
    p, over = (_bare(each.p if each is not None else None) for each in (test, sets))
    counts = f"{test.wins} / {test.ties} / {test.losses}"
    return [effect.title, str(test.n), points(test.mean), interval, statistic, p, over, counts]


def _bare(p: float | None) -> str:
    return p_value(p).removeprefix(f"p{SPACE}").removeprefix(f"={SPACE}")
