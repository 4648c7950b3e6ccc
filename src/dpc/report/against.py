"""Methods with a prompt against those without: the tests behind "What prompts buy"."""

from dpc.report.effects import Effect, Series, effect, one_family
from dpc.report.protocols import TARGETS, Measure
from dpc.report.rows import Results
from dpc.report.scores import Contender

Table = dict[tuple[Contender, Measure], list[Effect]]
KINDS = ("plain", "dpc")


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
