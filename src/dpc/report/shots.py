"""Few-shot protocol: accuracy against the number of shots, and what DPC adds at each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from dpc.evaluation.statistics import Summary
from dpc.report.context import Report, shots_text
from dpc.report.effects import effect
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.sections import Gallery, Section
from dpc.report.svg import MARKERS, Drawing, color, colors, draw, line_marker, slug, tone
from dpc.report.tables import AVERAGE

PANEL = (3.8, 3.4)  # inches
DASHES = {"baseline": "-.", "plain": "--", "budget": ":", "dpc": "-"}
WORDS = (
    "Accuracy on all classes by the number of training images a class; the axis doubles from mark "
    "to mark, and zero-shot CLIP, which has none, stands at 0. Mean and one standard deviation "
    "over the seeds. Dashed alone, drawn through with DPC, dotted with the same budget."
)
GAIN = (
    "DPC minus its backbone at each number of shots: mean over the seeds of their mean differences "
    "over the data sets, with its 95 % interval (Student's t over the seeds)."
)

Series = Mapping[int | None, Results]


def section(report: Report) -> Section:
    """The average first, then every data set, then what DPC adds."""
    first = report.results
    names = (AVERAGE, *first.datasets) if len(first.datasets) > 1 else first.datasets
    panels = [_panel(report.series, name) for name in names]
    gain = _gain_panel(report.series)
    galleries = (
        Gallery([each for each in panels if each is not None], empty="No method ran."),
        Gallery([gain] if gain is not None else [], "What DPC adds", GAIN),
    )
    apart = " Hollow marks are transductive." if first.transductive else ""
    words = (f"{WORDS} {colors(first.backbones)}.{apart}",)
    return Section("shots", "Accuracy against shots", "Shots", words=words, galleries=galleries)


@dataclass(frozen=True)
class _Axis:
    """Places on the axis: zero-shot at 0, then one step for each doubling, and all images last."""

    shots: tuple[int, ...]

    def at(self, shots: int | None) -> float:
        known = [count for count in self.shots if count]
        if shots is None:
            return _log2(min(known, default=1)) - 1.0
        return _log2(shots) if shots else _log2(max(known, default=1)) + 1.0

    def label(self, axes: Axes, zero: bool) -> None:
        marks: list[int | None] = [None] * zero + list(self.shots)
        axes.set_xticks([self.at(mark) for mark in marks])
        axes.set_xticklabels(["0" if mark is None else shots_text(mark) for mark in marks])
        axes.set_xlabel("shots (training images a class)")


def _log2(value: int) -> float:
    return math.log2(value)


def _axis(series: Series) -> _Axis:
    return _Axis(tuple(shots for shots in series if shots is not None))


def _points(series: Series, contender: Contender, name: str) -> dict[int | None, Summary]:
    """Accuracy by shots on one data set or on the average; zero-shot CLIP by None."""
    found: dict[int | None, Summary] = {}
    for shots, results in series.items():
        cell = results.average(contender) if name == AVERAGE else results.cell(name, contender)
        if cell is not None:
            found[None if contender.kind == "zero_shot" else shots] = cell["accuracy"]
    return found


def _panel(series: Series, name: str) -> Drawing | None:
    results = next(iter(series.values()))
    lines = {m: _points(series, m, name) for m in results.shown()}
    lines = {contender: points for contender, points in lines.items() if points}
    if not lines:
        return None
    count = len(results.datasets)
    title = f"Average of {count} data sets" if name == AVERAGE else name
    alt = f"Accuracy against shots, {title}. " + " ".join(
        f"{contender.label}: "
        + ", ".join(
            f"{summary.mean:.1f} at {'0' if shots is None else shots_text(shots)}"
            for shots, summary in points.items()
        )
        + "."
        for contender, points in lines.items()
    )
    paint = partial(_paint, results, _axis(series), lines, title)
    return draw(
        slug("shots", *(() if name == AVERAGE else (name,))),
        title,
        alt,
        PANEL,
        paint,
        fields=("method", "shots", "accuracy", "std", "seeds"),
        numbers=(
            [m.key, "0" if k is None else shots_text(k), each.mean, each.std, each.n]
            for m, points in lines.items()
            for k, each in points.items()
        ),
    )


def _paint(
    results: Results,
    axis: _Axis,
    lines: Mapping[Contender, Mapping[int | None, Summary]],
    title: str,
    panels: list[Axes],
) -> None:
    axes = panels[0]
    for contender, points in lines.items():
        axes.errorbar(
            [axis.at(shots) for shots in points],
            [summary.mean for summary in points.values()],
            yerr=[summary.std or 0.0 for summary in points.values()],
            linestyle=DASHES.get(contender.kind, ""),
            color=color(tone(results.backbones, contender.backbone)),
            marker=MARKERS[contender.kind],
            fillstyle="none" if contender.transductive else "full",
            elinewidth=0.9,
            capsize=2,
            label=contender.label,
        )
    axis.label(axes, any(contender.kind == "zero_shot" for contender in lines))
    axes.set_title(title)
    axes.set_ylabel("accuracy (%)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _gain_panel(series: Series) -> Drawing | None:
    """DPC minus its backbone against shots, a line a backbone."""
    results = list(series.values())[-1]
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for backbone in results.backbones:
        dpc, plain = (results.contender(backbone, kind) for kind in ("dpc", "plain"))
        for shots, each in series.items():
            test = effect(each, dpc, plain, results.protocol.lead).seeds
            if test is not None and shots is not None:
                half = 0.0 if test.high is None else test.high - test.mean
                lines.setdefault(backbone, []).append((shots, test.mean, half))
    if not lines:
        return None
    title = "DPC minus its backbone"
    alt = "Gain of DPC in points against shots. " + " ".join(
        f"{results.names[backbone]}: "
        + ", ".join(f"{mean:+.2f} at {shots_text(shots)}" for shots, mean, _ in points)
        + "."
        for backbone, points in lines.items()
    )
    paint = partial(_paint_gains, results, _axis(series), lines, title)
    return draw(
        slug("gain", "shots"),
        title,
        alt,
        PANEL,
        paint,
        fields=("backbone", "shots", "gain", "half_interval"),
        numbers=([b, shots_text(shots), *gain] for b, of in lines.items() for shots, *gain in of),
    )


def _paint_gains(
    results: Results,
    axis: _Axis,
    lines: Mapping[str, Sequence[tuple[int, float, float]]],
    title: str,
    panels: list[Axes],
) -> None:
    axes = panels[0]
    axes.axhline(0, color=color("quiet"), linewidth=0.9)
    middle = (len(lines) - 1) / 2
    for number, (backbone, points) in enumerate(lines.items()):
        axes.errorbar(
            [axis.at(shots) + 0.08 * (number - middle) for shots, _, _ in points],
            [mean for _, mean, _ in points],
            yerr=[half for _, _, half in points],
            color=color(tone(results.backbones, backbone)),
            marker=line_marker(results.backbones, backbone),
            fillstyle="none" if backbone in results.transductive else "full",
            elinewidth=0.9,
            capsize=2,
            label=results.names[backbone],
        )
    axis.label(axes, zero=False)
    axes.set_title(title)
    axes.set_ylabel("accuracy, change (points)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
