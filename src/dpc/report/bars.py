"""Bars: each accuracy of every method, on the average and on each data set."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dpc.report.context import Report
from dpc.report.protocols import capital
from dpc.report.rows import Cell, Results
from dpc.report.scatter import READERS
from dpc.report.scores import Contender
from dpc.report.sections import Gallery, Section
from dpc.report.svg import MARKERS, Drawing, color, draw, slug, tone
from dpc.report.tables import AVERAGE, HEADINGS

WIDTH, LINE, MARGIN = 4.2, 0.19, 0.85  # inches: of a figure, of a method, of title and axis
WORDS = (
    "The mark is the mean, the thin line one standard deviation over the seeds. A bar begins at "
    "zero-shot CLIP, the upright line: to the right is better than zero-shot, to the left worse. "
    "The axes do not begin at 0."
)
LETTERS, LETTER = 16, 0.065  # of a method's name that have room; inches for each one more
Cells = Mapping[Contender, Cell]


def section(report: Report) -> Section | None:
    """Bars of the average, then of each data set; None where no method ran."""
    drawings = bars(report.results)
    if not drawings:
        return None
    gallery = Gallery(drawings, wide=True)
    return Section("bars", "Every method, bar by bar", "Bars", words=(WORDS,), galleries=(gallery,))


def bars(results: Results) -> list[Drawing]:
    """A figure of the average (of several data sets), then one a data set; a panel a metric."""
    drawings = []
    several = len(results.datasets) > 1
    for name in (*([AVERAGE] if several else ()), *results.datasets):
        average = name == AVERAGE
        found = {
            contender: results.average(contender) if average else results.cell(name, contender)
            for contender in results.shown()
        }
        cells = {contender: cell for contender, cell in found.items() if cell is not None}
        if cells:
            title = f"Average of {len(results.datasets)} data sets" if average else name
            drawings.append(_draw(results, name, title, cells))
    return drawings


def _draw(results: Results, name: str, title: str, cells: Cells) -> Drawing:
    metrics = results.protocol.metrics
    room = LETTER * max(0, max(map(len, _labels(list(cells)))) - LETTERS)
    alt = f"Accuracy of every method, {title}. " + " ".join(
        f"{contender.label}: "
        + ", ".join(f"{metric} {_text(cell, metric)}" for metric in metrics)
        + "."
        for contender, cell in cells.items()
    )
    return draw(
        slug("bars", *(() if name == AVERAGE else (name,))),
        title,
        alt,
        (WIDTH + room, MARGIN + LINE * len(cells)),
        partial(_paint, results, title, cells),
        columns=len(metrics),
        fields=("method", *(field for m in metrics for field in (m, f"{m}_std"))),
        numbers=(
            [contender.key, *(v for m in metrics for v in (cell[m].mean, cell[m].std))]
            for contender, cell in cells.items()
        ),
    )


def _text(cell: Cell, metric: str) -> str:
    return f"{cell[metric].mean:.1f}" + (f" ± {cell[metric].std:.1f}" if cell[metric].std else "")


def _paint(results: Results, title: str, cells: Cells, panels: Sequence[Axes]) -> None:
    heights = _heights(list(cells))
    for axes, metric in zip(panels, results.protocol.metrics, strict=True):
        _panel(axes, results, metric, cells, heights)
        axes.set_yticks(list(heights), [])
        axes.set_ylim(max(heights) + 0.6, -0.6)
    panels[0].set_yticklabels(_labels(list(cells)))
    panels[0].figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)


def _panel(
    axes: Axes, results: Results, metric: str, cells: Cells, heights: Sequence[float]
) -> None:
    """One accuracy: from zero-shot CLIP, or from the least of all, to each method's mean."""
    means = [cell[metric].mean for cell in cells.values()]
    spreads = [cell[metric].std or 0.0 for cell in cells.values()]
    low = min(mean - spread for mean, spread in zip(means, spreads, strict=True))
    high = max(mean + spread for mean, spread in zip(means, spreads, strict=True))
    pad = max(0.08 * (high - low), 0.3)
    zero = [cell[metric].mean for m, cell in cells.items() if m.kind == "zero_shot"]
    start = zero[0] if zero else low - pad
    for contender, mean, spread, height in zip(cells, means, spreads, heights, strict=True):
        tint = color(tone(results.backbones, contender.backbone))
        axes.barh(height, mean - start, 0.66, start, color=tint, alpha=0.32, linewidth=0)
        axes.errorbar(
            mean,
            height,
            xerr=spread or None,
            marker=MARKERS[contender.kind],
            color=tint,
            fillstyle="none" if contender.transductive else "full",
            elinewidth=1.1,
        )
    if zero:
        axes.axvline(start, color=color("quiet"), linewidth=0.9)
    axes.set_xlim(low - pad, high + pad)
    axes.set_xlabel(f"{HEADINGS.get(metric, capital(metric))} (%)")
    axes.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def _heights(contenders: Sequence[Contender]) -> list[float]:
    """Places from above; transductive methods stand a little apart."""
    return [place + 0.6 * m.transductive for place, m in enumerate(contenders)]


def _labels(contenders: Sequence[Contender]) -> list[str]:
    """``CoOp``, and ``+ DPC`` right below it."""
    labels, named = [], ""
    for contender in contenders:
        below = contender.backbone == named and contender.kind in ("budget", "dpc")
        labels.append(READERS[contender.kind] if below else contender.label)
        named = contender.backbone
    return labels
