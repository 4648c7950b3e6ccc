"""The result in words: what DPC adds to each backbone, and the numbers behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpc.evaluation.statistics import critical
from dpc.report.context import shots_name, shots_text
from dpc.report.effects import Effect, Series, answered, by_construction
from dpc.report.protocols import Measure, Question, capital
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.words import (
    SPACE,
    amount,
    coverage,
    doubt,
    listed,
    points,
    significant,
    untested,
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


def gains(series: Series) -> dict[int | None, list[Gain]]:
    """By shots, one gain for each backbone that ran with DPC, in table order.

    Each column of gains is a family: the p values are adjusted over the backbones, and over the
    numbers of shots where there are several.
    """
    protocol = next(iter(series.values())).protocol

    def asked(first: str, second: str, measure: Measure) -> dict[tuple[int | None, str], Effect]:
        return answered(series, Question(first, second, measure, ""))

    lead, chosen, budget = (
        asked(first, second, protocol.lead)
        for first, second in (("dpc", "plain"), ("chosen", "plain"), ("dpc", "budget"))
    )
    others = {measure: asked("dpc", "plain", measure) for measure in protocol.others}
    return {
        shots: [
            Gain(
                results.contender(backbone, "dpc"),
                lead[shots, backbone],
                chosen[shots, backbone],
                {measure: each[shots, backbone] for measure, each in others.items()},
                budget[shots, backbone],
                any(by_construction(results, each[shots, backbone]) for each in others.values()),
            )
            for backbone in results.backbones
            if any(results.runs(d, results.contender(backbone, "dpc")) for d in results.datasets)
        ]
        for shots, results in series.items()
    }


def headline(series: Series) -> list[str]:
    """The result in short, honest in both directions: the leading measure, the others, the same
    budget; of several numbers of shots, at the most."""
    shots, results = list(series.items())[-1]
    found, lead = gains(series)[shots], results.protocol.lead
    lines = []
    if found:
        used = {results.weights(gain.contender) for gain in found}
        at = f", at ω_b = {used.pop()}" if len(used) == 1 and "" not in used else ""
        at += f", {shots_name(shots)}" if shots is not None and len(series) > 1 else ""
        text = _compared([(gain.lead, gain.name) for gain in found])
        lines.append(f"On {lead.where}{at}: {text}.")
        lines += [_other_sentence(found, measure) for measure in found[0].others]
        longer = [(g.budget, g.of_budget()) for g in found if g.budget.seeds is not None]
        if longer:
            lines.append(f"Against longer training: {_compared(longer)}.")
        lines += few_seeds([gain.lead for gain in found])
    without = [
        results.names[backbone]
        for backbone in results.backbones
        if backbone not in {gain.contender.backbone for gain in found}
    ]
    if without:
        lines.append(f"DPC was not run on {listed(without)}: there is nothing to compare.")
    return lines


def few_seeds(effects: Sequence[Effect]) -> list[str]:
    """What one or two seeds can tell, and of which backbones where the others have more."""
    told = {
        1: "one seed has no spread: nothing is tested",
        2: "two seeds leave one degree of freedom: an interval reaches "
        f"{critical(1):.1f} standard errors to each side, and only differences far above the "
        "seeds' spread can be found",
    }
    counts = {each.first.name: each.seeds.n for each in effects if each.seeds is not None}
    lines = []
    for few, text in told.items():
        names = [name for name, count in counts.items() if count == few]
        if names:
            some = f"On {listed(names)}, " if len(names) < len(counts) else ""
            lines.append(f"{some}{text}." if some else f"{capital(text)}.")
    return lines


def by_shots_sentence(series: Series) -> str:
    """The gain of DPC at every number of shots, for each backbone; empty without a series."""
    texts: dict[str, list[str]] = {}
    for shots, group in gains(series).items() if len(series) > 1 else ():
        for gain in group:
            if gain.lead.seeds is not None:
                star = "*" if significant(gain.lead) else ""
                text = f"{points(gain.lead.seeds.mean)}{star} at {shots_text(shots)}"
                texts.setdefault(gain.name, []).append(text.replace(" ", SPACE))
    parts = [f"{name} {', '.join(each)}" for name, each in texts.items()]
    if not parts:
        return ""
    return f"DPC minus its backbone by shots, in points (* Holm p < 0.05): {'; '.join(parts)}."


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
    test, seen, few = found.seeds, _seen(found), coverage(found)
    if test is None:
        return "missing", other
    if found.equal:
        return "equal", other + _brackets(seen, few)
    if found.adjusted is None:
        return "single", other + _brackets(seen, f"{points(test.mean)} points{untested(found)}")
    if not significant(found):
        return "none", other + _brackets(seen, f"{points(test.mean)} points, {doubt(found)}", few)
    group, word = ("up", "over") if test.mean > 0 else ("down", "against")
    brackets = _brackets(seen, _size(found), doubt(found), few)
    return group, f"{amount(test.mean)} points {word} {other}{brackets}"


def _other_sentence(found: Sequence[Gain], measure: Measure) -> str:
    """A measure besides the leading one: unchanged by construction, or as it came out."""
    compared = [gain for gain in found if gain.others[measure].seeds is not None]
    if not compared:
        return f"{measure.start} were not compared."
    groups: dict[str, list[str]] = {}
    for gain in compared:
        if gain.others[measure].equal:
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
    test = found.seeds
    small = test is not None and found.one_image is not None and abs(test.mean) < found.one_image
    return "less than one test image a run" if small else ""


def _brackets(*parts: str) -> str:
    inside = "; ".join(part for part in parts if part)
    return f" ({inside})" if inside else ""
