"""The figures: trade-off, ω curves and training curves, each with its alt text."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dpc.report.labels import place
from dpc.report.rows import Cell, Contender, Results, backbone_label
from dpc.report.svg import MARKERS, Drawing, color, draw, slug
from dpc.report.tables import AVERAGE, Point, curve, losses

PANEL = (3.6, 2.7)  # inches: three abreast on a desk, one on a phone, letters readable on both
SCATTER = (4.6, 4.3)


def tradeoff(results: Results) -> list[Drawing]:
    """Base against new accuracy: the averages, and every data set."""
    drawings = []
    for backbone in results.backbones:
        name, contenders = backbone_label(backbone), _family(results, backbone)
        averages = {m: cell for m in contenders if (cell := results.average(m)) is not None}
        if len(results.datasets) > 1 and averages:
            drawings.append(_average_scatter(backbone, averages, len(results.datasets)))
        cells = {
            (dataset, contender): cell
            for dataset in results.datasets
            for contender in contenders
            if (cell := results.cell(dataset, contender)) is not None
        }
        if cells:
            title = f"{name}: every data set"
            drawings.append(
                draw(
                    slug("tradeoff", backbone),
                    title,
                    f"Scatter plot of base against new accuracy. {_cells_alt(cells)}",
                    SCATTER,
                    partial(_scatter, cells, title),
                )
            )
    return drawings


def weight_curves(results: Results, curve_name: str) -> list[Drawing]:
    """Accuracy against ω_b (base, test and validation) or ω_n (new), a panel a data set."""
    symbol, split = ("ω_b", "base") if curve_name == "omega_b" else ("ω_n", "new")
    drawings = []
    for backbone in results.backbones:
        for dataset in results.datasets:
            runs = results.runs(dataset, Contender(backbone, "dpc"))
            test = curve(runs, curve_name, "test")
            if not test:
                continue
            val = curve(runs, curve_name, "val")
            base = curve_name == "omega_b"
            weights = {score.applied if base else score.row.get("omega_n") for score in runs}
            used = sorted(weight for weight in weights if weight is not None)
            title = dataset if len(results.backbones) == 1 else f"{dataset}, {backbone}"
            drawings.append(
                draw(
                    slug(curve_name, backbone, dataset),
                    title,
                    _curve_alt(title, symbol, split, test, val),
                    PANEL,
                    partial(_weight_panel, test, val, used, (title, symbol, split)),
                )
            )
    return drawings


def training_curves(results: Results) -> list[Drawing]:
    """Mean loss an epoch of stage one (and the same budget) and stage two, a panel a data set."""
    drawings = []
    for backbone in results.backbones:
        for dataset in results.datasets:
            series = {
                kind: losses(results.runs(dataset, Contender(backbone, kind)))
                for kind in ("budget", "plain", "dpc")
            }
            if not any(series.values()):
                continue
            title = dataset if len(results.backbones) == 1 else f"{dataset}, {backbone}"
            drawings.append(
                draw(
                    slug("training", backbone, dataset),
                    title,
                    f"Training loss by epoch on {title}. {_loss_alt(series)}",
                    PANEL,
                    partial(_training_panels, series, title),
                    columns=2,
                )
            )
    return drawings


def _family(results: Results, backbone: str) -> list[Contender]:
    return [m for m in results.shown() if m.backbone in (backbone, "zero_shot")]


def _average_scatter(backbone: str, averages: dict[Contender, Cell], count: int) -> Drawing:
    cells = {(AVERAGE, contender): cell for contender, cell in averages.items()}
    title = f"{backbone_label(backbone)}: average of {count} data sets"
    return draw(
        slug("tradeoff", backbone, "average"),
        title,
        f"Scatter plot of base against new accuracy, averages. {_cells_alt(cells)}",
        SCATTER,
        partial(_scatter, cells, title),
    )


def _scatter(cells: dict[tuple[str, Contender], Cell], title: str, panels: list[Axes]) -> None:
    """Points by contender, grey paths from zero-shot, arrows to DPC, contours of equal H."""
    axes = panels[0]
    where = {key: (cell.base.mean, cell.new.mean) for key, cell in cells.items()}
    _limits(axes, list(where.values()))
    _contours(axes)
    contenders = list(dict.fromkeys(contender for _, contender in where))
    for contender in contenders:
        points = np.array([at for (_, other), at in where.items() if other == contender])
        axes.plot(
            *points.T,
            MARKERS[contender.kind],
            color=color(contender.kind),
            markersize=6.5,
            label=contender.label,
            zorder=4,
        )
    names = list(dict.fromkeys(name for name, _ in where))
    for name in names:
        at = {contender.kind: point for (other, contender), point in where.items() if other == name}
        _arrow(axes, at, "zero_shot", "plain", "zero_shot", 0.9)
        _arrow(axes, at, "plain", "dpc", "dpc", 1.7)
    if names != [AVERAGE]:
        anchors = {n: [at for (other, _), at in where.items() if other == n][-1] for n in names}
        place(axes, anchors, [*where.values(), *_along(where)])
    axes.set_title(title)
    axes.set_xlabel("base accuracy (%)")
    axes.set_ylabel("new accuracy (%)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)


def _along(where: dict[tuple[str, Contender], tuple[float, float]]) -> list[tuple[float, float]]:
    """Places on the grey paths from zero-shot to the tuned prompt, for names to stay clear of."""
    places = []
    for (name, contender), (x, y) in where.items():
        start = where.get((name, Contender("zero_shot", "zero_shot")))
        if contender.kind == "plain" and start is not None:
            places += [
                (x + t * (start[0] - x), y + t * (start[1] - y)) for t in np.linspace(0, 1, 20)
            ]
    return places


def _limits(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    values = np.array(points)
    low, high = values.min(axis=0), values.max(axis=0)
    pad = np.maximum(0.12 * (high - low), 0.8)
    axes.set_xlim(max(0, low[0] - pad[0]), high[0] + 1.3 * pad[0])
    axes.set_ylim(max(0, low[1] - pad[1]), high[1] + pad[1])
    axes.grid(False)


def _contours(axes: Axes) -> None:
    """Lines of equal harmonic mean."""
    base, new = np.meshgrid(np.linspace(*axes.get_xlim(), 80), np.linspace(*axes.get_ylim(), 80))
    h = 2 * base * new / np.maximum(base + new, 1e-9)
    levels = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(h.min(), h.max())
    lines = axes.contour(
        base, new, h, levels=levels, colors=color("zero_shot"), linewidths=0.9, linestyles="dotted"
    )
    axes.clabel(lines, fmt="H %g", fontsize=7, colors=color("zero_shot"))


def _arrow(
    axes: Axes, at: dict[str, tuple[float, float]], start: str, end: str, name: str, width: float
) -> None:
    if start in at and end in at and at[start] != at[end]:
        style: dict[str, Any] = {
            "arrowstyle": "-|>" if end == "dpc" else "-",
            "color": color(name),
            "linewidth": width,
            "shrinkA": 3,
            "shrinkB": 3,
            "mutation_scale": 10,
        }
        axes.annotate("", at[end], at[start], arrowprops=style, zorder=3)


def _weight_panel(
    test: list[Point],
    val: list[Point],
    used: Sequence[float],
    words: tuple[str, str, str],
    panels: list[Axes],
) -> None:
    """Test and validation accuracy against a weight; a dotted line marks the weight in use."""
    axes = panels[0]
    title, symbol, split = words
    for weight in used:
        axes.axvline(weight, color=color("zero_shot"), linewidth=0.9, linestyle="dotted")
    _band(axes, test, "dpc", "-", f"{split}, test")
    if val:
        _band(axes, val, "val", "--", f"{split}, validation shots")
    axes.set_title(title)
    axes.set_xlabel(f"{symbol[0]}$_{symbol[-1]}$")
    axes.set_ylabel("accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _training_panels(
    series: dict[str, dict[str, list[Point]]], title: str, axes: list[Axes]
) -> None:
    """Stage one and the same budget on the left, stage two on the right."""
    names = {"plain": "stage one", "budget": "same budget", "dpc": "stage two"}
    dashes = ("-", ":", "-.")
    for kind, losses_of in series.items():
        panel = axes[1] if kind == "dpc" else axes[0]
        for index, (name, points) in enumerate(losses_of.items()):
            label = names[kind] if len(losses_of) == 1 else f"{names[kind]}, {name}"
            dash = "--" if kind == "budget" else dashes[index % len(dashes)]
            _band(panel, points, kind, dash, label)
    axes[0].set_title(title)
    axes[0].set_ylabel("mean loss")
    for panel, stages in zip(axes, (("plain", "budget"), ("dpc",)), strict=True):
        named = ", ".join(dict.fromkeys(name for kind in stages for name in series[kind]))
        panel.set_xlabel(f"epoch ({named})" if named else "epoch")
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(5))
    entries = [panel.get_legend_handles_labels() for panel in axes]
    handles = [handle for pair in entries for handle in pair[0]]
    labels = [label for pair in entries for label in pair[1]]
    axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=3)


def _band(axes: Axes, points: Sequence[Point], name: str, dash: str, label: str) -> None:
    """A line of means and, where there are several seeds, a band of one deviation."""
    x, mean = [point.x for point in points], np.array([point.mean for point in points])
    std = np.array([point.std or 0.0 for point in points])
    marker = "o" if len(points) <= 12 else ""
    axes.plot(x, mean, dash, color=color(name), marker=marker, markersize=3, label=label, zorder=3)
    if std.any():
        axes.fill_between(x, mean - std, mean + std, color=color(name), alpha=0.18, linewidth=0)


def _cells_alt(cells: dict[tuple[str, Contender], Cell]) -> str:
    return " ".join(
        f"{name}, {contender.label}: base {cell.base.mean:.1f}, new {cell.new.mean:.1f}."
        for (name, contender), cell in cells.items()
    )


def _curve_alt(
    title: str, symbol: str, split: str, test: Sequence[Point], val: Sequence[Point]
) -> str:
    text = f"{split.capitalize()} accuracy against {symbol} on {title}. "
    for name, points in (("test", test), ("validation shots", val)):
        if points:
            top = max(points, key=lambda point: point.mean)
            ends = f"{points[0].mean:.1f} at {points[0].x:g}, {points[-1].mean:.1f} at "
            text += f"{name}: {ends}{points[-1].x:g}, highest {top.mean:.1f} at {top.x:g}. "
    return text.strip()


def _loss_alt(series: dict[str, dict[str, list[Point]]]) -> str:
    names = {"plain": "Stage one", "budget": "Same budget", "dpc": "Stage two"}
    return " ".join(
        f"{names[kind]}, {name}: from {points[0].mean:.2f} to {points[-1].mean:.2f} in "
        f"{len(points)} epochs."
        for kind, named in series.items()
        for name, points in named.items()
    )
