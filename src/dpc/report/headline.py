"""The result in words: one sentence a backbone, and the numbers behind it."""

from collections.abc import Sequence

from dpc.report.effects import Effect, budget_words, effects
from dpc.report.rows import VALIDATED, Contender, Results, backbone_label
from dpc.report.words import amount, equal, p_value, points, significant, verdict


def headline(results: Results) -> list[str]:
    """The result in short a backbone, honest in both directions; DPC at the weights of the run."""
    tested = effects(results)
    lines = []
    for backbone in results.backbones:
        name, dpc = backbone_label(backbone), Contender(backbone, "dpc")
        if not any(results.runs(dataset, dpc) for dataset in results.datasets):
            lines.append(f"{name}: DPC was not run, so there is nothing to compare.")
            continue
        start, budget = (_find(tested, dpc, kind, "base") for kind in ("plain", "budget"))
        used = results.weights(dpc)
        at = f", at ω_b = {used}" if used else ""
        sentences = [
            f"On base classes{at}: {_clause(start, f'the {name} it starts from')}; "
            f"{_clause(budget, f'a {name} of the same total budget', _seen(budget))}.",
            _new_sentence(results, tested, dpc),
            _chosen_sentence(tested, backbone),
        ]
        lines.append(" ".join(sentence for sentence in sentences if sentence))
    return lines


def details(results: Results) -> list[str]:
    """The numbers behind the headline: averages, interval and counts of each comparison."""
    tested = effects(results)
    lines = []
    for backbone in results.backbones:
        dpc, chosen = Contender(backbone, "dpc"), Contender(backbone, "dpc", "val")
        for first, kind, metric in (
            (dpc, "plain", "base"),
            (chosen, "plain", "base"),
            (dpc, "budget", "base"),
            (chosen, "budget", "base"),
            (dpc, "budget", "new"),
        ):
            found = _find(tested, first, kind, metric)
            if found.pairs is not None:
                lines.append(_detail(results, found))
        lines.extend(_tuning_detail(tested, backbone))
        lines.extend(_balance(results, backbone))
    return lines


def _find(tested: Sequence[Effect], first: Contender, second_kind: str, metric: str) -> Effect:
    for effect in tested:
        if (effect.first, effect.second.kind, effect.metric) == (first, second_kind, metric):
            return effect
    raise KeyError(f"no effect of {first.key} against {second_kind} on {metric}")


def _clause(effect: Effect, other: str, seen: str = "") -> str:
    """A comparison of DPC with ``other`` as a main clause, with what weakens it in brackets."""
    test = effect.pairs
    if test is None:
        return f"there is no run of {other} to compare DPC with"
    if equal(test):
        return f"DPC equals {other}{_brackets(seen, _coverage(effect))} in every pair"
    if test.p is None:
        difference = f"{points(test.mean)} points in the one pair there is, no test"
        return f"DPC differs from {other}{_brackets(seen, difference)}"
    if not significant(test):
        difference = f"{points(test.mean)} points, {_doubt(effect)}"
        start = f"there is no significant difference from {other}"
        return start + _brackets(seen, difference, _coverage(effect))
    verb, preposition = ("gains", "over") if test.mean > 0 else ("loses", "against")
    start = f"DPC {verb} {amount(test.mean)} points {preposition} {other}"
    return start + _brackets(seen, _size(effect), _doubt(effect), _coverage(effect))


def _chosen_sentence(tested: Sequence[Effect], backbone: str) -> str:
    """What changes where ω_b is chosen on validation shots; empty where that was not done."""
    chosen, name = Contender(backbone, "dpc", "val"), backbone_label(backbone)
    others = {"plain": f"that {name}", "budget": f"the {name} of the same budget"}
    parts = []
    for kind, other in others.items():
        found = _find(tested, chosen, kind, "base")
        test = found.pairs
        if test is None:
            continue
        if test.p is None:
            ends = ["one pair, no test"]
        elif equal(test):
            ends = ["equal in every pair", _coverage(found)]
        else:
            doubt = "" if significant(test) else "not significant"
            ends = [doubt, _doubt(found), _coverage(found)]
        parts.append(f"{points(test.mean)} points against {other}{_brackets(*ends)}")
    return f"With {VALIDATED}: {', '.join(parts)}." if parts else ""


def _new_sentence(results: Results, tested: Sequence[Effect], dpc: Contender) -> str:
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


def _seen(effect: Effect) -> str:
    """``10,240 against 9,800 images seen``: the second's, then the first's."""
    if effect.images is None:
        return ""
    first, second = effect.images
    return f"{second:,.0f} against {first:,.0f} images seen"


def _size(effect: Effect) -> str:
    """Says so where a difference is smaller than one image of the test set makes."""
    test = effect.pairs
    small = test is not None and effect.one_image is not None and abs(test.mean) < effect.one_image
    return "less than one test image a run" if small else ""


def _doubt(effect: Effect) -> str:
    """The p value over pairs, and the stricter one where it does not agree with a finding."""
    p = p_value(effect.pairs.p if effect.pairs is not None else None)
    if not significant(effect.pairs) or effect.sets is None or significant(effect.sets):
        return p
    if effect.sets.p is None:
        return f"{p}, on one data set"
    return f"{p}, but {p_value(effect.sets.p)} over data sets"


def _coverage(effect: Effect) -> str:
    """How many of the pairs there are, where some are missing."""
    count = effect.pairs.n if effect.pairs is not None else 0
    return f"{count} of {effect.possible} pairs" if count < effect.possible else ""


def _brackets(*parts: str) -> str:
    inside = "; ".join(part for part in parts if part)
    return f" ({inside})" if inside else ""


def _detail(results: Results, effect: Effect) -> str:
    test = effect.pairs
    assert test is not None
    other = effect.second.label
    if effect.second.kind == "budget":
        other = budget_words(backbone_label(effect.second.backbone), effect.images)
    text = f"{effect.first.label} against {other} on {effect.metric}: "
    complete = test.n == effect.possible  # else averages are over other runs than the difference
    first, second = results.average(effect.first), results.average(effect.second)
    if complete and first is not None and second is not None:
        one, two = (getattr(cell, effect.metric).mean for cell in (first, second))
        text += f"{one:.2f} against {two:.2f}; "
    text += f"difference {points(test.mean)}"
    if test.low is not None:
        text += f" (95 % interval {points(test.low)} to {points(test.high)}, {p_value(test.p)})"
    text += f"; higher in {test.wins}, equal in {test.ties}, lower in {test.losses} "
    text += f"of {test.n} seed × data-set pairs"
    if not complete:
        text += f", where {effect.possible} were possible"
    if effect.without_one is not None:
        low, high = effect.without_one
        text += f"; leaving one data set out, {points(low)} to {points(high)}"
    return text + "."


def _tuning_detail(tested: Sequence[Effect], backbone: str) -> list[str]:
    plain = Contender(backbone, "plain")
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
        contender = Contender("zero_shot" if kind == "zero_shot" else backbone, kind)
        cell = results.average(contender)
        if cell is not None:
            parts.append(f"{contender.label} {cell.h.mean:.2f}")
    return [f"H of the average base and new: {'; '.join(parts)}."] if len(parts) > 1 else []
