"""Generalized protocol: how accuracy moves between base and new classes with an offset.

An offset is taken off the logits of base names: below 0 it favours them, above 0 the new ones.
"""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from dpc.report.context import Report
from dpc.report.csvs import csv_text
from dpc.report.curves import OffsetPoint, offset_curve
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.sections import Gallery, Section
from dpc.report.svg import MARKERS, Drawing, color, draw, slug, tone
from dpc.report.tables import AVERAGE

SIZE = (4.6, 4.3)  # inches
DASHES = {"zero_shot": ":", "baseline": "-.", "plain": "--", "budget": "-.", "dpc": "-"}
HEADINGS = ("Method", "H at offset 0", "Highest H", "At offset", "Base there", "New there")
WORDS = (
    "A tuned prompt may be too sure of the names it was tuned on. An offset taken off the logits "
    "of base names (in their own unit: 1 is 0.01 of cosine at CLIP's scale of 100) moves accuracy "
    "from base to new images and repairs that, and only that. Down and to the right base names "
    "win, up and to the left new ones; a mark is offset 0, where all other numbers of this page "
    "are.",
    "The highest H of a curve is found on the test images: a bound, not a method, and no other "
    "number of this page uses it. The figure shows where H is near it; offsets.csv has the rest.",
)
NEAR = 0.85  # of a curve's highest H: what the figure shows


def section(report: Report) -> Section:
    """Base against new accuracy along the offset; a table of the ends, a file of every point."""
    results = report.results
    averages = _curves(results, results.datasets)
    drawings = []
    if averages:
        count = len(results.datasets)
        title = f"Average of {count} data sets" if count > 1 else results.datasets[0]
        drawings.append(_drawing(results, title, averages))
    values = {
        "headings": HEADINGS,
        "lines": [(contender, cells(points)) for contender, points in averages.items()],
    }
    return Section(
        "offsets",
        "An offset between base and new names",
        "Offset",
        "offsets.html.j2",
        WORDS,
        (Gallery(drawings, empty="No offset curve was recorded.", wide=True),),
        values,
        {"offsets.csv": offsets_csv(results)},
    )


def cells(points: Sequence[OffsetPoint]) -> list[str]:
    """H at offset 0 and the highest of the curve, the offset nearest to 0 of equals."""
    zero = [point.h for point in points if point.offset == 0]
    best = max(points, key=lambda point: (point.h, -abs(point.offset)))
    numbers = [best.h, best.offset, best.base.mean, best.new.mean]
    high, offset, base, new = numbers
    return [
        f"{zero[0]:.2f}" if zero else "–",
        f"{high:.2f}",
        f"{offset:g}",
        f"{base:.2f}",
        f"{new:.2f}",
    ]


def offsets_csv(results: Results) -> str:
    """Every point of the curves, on each data set and on the average."""
    fields = "dataset method offset base base_std new new_std overall overall_std seeds"
    lines = [fields.split()]
    for name in (*results.datasets, AVERAGE):
        sets = results.datasets if name == AVERAGE else (name,)
        for contender, points in _curves(results, sets).items():
            for point in points:
                numbers = [
                    "" if value is None else f"{value:.4f}"
                    for each in (point.base, point.new, point.overall)
                    for value in (each.mean, each.std)
                ]
                start = [name, contender.key, f"{point.offset:g}"]
                lines.append([*start, *numbers, str(point.base.n)])
    return csv_text(lines)


def _curves(results: Results, sets: Sequence[str]) -> dict[Contender, list[OffsetPoint]]:
    found = {m: offset_curve(results, m, sets) for m in results.shown()}
    return {contender: points for contender, points in found.items() if points}


def _drawing(results: Results, title: str, curves: dict[Contender, list[OffsetPoint]]) -> Drawing:
    alt = f"Base against new accuracy as an offset moves, {title}. " + " ".join(
        f"{contender.label}: from base {points[0].base.mean:.1f}, new {points[0].new.mean:.1f} at "
        f"{points[0].offset:g} to {points[-1].base.mean:.1f}, {points[-1].new.mean:.1f} at "
        f"{points[-1].offset:g}."
        for contender, points in curves.items()
    )
    paint = partial(_paint, results, title, curves)
    return draw(
        slug("offsets"),
        title,
        alt,
        SIZE,
        paint,
        fields=("method", "offset", "base", "new"),
        numbers=(
            [m.key, p.offset, p.base.mean, p.new.mean] for m, of in curves.items() for p in of
        ),
    )


def _paint(
    results: Results,
    title: str,
    curves: dict[Contender, list[OffsetPoint]],
    panels: list[Axes],
) -> None:
    """A line a method, its mark at offset 0; hollow where it is transductive."""
    axes = panels[0]
    for contender, points in curves.items():
        tint = color(tone(results.backbones, contender.backbone))
        axes.plot(
            [point.base.mean for point in points],
            [point.new.mean for point in points],
            DASHES[contender.kind],
            color=tint,
            linewidth=1.4,
            marker=MARKERS[contender.kind],
            markersize=6.5,
            markevery=[number for number, point in enumerate(points) if point.offset == 0],
            fillstyle="none" if contender.transductive else "full",
            label=contender.label,
        )
    near = [
        point
        for points in curves.values()
        for point in points
        if point.offset == 0 or point.h >= NEAR * max(each.h for each in points)
    ]
    axes.set_xlim(_limits([point.base.mean for point in near]))
    axes.set_ylim(_limits([point.new.mean for point in near]))
    axes.set_title(title)
    axes.set_xlabel("base accuracy, joint names (%)")
    axes.set_ylabel("new accuracy, joint names (%)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """The range of some values, with room for a mark."""
    pad = max(0.05 * (max(values) - min(values)), 0.5)
    return min(values) - pad, max(values) + pad
