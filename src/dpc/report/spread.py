"""Every cell of the table with its interval over the seeds."""

from collections.abc import Iterator, Mapping

from dpc.report.context import Report
from dpc.report.protocols import capital
from dpc.report.rows import Cell, Results
from dpc.report.scores import Contender
from dpc.report.sections import Section, at_most_shots
from dpc.report.tables import AVERAGE, HEADINGS
from dpc.report.words import DASH, percent

Found = tuple[str, Contender, int | None, Cell]


def spread_cells(series: Mapping[int | None, Results]) -> Iterator[Found]:
    """Data set or ``Average``, contender, shots and cell of all that ran, zero-shot CLIP once."""
    first = next(iter(series))
    for name in (*series[first].datasets, AVERAGE):
        for contender in series[first].contenders:
            for shots, results in series.items():
                once = contender.kind == "zero_shot" and shots != first
                cell = results.average(contender) if name == AVERAGE else None
                cell = cell if name == AVERAGE else results.cell(name, contender)
                if cell is not None and not once:
                    yield name, contender, shots, cell


def section(report: Report) -> Section:
    """Mean, deviation and 95 % interval of each method on each data set, of the most shots."""
    results, metrics = report.results, report.protocol.metrics
    groups: dict[str, list[tuple[Contender, list[str]]]] = {AVERAGE: []}
    for name, contender, _, cell in spread_cells({None: results}):
        if contender.selection == "last":
            seeds = [seed for seed in cell.seeds if seed is not None]
            line = [str(len(seeds)) if seeds else DASH]
            for metric in metrics:
                interval = cell[metric].interval()
                text = DASH if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
                line += [percent(cell[metric], contender.kind != "zero_shot"), text]
            groups.setdefault(name, []).append((contender, line))
    headings = [(HEADINGS.get(m, capital(m)), "95 % interval") for m in metrics]
    values = {
        "headings": ("Method", "Seeds", *(text for pair in headings for text in pair)),
        "groups": {name: lines for name, lines in groups.items() if lines},
        "more": at_most_shots(report),
    }
    title = "Spread over the seeds"
    return Section("spread", title, "Spread", "spread.html.j2", values=values)
