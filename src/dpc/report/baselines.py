"""What prompts buy: tuned methods against classifiers that have the same shots and no prompt."""

from collections.abc import Sequence

from dpc.report.against import against
from dpc.report.baseline_rules import rules
from dpc.report.context import Report
from dpc.report.effects import Effect, Series
from dpc.report.protocols import Measure, capital
from dpc.report.scores import Contender
from dpc.report.sections import Section, at_most_shots
from dpc.report.tested import DECIDING, deciding_cells
from dpc.report.words import listed, significant

APART = " (transductive ones left out)"
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
    apart = APART if report.results.transductive else ""
    words = [sentence(*key, effects, apart) for key, effects in found.items()]
    words += rules(report.results)
    return Section("prompts", "What prompts buy", "Baselines", "prompts.html.j2", words, (), values)


def sentence(
    baseline: Contender, measure: Measure, effects: Sequence[Effect], apart: str = ""
) -> str:
    """Which methods are above the baseline, below it, and neither, as the deciding test has it.

    Args:
        apart: what is said of methods that are not among them.
    """
    groups: dict[str, list[str]] = {}
    for each in effects:
        groups.setdefault(_group(each), []).append(each.first.label)
    told = "; ".join(f"{group} {listed(names)}" for group, names in groups.items())
    end = "" if ABOVE in groups else f" None{apart} is shown to be above it."
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
    results = list(series.values())[-1]
    lead, apart = results.protocol.lead, APART if results.transductive else ""
    parts = []
    for (baseline, measure), effects in found.items():
        groups = [_group(each) for each in effects]
        if measure == lead:
            above, below = groups.count(ABOVE), groups.count(BELOW)
            rest = len(groups) - above - below
            parts.append(f"{above} above {baseline.label}, {below} below, {rest} not told apart")
    start = f"Methods with a prompt{apart} against those without, on {lead.where}"
    return f"{start}: {'; '.join(parts)}." if parts else ""
