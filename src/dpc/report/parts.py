"""Which sections each protocol's page has, in order.

A figure more is one file with a function from a report to a section, and one line here.
"""

from collections.abc import Callable, Mapping

from dpc.params.protocols import BASE_TO_NEW, FEW_SHOT, GENERALIZED, TRANSFERS
from dpc.report import (
    bars,
    baselines,
    calibration,
    classes,
    grids,
    invariance,
    negatives,
    offsets,
    provenance,
    shots,
    spread,
    sweeps,
)
from dpc.report.context import Report
from dpc.report.paper import paper_context, paper_csv
from dpc.report.sections import (
    Section,
    ablation_section,
    main_section,
    run_section,
    table_section,
    tradeoff_section,
    training_section,
    weights_section,
)
from dpc.report.tested import cells_section, effects_section, gains_section

Make = Callable[[Report], Section | None]


def shots_section(report: Report) -> Section:
    """The main table, a column a number of shots."""
    return table_section(report, grids.shots_table(report.series))


def transfer_section(report: Report) -> Section:
    """The main table, a column a data set: the source, each target, the average of these."""
    return table_section(report, grids.transfer_table(report.results))


def paper_section(report: Report) -> Section:
    """The paper's numbers beside these, where a comparison holds."""
    given = (report.results, report.context.params, report.context.datasets, report.ladder)
    values, files = {"paper": paper_context(*given)}, {"paper.csv": paper_csv(*given)}
    return Section("paper", nav="Paper", template="paper.html.j2", values=values, files=files)


_ENDS: tuple[Make, ...] = (
    baselines.section,
    classes.section,
    negatives.section,
    weights_section,
    sweeps.section,
    invariance.section,
    training_section,
    calibration.section,
    spread.section,
    cells_section,
    effects_section,
    paper_section,
    run_section,
    provenance.section,
)

PARTS: Mapping[str, tuple[Make, ...]] = {
    BASE_TO_NEW: (
        gains_section,
        main_section,
        ablation_section,
        tradeoff_section,
        bars.section,
        *_ENDS,
    ),
    GENERALIZED: (
        gains_section,
        main_section,
        offsets.section,
        ablation_section,
        tradeoff_section,
        bars.section,
        *_ENDS,
    ),
    FEW_SHOT: (gains_section, shots_section, shots.section, ablation_section, *_ENDS),
    **dict.fromkeys(TRANSFERS, (gains_section, transfer_section, ablation_section, *_ENDS)),
}
