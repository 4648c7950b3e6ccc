"""The result in words: what DPC adds to each backbone, and the numbers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from dpc.report.effects import Effect, effect
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.words import (
    DASH,
    SPACE,
    amount,
    bare_p,
    coverage,
    doubt,
    equal,
    p_value,
    points,
    significant,
    verdict,
)


@dataclass(frozen=True)
class Gain:
    """What DPC adds to one backbone: on base, at the weight that validation chose, on new, and on
    base against the backbone of the same total budget."""

    contender: Contender  # the backbone with DPC
    base: Effect
    chosen: Effect
    new: Effect
    budget: Effect
    frozen: bool  # ω_n is 0 in every run

    @property
    def name(self) -> str:
        """The backbone's."""
        return self.contender.name

    def of_budget(self) -> str:
        """The backbone of the same budget, for a sentence."""
        return f"a {self.name} of the same total budget"


def gains(results: Results) -> list[Gain]:
    """One gain for each backbone that ran with DPC, in table order."""
    found = []
    for backbone in results.backbones:
        plain, dpc, budget = (results.contender(backbone, k) for k in ("plain", "dpc", "budget"))
        runs = [score for dataset in results.datasets for score in results.runs(dataset, dpc)]
        if runs:
            found.append(
                Gain(
                    dpc,
                    effect(results, dpc, plain, "base"),
                    effect(results, results.contender(backbone, "dpc", "val"), plain, "base"),
                    effect(results, dpc, plain, "new"),
                    effect(results, dpc, budget, "base"),
                    all(score.row.get("omega_n") == 0 for score in runs),
                )
            )
    return found


def headline(results: Results) -> list[str]:
    """The result in short, honest in both directions: base, new classes, the same budget."""
    found = gains(results)
    lines = []
    if found:
        used = {results.weights(gain.contender) for gain in found}
        at = f", at ω_b = {used.pop()}" if len(used) == 1 and "" not in used else ""
        text = _compared([(gain.base, gain.name) for gain in found])
        lines.append(f"On base classes{at}: {text}.")
        lines.append(_new_sentence(found))
        longer = [(g.budget, g.of_budget()) for g in found if g.budget.pairs is not None]
        if longer:
            lines.append(f"Against longer training: {_compared(longer)}.")
    without = [
        results.names[backbone]
        for backbone in results.backbones
        if backbone not in {gain.contender.backbone for gain in found}
    ]
    if without:
        lines.append(f"DPC was not run on {_listed(without)}: there is nothing to compare.")
    return lines


def gain_cells(results: Results, gain: Gain) -> list[str]:
    """The columns of the table of gains, as text."""
    averages = [results.average(contender) for contender in (gain.base.second, gain.contender)]
    test = gain.base.pairs
    # averages of other runs than those of the difference would only confuse
    whole = test is not None and test.n == gain.base.possible
    means = [f"{c.base.mean:.2f}" if whole and c is not None else DASH for c in averages]
    cells = [gain.name, results.weights(gain.contender) or DASH, *means]
    if test is None:
        cells += [DASH] * 6
    else:
        interval = _span(test.low, test.high)
        left_out = _span(*(gain.base.without_one or (None, None)))
        over = bare_p(gain.base.sets.p if gain.base.sets is not None else None)
        count = str(test.n) if whole else f"{test.n} of {gain.base.possible}"
        cells += [points(test.mean), interval, bare_p(test.p), over, left_out, count]
    return [*cells, _short(gain.chosen), _short(gain.budget), _short(gain.new)]


GAIN_HEADINGS = (
    "Backbone",
    "ω_b",
    "Base, alone",
    "Base, + DPC",
    "Gain",
    "95 % interval",
    "p",
    "p over sets",
    "One set left out",
    "Pairs",
    "Gain, ω_b by validation",
    "Gain over same budget",
    "Gain on new",
)


def _span(low: float | None, high: float | None) -> str:
    """``+0.34 to +0.70`` on one line, or a dash."""
    return DASH if low is None else f"{points(low)} to {points(high)}".replace(" ", SPACE)


def _short(effect: Effect) -> str:
    """``+0.62 (p = 0.023)``, ``0.00, equal`` or a dash."""
    test = effect.pairs
    if test is None:
        return DASH
    if equal(test):
        return f"{points(0.0)},{SPACE}equal"
    return points(test.mean) + ("" if test.p is None else f" ({p_value(test.p)})")


def _compared(items: Sequence[tuple[Effect, str]]) -> str:
    """Comparisons of DPC as clauses: gains, losses, no difference, and what cannot be told."""
    groups: dict[str, list[str]] = {}
    for found, other in items:
        group, text = _clause(found, other)
        groups.setdefault(group, []).append(text)
    starts = {
        "up": "DPC gains",
        "down": "DPC loses",
        "none": "there is no significant difference from",
        "equal": "DPC equals, in every pair,",
        "single": "DPC differs from",
        "missing": "there is no run to compare DPC with of",
    }
    return "; ".join(
        f"{start} {_listed(groups[group])}" for group, start in starts.items() if group in groups
    )


def _clause(found: Effect, other: str) -> tuple[str, str]:
    """The group of a comparison, and its words with what weakens it in brackets."""
    test, seen, few = found.pairs, _seen(found), coverage(found)
    if test is None:
        return "missing", other
    if equal(test):
        return "equal", other + _brackets(seen, few)
    if test.p is None:
        difference = f"{points(test.mean)} points in the one pair there is, no test"
        return "single", other + _brackets(seen, difference)
    if not significant(test):
        return "none", other + _brackets(seen, f"{points(test.mean)} points, {doubt(found)}", few)
    group, word = ("up", "over") if test.mean > 0 else ("down", "against")
    brackets = _brackets(seen, _size(found), doubt(found), few)
    return group, f"{amount(test.mean)} points {word} {other}{brackets}"


def _new_sentence(found: Sequence[Gain]) -> str:
    """Unchanged classes first: by construction, or as they came out."""
    compared = [gain for gain in found if gain.new.pairs is not None]
    if not compared:
        return "New classes were not compared."
    groups: dict[str, list[str]] = {}
    for gain in compared:
        if gain.new.pairs is not None and equal(gain.new.pairs):
            reason = "by construction (ω_n = 0)" if gain.frozen else "in every pair"
            text = f"unchanged to the digit {reason}"
        else:
            text = verdict(gain.new)
        groups.setdefault(text, []).append(gain.name)
    if len(groups) == 1 and len(compared) == len(found):
        (text,) = groups
        return f"New classes: {text}."
    parts = [f"{text} for {_listed(names)}" for text, names in groups.items()]
    return f"New classes: {'; '.join(parts)}."


def _seen(found: Effect) -> str:
    """``10,240 against 9,800 images seen``: those of the longer training, then of DPC."""
    if found.images is None or found.second.kind != "budget":
        return ""
    first, second = found.images
    return f"{second:,.0f} against {first:,.0f} images seen"


def _size(found: Effect) -> str:
    """Says so where a difference is smaller than one image of the test set makes."""
    test = found.pairs
    small = test is not None and found.one_image is not None and abs(test.mean) < found.one_image
    return "less than one test image a run" if small else ""


def _brackets(*parts: str) -> str:
    inside = "; ".join(part for part in parts if part)
    return f" ({inside})" if inside else ""


def _listed(texts: Sequence[str]) -> str:
    """``a``, ``a and b`` or ``a, b and c``."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
