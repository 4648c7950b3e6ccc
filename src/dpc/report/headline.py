"""The result in words: what DPC adds to each backbone, and the numbers behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpc.report.context import shots_name, shots_text
from dpc.report.effects import Effect, by_construction, effect
from dpc.report.protocols import Measure
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
    listed,
    p_value,
    points,
    significant,
    verdict,
)


@dataclass(frozen=True)
class Gain:
    """What DPC adds to one backbone: on the leading measure of the protocol, the same at the
    weight that validation chose, on every other measure, and on the leading one against the
    backbone of the same total budget."""

    contender: Contender  # the backbone with DPC
    lead: Effect
    chosen: Effect
    others: Mapping[Measure, Effect]
    budget: Effect
    fixed: bool  # ω_n = 0 leaves what it reads as the backbone has it

    @property
    def name(self) -> str:
        """The backbone's."""
        return self.contender.name

    def of_budget(self) -> str:
        """The backbone of the same budget, for a sentence."""
        return f"a {self.name} of the same total budget"


def gains(results: Results) -> list[Gain]:
    """One gain for each backbone that ran with DPC, in table order."""
    found, lead = [], results.protocol.lead
    for backbone in results.backbones:
        plain, dpc, budget = (results.contender(backbone, k) for k in ("plain", "dpc", "budget"))
        if any(results.runs(dataset, dpc) for dataset in results.datasets):
            others = {m: effect(results, dpc, plain, m) for m in results.protocol.others}
            found.append(
                Gain(
                    dpc,
                    effect(results, dpc, plain, lead),
                    effect(results, results.contender(backbone, "dpc", "val"), plain, lead),
                    others,
                    effect(results, dpc, budget, lead),
                    any(by_construction(results, each) for each in others.values()),
                )
            )
    return found


def headline(results: Results, shots: int | None = None) -> list[str]:
    """The result in short, honest in both directions: the leading measure, the others, the same
    budget.

    Args:
        results: of one number of shots.
        shots: that number, where there are others.
    """
    found, lead = gains(results), results.protocol.lead
    lines = []
    if found:
        used = {results.weights(gain.contender) for gain in found}
        at = f", at ω_b = {used.pop()}" if len(used) == 1 and "" not in used else ""
        at += "" if shots is None else f", {shots_name(shots)}"
        text = _compared([(gain.lead, gain.name) for gain in found])
        lines.append(f"On {lead.where}{at}: {text}.")
        lines += [_other_sentence(found, measure) for measure in found[0].others]
        longer = [(g.budget, g.of_budget()) for g in found if g.budget.pairs is not None]
        if longer:
            lines.append(f"Against longer training: {_compared(longer)}.")
    without = [
        results.names[backbone]
        for backbone in results.backbones
        if backbone not in {gain.contender.backbone for gain in found}
    ]
    if without:
        lines.append(f"DPC was not run on {listed(without)}: there is nothing to compare.")
    return lines


def by_shots_sentence(series: Mapping[int | None, Results]) -> str:
    """The gain of DPC at every number of shots, for each backbone; empty without a series."""
    texts: dict[str, list[str]] = {}
    for shots, results in series.items() if len(series) > 1 else ():
        for gain in gains(results):
            test = gain.lead.pairs
            if test is not None:
                star = "*" if significant(test) else ""
                text = f"{points(test.mean)}{star} at {shots_text(shots)}"
                texts.setdefault(gain.name, []).append(text.replace(" ", SPACE))
    parts = [f"{name} {', '.join(each)}" for name, each in texts.items()]
    if not parts:
        return ""
    return f"DPC minus its backbone by shots, in points (* p < 0.05): {'; '.join(parts)}."


def averages_sentence(results: Results) -> str:
    """The average accuracy over the targets: zero-shot CLIP and each backbone."""
    texts = []
    for contender in results.shown():
        cell = results.average(contender)
        if contender.kind in ("zero_shot", "plain") and cell is not None:
            texts.append(f"{contender.label} {cell['accuracy'].mean:.2f}")
    count = len(results.pooled)
    plural = "s" if count != 1 else ""
    return f"Average over {count} target{plural}: {', '.join(texts)}." if texts else ""


def gain_cells(results: Results, gain: Gain) -> list[str]:
    """The columns of the table of gains, as text."""
    lead, test = results.protocol.lead, gain.lead.pairs
    sets = results.over(lead.over)
    averages = [results.average(each, sets) for each in (gain.lead.second, gain.contender)]
    # averages of other runs than those of the difference would only confuse
    whole = test is not None and test.n == gain.lead.possible
    means = [f"{c[lead.metric].mean:.2f}" if whole and c is not None else DASH for c in averages]
    cells = [gain.name, results.weights(gain.contender) or DASH, *means]
    if test is None:
        cells += [DASH] * 6
    else:
        interval = _span(test.low, test.high)
        left_out = _span(*(gain.lead.without_one or (None, None)))
        over = bare_p(gain.lead.sets.p if gain.lead.sets is not None else None)
        count = str(test.n) if whole else f"{test.n} of {gain.lead.possible}"
        cells += [points(test.mean), interval, bare_p(test.p), over, left_out, count]
    others = [_short(each) for each in gain.others.values()]
    return [*cells, _short(gain.chosen), _short(gain.budget), *others]


def gain_headings(results: Results) -> list[str]:
    """Headings of :func:`gain_cells`."""
    protocol = results.protocol
    return [
        "Backbone",
        "ω_b",
        f"{protocol.lead.heading}, alone",
        f"{protocol.lead.heading}, + DPC",
        "Gain",
        "95 % interval",
        "p",
        "p over sets",
        "One set left out",
        "Pairs",
        "Gain, ω_b by validation",
        "Gain over same budget",
        *(f"Gain on {measure.label}" for measure in protocol.others),
    ]


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
        f"{start} {listed(groups[group])}" for group, start in starts.items() if group in groups
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


def _other_sentence(found: Sequence[Gain], measure: Measure) -> str:
    """A measure besides the leading one: unchanged by construction, or as it came out."""
    compared = [gain for gain in found if gain.others[measure].pairs is not None]
    if not compared:
        return f"{measure.start} were not compared."
    groups: dict[str, list[str]] = {}
    for gain in compared:
        test = gain.others[measure].pairs
        if test is not None and equal(test):
            reason = "by construction (ω_n = 0)" if gain.fixed else "in every pair"
            text = f"unchanged to the digit {reason}"
        else:
            text = verdict(gain.others[measure])
        groups.setdefault(text, []).append(gain.name)
    if len(groups) == 1 and len(compared) == len(found):
        (text,) = groups
        return f"{measure.start}: {text}."
    parts = [f"{text} for {listed(names)}" for text, names in groups.items()]
    return f"{measure.start}: {'; '.join(parts)}."


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
