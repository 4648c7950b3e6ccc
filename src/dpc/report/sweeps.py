"""The section about sweeps: accuracy against what a sweep changes, and what that comes to."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from dpc.report.context import Report
from dpc.report.csvs import Field, csv_text
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.sections import Gallery, Section, at_most_shots
from dpc.report.svg import MARKERS, Drawing, color, draw, slug, tone
from dpc.report.swept import Best, Sweep, best, sweep
from dpc.report.tables import AVERAGE, HEADINGS
from dpc.report.words import amount, percent, points

PANEL = (3.8, 3.4)  # inches
WORDS = (
    "Cells of the grid once more, with some parameters changed: average over the data sets, mean "
    "and one standard deviation over the seeds. Triangles and full lines: with DPC; squares and "
    "dashes: the backbone alone. A ring marks the grid's own value; where it is none of the "
    "points, a dotted line says what the grid gives with DPC. The best of several points is chosen "
    "on the test images here, which flatters it."
)


def section(report: Report) -> Section:
    """Every sweep that ran; without any only the file, which has its heading alone then."""
    grid = report.results
    found = [sweep(each, grid, report.context.backbones) for each in report.context.sweeps]
    sweeps = [each for each in found if each is not None]
    metrics = {m: HEADINGS.get(m, m.capitalize()) for m in grid.protocol.metrics}
    tables = [(each.title, each.axis or "Point", _lines(each, list(metrics))) for each in sweeps]
    galleries = [
        Gallery(
            [_drawing(each, grid, metric, heading) for metric, heading in metrics.items()],
            each.title,
            " ".join(_sentences(each, grid)),
        )
        for each in sweeps
    ]
    return Section(
        "sweeps",
        "Sweeps" if sweeps else "",
        "Sweeps" if sweeps else "",
        "sweeps.html.j2",
        (WORDS + at_most_shots(report, filed=False),),
        galleries,
        {"sweeps": tables, "metrics": metrics},
        {"sweeps.csv": _csv(sweeps)},
    )


def _sentences(found: Sweep, grid: Results) -> Iterator[str]:
    """What is best on the leading measure, and whether that is more than the seeds' spread."""
    measure = grid.protocol.lead
    for backbone in found.backbones:
        contender = found.contender(backbone, dpc=True)
        top = best(found, contender, grid, measure.metric)
        if top is not None:
            yield _sentence(found, top, measure.noun, found.own.get(backbone))
    for name, why in found.lacking.items():
        yield f"{name} has no points here: {why}."


def _sentence(found: Sweep, top: Best, noun: str, own: str | None) -> str:
    where = f"{found.axis} = {found.label(top.point)}" if found.keys else found.label(top.point)
    place = f"highest at {where}, {amount(top.value)}"
    start = f"{top.contender.label}: {noun} is "
    start += f"{amount(top.value)} at every point" if top.even else place
    if top.point == own:
        return f"{start}." if top.even else f"{start}, the grid's own value."
    if top.change is None:
        return f"{start}; the grid has no such row to compare it with."
    change, std = top.change.mean, top.change.std
    against = f"{start}, {points(change)} points against the grid"
    if std is None:
        return f"{against}; one seed has no spread, so nothing can be said of the difference."
    seeds = f"the difference's standard deviation over {top.change.n} seeds, {amount(std)}"
    if change <= 0:
        return f"{against}: no point is better than the grid."
    return f"{against}: {'more than' if change > std else 'within'} {seeds}."


def _contenders(found: Sweep) -> Iterator[Contender]:
    for backbone in found.backbones:
        yield from (found.contender(backbone, dpc) for dpc in (False, True))


def _lines(found: Sweep, metrics: Sequence[str]) -> list[tuple[Contender, list[list[str]]]]:
    """A line a point for each contender."""
    return [
        (
            contender,
            [
                [
                    found.label(point) + (" (grid)" if found.is_own(contender, point) else ""),
                    *(percent(cell[metric]) for metric in metrics),
                ]
                for point, cell in found.cells(contender).items()
            ],
        )
        for contender in _contenders(found)
    ]


def _drawing(found: Sweep, grid: Results, metric: str, heading: str) -> Drawing:
    title = f"{found.title}: {heading}"
    lines = {c: cells for c in _contenders(found) if (cells := found.cells(c))}
    alt = f"{heading} against {found.axis or found.title}. " + " ".join(
        f"{contender.label}: "
        + ", ".join(f"{cell[metric].mean:.1f} at {found.label(p)}" for p, cell in cells.items())
        + "."
        for contender, cells in lines.items()
    )
    return draw(
        slug("sweep", found.name, metric),
        title,
        alt,
        PANEL,
        partial(_paint, found, grid, metric, heading),
        fields=("method", "point", found.axis or "label", metric, "std", "seeds"),
        numbers=(
            [c.key, p, found.label(p), cell[metric].mean, cell[metric].std, cell[metric].n]
            for c, cells in lines.items()
            for p, cell in cells.items()
        ),
    )


def _paint(found: Sweep, grid: Results, metric: str, heading: str, panels: list[Axes]) -> None:
    axes, places = panels[0], {point: x for x, point in enumerate(found.changes)}
    contenders = list(_contenders(found))
    for number, contender in enumerate(contenders):
        cells, here = found.cells(contender), color(tone(grid.backbones, contender.backbone))
        line = {"dpc": "-", "plain": "--"}[contender.kind]
        aside = 0.04 * (number - (len(contenders) - 1) / 2)  # so that no bar hides another
        axes.errorbar(
            [places[point] + aside for point in cells],
            [cell[metric].mean for cell in cells.values()],
            yerr=[cell[metric].std or 0.0 for cell in cells.values()],
            linestyle=line if found.ordered else "",
            color=here,
            marker=MARKERS[contender.kind],
            fillstyle="none" if contender.transductive else "full",
            elinewidth=0.9,
            capsize=2,
            label=contender.label,
        )
        for point in (p for p in cells if found.is_own(contender, p)):
            at = ([places[point] + aside], [cells[point][metric].mean])
            axes.scatter(*at, s=90, facecolors="none", edgecolors=color("ink"), zorder=4)
        whole = grid.average(contender, grid.trained)
        if contender.kind == "dpc" and whole is not None and contender.backbone not in found.own:
            axes.axhline(whole[metric].mean, color=here, linestyle=":", linewidth=1.0)
    axes.set_xticks(list(places.values()))
    axes.set_xticklabels([found.label(point) for point in places])
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.set_xlabel(found.axis or found.title)
    axes.set_ylabel("H (%)" if metric == "h" else f"{heading.lower()} accuracy (%)")
    axes.set_title(heading)
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _csv(sweeps: Sequence[Sweep]) -> str:
    """Every point on every data set and on their average; the heading alone where none ran."""
    lines: list[list[Field]] = [["sweep", "point", "changes", "grid", "dataset", "method", "seeds"]]
    lines[0] += ["metric", "mean", "std"]
    for found in sweeps:
        for point, changes in found.changes.items():
            results, text = found.results[point], " ".join(f"{k}={v}" for k, v in changes.items())
            for contender in _contenders(found):
                own = "yes" if found.is_own(contender, point) else "no"
                cells = {name: results.cell(name, contender) for name in results.trained}
                cells[AVERAGE] = results.average(contender, results.trained)
                for name, cell in cells.items():
                    if cell is None:
                        continue
                    start = [found.name, point, text, own, name, contender.key]
                    seeds = " ".join(str(seed) for seed in cell.seeds)
                    for metric, each in cell.values.items():
                        lines.append([*start, seeds, metric, each.mean, each.std])
    return csv_text(lines)
