"""The trade-off as scatter plots: base against new accuracy."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dpc.report.labels import place
from dpc.report.rows import Cell, Results
from dpc.report.scores import Contender
from dpc.report.svg import MARKERS, Drawing, color, draw, slug, tone
from dpc.report.tables import AVERAGE

SCATTER = (4.6, 4.3)  # inches
READERS = {
    "zero_shot": "zero-shot CLIP",
    "plain": "backbone",
    "budget": "same budget",
    "dpc": "+ DPC",
    "baseline": "baseline",
}
Cells = dict[tuple[str, Contender], Cell]
Place = tuple[float, float]


def tradeoff(results: Results) -> list[Drawing]:
    """The averages of all methods in one plot, then every data set, a plot a backbone."""
    drawings = []
    averages = {m: cell for m in results.shown() if (cell := results.average(m)) is not None}
    if len(results.datasets) > 1 and averages:
        cells = {(AVERAGE, contender): cell for contender, cell in averages.items()}
        title = f"Average of {len(results.datasets)} data sets"
        drawings.append(_draw(results, ("tradeoff",), title, cells))
    for backbone in results.backbones:
        family = [m for m in results.shown() if m.backbone in (backbone, "zero_shot")]
        cells = {
            (dataset, contender): cell
            for dataset in results.datasets
            for contender in family
            if (cell := results.cell(dataset, contender)) is not None
        }
        if cells:
            title = f"{results.names[backbone]}: every data set"
            drawings.append(_draw(results, ("tradeoff", backbone), title, cells))
    return drawings


def _draw(results: Results, name: tuple[str, ...], title: str, cells: Cells) -> Drawing:
    tones = {m: tone(results.backbones, m.backbone) for _, m in cells}
    return draw(
        slug(*name),
        title,
        f"Scatter plot of base against new accuracy. {_alt(cells)}",
        SCATTER,
        partial(_scatter, cells, tones, title),
        fields=("dataset", "method", "base", "new"),
        numbers=([n, m.key, c["base"].mean, c["new"].mean] for (n, m), c in cells.items()),
    )


def _scatter(cells: Cells, tones: Mapping[Contender, str], title: str, panels: list[Axes]) -> None:
    """Points by contender, grey paths from zero-shot, arrows to DPC, contours of equal H."""
    axes = panels[0]
    where = {key: (cell["base"].mean, cell["new"].mean) for key, cell in cells.items()}
    _limits(axes, list(where.values()))
    _contours(axes)
    for (_, contender), at in where.items():
        _mark(axes, contender, tones[contender], at)
    for name, contender in where:
        if contender.kind != "zero_shot":
            _arrows(axes, where, (name, contender), tones[contender])
    names = list(dict.fromkeys(name for name, _ in where))
    anchors = _of_backbones(where) if names == [AVERAGE] else _of_sets(where, names)
    place(axes, anchors, [*where.values(), *_along(where)])
    axes.set_title(title)
    axes.set_xlabel("base accuracy (%)")
    axes.set_ylabel("new accuracy (%)")
    axes.figure.legend(handles=_legend(list(where)), loc="outside upper left", ncols=3)


def _mark(axes: Axes, contender: Contender, name: str, at: Place) -> None:
    """One point; hollow where it is transductive."""
    axes.plot(
        *at,
        MARKERS[contender.kind],
        color=color(name),
        fillstyle="none" if contender.transductive else "full",
        markeredgewidth=1.5,
        markersize=6.5,
        zorder=4,
    )


def _legend(keys: Sequence[tuple[str, Contender]]) -> list[Line2D]:
    """The shapes, and what is hollow; colours are named beside their points."""
    kinds = [kind for kind in READERS if any(m.kind == kind for _, m in keys)]
    style: dict[str, Any] = {"linestyle": "", "color": color("quiet"), "markeredgewidth": 1.5}
    handles = [Line2D([], [], marker=MARKERS[k], label=READERS[k], **style) for k in kinds]
    if any(m.transductive for _, m in keys):
        hollow = Line2D([], [], marker="s", fillstyle="none", label="hollow: transductive", **style)
        handles.append(hollow)
    return handles


def _of_backbones(where: Mapping[tuple[str, Contender], Place]) -> dict[str, Place]:
    """A name for each backbone, beside its own point or the first there is."""
    anchors: dict[str, Place] = {}
    for kinds in (("zero_shot", "baseline", "plain"), ("dpc", "budget")):
        for (_, contender), at in where.items():
            if contender.kind in kinds:
                zero = contender.kind == "zero_shot"
                anchors.setdefault("CLIP" if zero else contender.name, at)
    return anchors


def _of_sets(
    where: Mapping[tuple[str, Contender], Place], names: Sequence[str]
) -> dict[str, Place]:
    return {n: [at for (other, _), at in where.items() if other == n][-1] for n in names}


def _arrows(
    axes: Axes,
    where: Mapping[tuple[str, Contender], Place],
    key: tuple[str, Contender],
    name: str,
) -> None:
    """A grey path from zero-shot to the tuned prompt, an arrow from there to DPC."""
    dataset, contender = key
    zero, plain = Contender("zero_shot", "zero_shot"), Contender(contender.backbone, "plain")
    if contender.kind == "plain" and (dataset, zero) in where:
        _arrow(axes, where[dataset, zero], where[key], "-", color("quiet"), 0.9)
    if contender.kind == "dpc" and (dataset, plain) in where:
        _arrow(axes, where[dataset, plain], where[key], "-|>", color(name), 1.7)


def _arrow(axes: Axes, start: Place, end: Place, kind: str, tint: str, width: float) -> None:
    if start != end:
        style: dict[str, Any] = {
            "arrowstyle": kind,
            "color": tint,
            "linewidth": width,
            "shrinkA": 3,
            "shrinkB": 3,
            "mutation_scale": 10,
        }
        axes.annotate("", end, start, arrowprops=style, zorder=3)


def _along(where: Mapping[tuple[str, Contender], Place]) -> list[Place]:
    """Places on the grey paths from zero-shot to the tuned prompt, for names to stay clear of."""
    places = []
    for (name, contender), (x, y) in where.items():
        start = where.get((name, Contender("zero_shot", "zero_shot")))
        if contender.kind == "plain" and start is not None:
            places += [
                (x + t * (start[0] - x), y + t * (start[1] - y)) for t in np.linspace(0, 1, 20)
            ]
    return places


def _limits(axes: Axes, points: Sequence[Place]) -> None:
    values = np.array(points)
    low, high = values.min(axis=0), values.max(axis=0)
    pad = np.maximum(0.12 * (high - low), 0.8)
    axes.set_xlim(max(0, low[0] - pad[0]), high[0] + 1.3 * pad[0])
    axes.set_ylim(max(0, low[1] - pad[1]), high[1] + pad[1])
    axes.grid(False)


def _contours(axes: Axes) -> None:
    """Lines of equal harmonic mean, named where they leave the plot: there no point lies."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    base, new = np.meshgrid(np.linspace(left, right, 80), np.linspace(low, high, 80))
    h = 2 * base * new / np.maximum(base + new, 1e-9)
    levels = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(h.min(), h.max())
    axes.contour(
        base, new, h, levels=levels, colors=color("quiet"), linewidths=0.9, linestyles="dotted"
    )
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": color("quiet")}
    for level in levels:
        if low <= (at := _partner(level, right)) <= high:
            axes.annotate(f"H {level:g}", (right, at), (3, 0), va="center", **style)
        elif left <= (at := _partner(level, low)) <= right:
            axes.annotate(f"H {level:g}", (at, low), (3, 3), **style)


def _partner(h: float, one: float) -> float:
    """The accuracy that gives this harmonic mean with the other; none does from h / 2 on down."""
    return h * one / (2 * one - h) if 2 * one > h else np.inf


def _alt(cells: Cells) -> str:
    return " ".join(
        f"{name}, {contender.label}: base {cell['base'].mean:.1f}, new {cell['new'].mean:.1f}."
        for (name, contender), cell in cells.items()
    )
