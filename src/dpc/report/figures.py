"""The curves as figures: accuracy against ω, training losses; each with its alt text."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dpc.report.curves import MAIN_LOSSES, Point, average_curve, change_curve, curve_sets, losses
from dpc.report.protocols import capital
from dpc.report.rows import Results
from dpc.report.svg import Drawing, color, draw, line_marker, slug, tone

DASHES = ("-", "--", "-.", ":")
POINT = ("mean", "std", "seeds")  # of a point, after its place
PANEL = (3.6, 2.7)  # inches: three abreast on a desk, one on a phone, letters readable on both


def weight_curves(results: Results, curve_name: str) -> list[Drawing]:
    """Accuracy against ω_b (test and validation) or ω_n, averaged over the data sets it is of.

    A panel a backbone, transductive backbones last.
    """
    panels = [_backbone_panel(results, curve_name, backbone) for backbone in results.backbones]
    return [panel for panel in panels if panel is not None]


def change_curves(results: Results, curve_name: str) -> list[Drawing]:
    """What ω_b or ω_n changes against the backbone alone: a panel a data set, a line a backbone.

    None of a single data set, whose curves `weight_curves` draws.
    """
    sets = curve_sets(results, curve_name)
    panels = [_set_panel(results, curve_name, name) for name in sets if len(sets) > 1]
    return [panel for panel in panels if panel is not None]


def _backbone_panel(results: Results, curve_name: str, backbone: str) -> Drawing | None:
    contender, name = results.contender(backbone, "dpc"), results.names[backbone]
    sets, (symbol, split, noun) = curve_sets(results, curve_name), _words(results, curve_name)
    test = average_curve(results, contender, curve_name, "test")
    if not test:
        return None
    val = average_curve(results, contender, curve_name, "val")
    base = curve_name == "omega_b"
    scores = [score for dataset in sets for score in results.runs(dataset, contender)]
    weights = {score.applied if base else score.row.get("omega_n") for score in scores}
    used = sorted(weight for weight in weights if weight is not None)
    title = f"{name} (transductive)" if contender.transductive else name
    title += f", {sets[0]}" if len(sets) == 1 else f", average of {len(sets)}"
    words, tint = (title, symbol, split), tone(results.backbones, backbone)
    return draw(
        slug(curve_name.replace("_", "-"), backbone),
        title,
        _curve_alt(title, symbol, noun, test, val),
        PANEL,
        partial(_weight_panel, (test, val), used, words, tint),
        fields=("images", curve_name, *POINT),
        numbers=(
            [name, *_fields(point)]
            for name, points in (("test", test), ("validation", val))
            for point in points
        ),
    )


def _words(results: Results, curve_name: str) -> tuple[str, str, str]:
    """Symbol of a weight, the metric that its curve shows, and its name in a sentence."""
    measure = results.protocol.weighed(curve_name)
    metric, noun = ("", "accuracy") if measure is None else (measure.metric, measure.noun)
    return "ω_b" if curve_name == "omega_b" else "ω_n", metric, noun


def _set_panel(results: Results, curve_name: str, dataset: str) -> Drawing | None:
    lines = {}
    for backbone in results.backbones:
        points = change_curve(results, dataset, backbone, curve_name)
        if points:
            lines[backbone] = points
    if not lines:
        return None
    symbol, split, noun = _words(results, curve_name)
    alt = f"Change of {noun} against {symbol} on {dataset}, in points. " + " ".join(
        f"{results.names[backbone]}: {points[-1].mean:+.2f} at {points[-1].x:g}, highest "
        f"{max(p.mean for p in points):+.2f}."
        for backbone, points in lines.items()
    )
    return draw(
        slug(curve_name.replace("_", "-"), "change", dataset),
        dataset,
        alt,
        PANEL,
        partial(_change_panel, results, lines, (dataset, symbol, split)),
        fields=("backbone", curve_name, "change", "seeds"),
        numbers=([name, p.x, p.mean, p.n] for name, points in lines.items() for p in points),
    )


def _change_panel(
    results: Results,
    lines: dict[str, list[Point]],
    words: tuple[str, str, str],
    panels: list[Axes],
) -> None:
    """One line a backbone; dashed and hollow where it is transductive."""
    axes = panels[0]
    title, symbol, split = words
    axes.axhline(0, color=color("quiet"), linewidth=0.9)
    for backbone, points in lines.items():
        apart = backbone in results.transductive
        axes.plot(
            [point.x for point in points],
            [point.mean for point in points],
            "--" if apart else "-",
            color=color(tone(results.backbones, backbone)),
            marker=line_marker(results.backbones, backbone),
            fillstyle="none" if apart else "full",
            markersize=4,
            label=f"{results.names[backbone]} (transductive)" if apart else results.names[backbone],
            zorder=3,
        )
    axes.set_title(title)
    axes.set_xlabel(f"{symbol[0]}$_{symbol[-1]}$", parse_math=True)
    axes.set_ylabel(f"{split}, change (points)")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def training_curves(results: Results) -> list[Drawing]:
    """Mean loss an epoch of stage one (and the same budget) and stage two, a panel a data set."""
    drawings = []
    for backbone in results.backbones:
        for dataset in results.trained:
            series = {
                kind: losses(results.runs(dataset, results.contender(backbone, kind)))
                for kind in ("budget", "plain", "dpc")
            }
            if not any(series.values()):
                continue
            title = dataset
            if len(results.backbones) > 1:
                title = f"{results.names[backbone]}, {dataset}"
            drawings.append(
                draw(
                    slug("training", backbone, dataset),
                    title,
                    f"Training loss by epoch, {title}. {_loss_alt(series)}",
                    PANEL,
                    partial(_training_panels, series, title, tone(results.backbones, backbone)),
                    columns=2,
                    fields=("run", "loss", "epoch", *POINT),
                    numbers=(
                        [run, loss, *_fields(point)]
                        for run, named in series.items()
                        for loss, points in named.items()
                        for point in points
                    ),
                )
            )
    return drawings


def _weight_panel(
    curves: tuple[Sequence[Point], Sequence[Point]],
    used: Sequence[float],
    words: tuple[str, str, str],
    tint: str,
    panels: list[Axes],
) -> None:
    """Test and validation accuracy against a weight; a dotted line marks the weight in use."""
    axes = panels[0]
    test, val = curves
    title, symbol, split = words
    for weight in used:
        axes.axvline(weight, color=color("quiet"), linewidth=0.9, linestyle="dotted")
    _band(axes, test, tint, "-", f"{split}, test")
    if val:
        _band(axes, val, "quiet", "--", f"{split}, validation shots")
    axes.set_title(title)
    axes.set_xlabel(f"{symbol[0]}$_{symbol[-1]}$", parse_math=True)
    axes.set_ylabel("accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _training_panels(
    series: dict[str, dict[str, list[Point]]], title: str, tint: str, axes: list[Axes]
) -> None:
    """Stage one and the same budget on the left, stage two on the right; a dash is a loss."""
    extra = sorted({name for named in series.values() for name in named}.difference(MAIN_LOSSES))
    for kind, losses_of in series.items():
        panel, budget = axes[1] if kind == "dpc" else axes[0], kind == "budget"
        for name, points in losses_of.items():
            dash = DASHES[1 + extra.index(name) % (len(DASHES) - 1)] if name in extra else DASHES[0]
            label = f"{name}, same budget" if budget else name
            _band(panel, points, "quiet" if budget else tint, dash, label)
    axes[0].set_title(title)
    axes[0].set_ylabel("mean loss")
    for panel, stage in zip(axes, ("one", "two"), strict=True):
        panel.set_xlabel(f"epoch, stage {stage}")
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(5))
    entries: dict[str, Artist] = {}  # a loss of both stages stands once
    for panel in axes:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    axes[0].figure.legend(
        handles=list(entries.values()),
        labels=list(entries),
        loc="outside lower center",
        ncols=2,
    )


def _band(axes: Axes, points: Sequence[Point], name: str, dash: str, label: str) -> None:
    """A line of means and, where there are several seeds, a band of one deviation."""
    x, mean = [point.x for point in points], np.array([point.mean for point in points])
    std = np.array([point.std or 0.0 for point in points])
    marker = "o" if len(points) <= 12 else ""
    axes.plot(x, mean, dash, color=color(name), marker=marker, markersize=3, label=label, zorder=3)
    if std.any():
        axes.fill_between(x, mean - std, mean + std, color=color(name), alpha=0.18, linewidth=0)


def _fields(point: Point) -> tuple[float | None, ...]:
    return point.x, point.mean, point.std, point.n


def _curve_alt(
    title: str, symbol: str, noun: str, test: Sequence[Point], val: Sequence[Point]
) -> str:
    text = f"{capital(noun)} against {symbol} on {title}. "
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
