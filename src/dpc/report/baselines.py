"""What prompts buy: tuned methods against classifiers that have the same shots and no prompt."""

from collections.abc import Sequence

from dpc.report.baseline_rules import rules
from dpc.report.context import Report
from dpc.report.effects import Effect, Series, effect, one_family
from dpc.report.protocols import TARGETS, Measure, capital
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.sections import Section, at_most_shots
from dpc.report.tested import DECIDING, deciding_cells
from dpc.report.words import listed, significant

Table = dict[tuple[Contender, Measure], list[Effect]]
KINDS = ("plain", "dpc")
ABOVE, BELOW, EQUAL = "above it are", "below it are", "equal in every pair are"
UNDECIDED = "no significant difference is found of"
UNTESTED = "without a spread over seeds, and so not tested, are"


def section(report: Report) -> Section | None:
    """Prompts minus each baseline, of the most shots; nothing where no baseline ran."""
    found = list(against(report.series).values())[-1]
    if not found:
        return None
    measures = list(dict.fromkeys(measure for _, measure in found))
    values = {
        "deciding": DECIDING,
        "measures": {
            measure: {
                baseline: [(each.first, deciding_cells(each)) for each in effects]
                for (baseline, of), effects in found.items()
                if of == measure
            }
            for measure in measures
        },
        "more": at_most_shots(report),
    }
    words = [sentence(*key, effects) for key, effects in found.items()]
    words += rules(report.results)
    return Section("prompts", "What prompts buy", "Baselines", "prompts.html.j2", words, (), values)


def against(series: Series) -> dict[int | None, Table]:
    """By shots, every tuned method minus every baseline on what the protocol leads and ranks by.

    One baseline and measure is a family of tests, over all methods and numbers of shots.
    """
    protocol = next(iter(series.values())).protocol
    led = dict.fromkeys(m for m in (protocol.lead, protocol.rank) if m.over != TARGETS)
    baselines = dict.fromkeys(one for results in series.values() for one in results.baselines)
    tables: dict[int | None, Table] = {shots: {} for shots in series}
    for measure in led:
        for baseline in baselines:
            asked = [
                (shots, found)
                for shots, results in series.items()
                for contender in _tuned(results)
                if (found := effect(results, contender, baseline, measure)).seeds is not None
            ]
            for (shots, _), each in zip(asked, one_family(e for _, e in asked), strict=True):
                tables[shots].setdefault((baseline, measure), []).append(each)
    return tables


def _tuned(results: Results) -> list[Contender]:
    return [one for one in results.shown() if one.kind in KINDS and not one.transductive]


def sentence(baseline: Contender, measure: Measure, effects: Sequence[Effect]) -> str:
    """Which methods are above the baseline, below it, and neither, as the deciding test has it."""
    groups: dict[str, list[str]] = {}
    for each in effects:
        groups.setdefault(_group(each), []).append(each.first.label)
    told = "; ".join(f"{group} {listed(names)}" for group, names in groups.items())
    end = "" if ABOVE in groups else " None is shown to be above it."
    return f"{capital(measure.noun)} against {baseline.label}: {told}.{end}"


def _group(found: Effect) -> str:
    if found.seeds is None or found.adjusted is None:
        return EQUAL if found.equal else UNTESTED
    if not significant(found):
        return EQUAL if found.equal else UNDECIDED
    return ABOVE if found.seeds.mean > 0 else BELOW


def in_short(series: Series) -> str:
    """For the top of the page, on the leading measure at the most shots: how many methods with a
    prompt the deciding test puts above and below each baseline; empty without baselines."""
    found = list(against(series).values())[-1]
    lead = next(iter(series.values())).protocol.lead
    parts = []
    for (baseline, measure), effects in found.items():
        groups = [_group(each) for each in effects]
        if measure == lead:
            above, below = groups.count(ABOVE), groups.count(BELOW)
            rest = len(groups) - above - below
            parts.append(f"{above} above {baseline.label}, {below} below, {rest} not told apart")
    start = f"Methods with a prompt against those without, on {lead.where}"
    return f"{start}: {'; '.join(parts)}." if parts else ""
