"""Channels as figures: agreement beside its nulls, profiles of P against P', the line between."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dpc.report.channels import GROUPS, Line, Part, profiles_of
from dpc.report.context import Report
from dpc.report.rows import Results
from dpc.report.svg import Drawing, color, draw, line_marker, slug, tone

WIDTH, HEIGHT, MARGIN = 4.6, 0.26, 1.35  # inches: of the figure, of a part, of title, axis, legend
LINE_SIZE = (4.6, 3.4)
PANEL = (3.6, 3.1)


def agreements(results: Results, found: Sequence[Part]) -> list[Drawing]:
    """The correlation of each part beside what chance, a step and another seed give."""
    if not found:
        return []
    title = "Correlation of channel sizes, P with P'"
    alt = f"{title}. " + " ".join(
        f"{part.name}: {part.value:.2f}; a step of that length {_nulls(part)[1]:.2f} to "
        f"{_nulls(part)[2]:.2f}{_said('another seed', part.other)}{_said('start', part.start)}."
        for part in found
    )
    return [
        draw(
            "channels-agreement",
            title,
            alt,
            (WIDTH, MARGIN + HEIGHT * len(found)),
            partial(_agreements, results, found, title),
            fields=(
                *("method", "part", "value", "permuted_95", "step_5", "step_95"),
                *("other_seeds", "start"),
            ),
            numbers=[
                [part.contender.key, part.group, part.value, *_nulls(part), part.other, part.start]
                for part in found
            ],
        )
    ]


def _said(what: str, value: float | None) -> str:
    return "" if value is None else f"; {what} {value:.2f}"


def _nulls(part: Part) -> tuple[float, float, float]:
    """95 % quantile of permuted channels; 5 and 95 % of steps: means over the runs."""
    picked = (("permuted", "high"), ("step", "low"), ("step", "high"))
    permuted, low, high = (part.statistic("pearson", *each) or 0.0 for each in picked)
    return permuted, low, high


def _agreements(
    results: Results, found: Sequence[Part], title: str, panels: Sequence[Axes]
) -> None:
    axes = panels[0]
    quiet: dict[str, Any] = {"color": color("quiet"), "linestyle": ""}
    for place, part in enumerate(found):
        permuted, low, high = _nulls(part)
        axes.plot([low, high], [place, place], color=color("faint"), linewidth=8, zorder=2)
        axes.plot(permuted, place, "|", markersize=10, **quiet)
        if part.other is not None:
            axes.plot(part.other, place, "D", fillstyle="none", **quiet)
        if part.start is not None:
            axes.plot(part.start, place, "x", **quiet)
        axes.plot(
            part.value,
            place,
            "o",
            color=color(tone(results.backbones, part.contender.backbone)),
            fillstyle="none" if part.contender.transductive else "full",
            markersize=6.5,
            zorder=4,
        )
    axes.set_yticks(range(len(found)), [part.name for part in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(min(-0.05, axes.get_xlim()[0]), 1.02)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title)
    axes.set_xlabel("Pearson correlation over channels")
    axes.figure.legend(handles=_legend(), loc="outside lower center", ncols=2)


def _legend() -> list[Line2D]:
    quiet: dict[str, Any] = {"color": color("quiet"), "linestyle": ""}
    return [
        Line2D([], [], marker="o", label="P with P'", **quiet),
        Line2D([], [], color=color("faint"), linewidth=8, label="step in any order, 90 %"),
        Line2D([], [], marker="|", markersize=10, label="channels in any order, 95 %", **quiet),
        Line2D([], [], marker="D", fillstyle="none", label="P with another seed's P", **quiet),
        Line2D([], [], marker="x", label="P with where it began", **quiet),
    ]


def profile_panels(report: Report, found: Sequence[Part]) -> list[Drawing]:
    """A panel a backbone: each channel's size in P and in P', in the first run's first layer."""
    drawings, seen = [], set()
    for part in found:
        score = part.runs[0][0]
        profiles = profiles_of(score, report.context, part.group)
        if part.contender.backbone in seen or profiles is None:
            continue
        seen.add(part.contender.backbone)
        before, after = profiles[:, 0].astype(float)
        title = f"{part.name}: {score.dataset}, seed {score.seed}"
        drawings.append(
            draw(
                slug("channels", part.contender.backbone),
                title,
                f"Size of each of {len(before)} channels in P and in P', {title}; on the diagonal "
                f"they are equal. P from {before.min():.3g} to {before.max():.3g}, P' from "
                f"{after.min():.3g} to {after.max():.3g}, correlation "
                f"{part.runs[0][1]['by_layer'][0]:.2f}.",
                PANEL,
                partial(
                    _profiles,
                    (before, after),
                    (part.contender.name, f"{score.dataset}, seed {score.seed}"),
                    tone(report.results.backbones, part.contender.backbone),
                    GROUPS[part.group],
                ),
                fields=("channel", "tuned", "parallel"),
                numbers=[
                    [str(c), a, b] for c, (a, b) in enumerate(zip(before, after, strict=True))
                ],
            )
        )
    return drawings


def _profiles(
    sizes: tuple[np.ndarray, np.ndarray],
    words: tuple[str, str],
    tint: str,
    group: str,
    panels: Sequence[Axes],
) -> None:
    axes, (before, after) = panels[0], sizes
    ends = [0, 1.05 * max(before.max(), after.max())]
    axes.plot(ends, ends, color=color("quiet"), linewidth=0.9)
    axes.plot(before, after, "o", color=color(tint), markersize=3, alpha=0.75, zorder=3)
    axes.set_xlim(0, 1.05 * before.max())
    axes.set_ylim(0, 1.05 * after.max())
    axes.set_title("\n".join(words))
    axes.set_xlabel(f"size in P ({group})")
    axes.set_ylabel("size in P'")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))


def line_panel(results: Results, found: Sequence[Line], used: Sequence[float]) -> list[Drawing]:
    """Accuracy along P + t·(P' − P), a line a backbone; dotted where it is in use.

    Args:
        used: the ω_b of the runs.
    """
    if not found:
        return []
    title, noun = "Along the line from P to P' and beyond", results.protocol.omega_b.noun
    alt = f"Change of {noun} against P along P + t(P' − P), in points. " + " ".join(
        f"{line.contender.name}: "
        + ", ".join(f"{value:+.2f} at {t:g}" for t, value in line.points.items())
        + "."
        for line in found
    )
    return [
        draw(
            "channels-line",
            title,
            alt,
            LINE_SIZE,
            partial(_line, results, found, used, (title, noun)),
            fields=("method", "t", "change", "runs"),
            numbers=[
                [line.contender.key, t, value, str(line.runs)]
                for line in found
                for t, value in line.points.items()
            ],
        )
    ]


def _line(
    results: Results,
    found: Sequence[Line],
    used: Sequence[float],
    words: tuple[str, str],
    panels: Sequence[Axes],
) -> None:
    axes = panels[0]
    axes.axhline(0, color=color("quiet"), linewidth=0.9)
    for weight in used:
        axes.axvline(weight, color=color("quiet"), linewidth=0.9, linestyle="dotted")
    for line in found:
        backbone = line.contender.backbone
        apart = line.contender.transductive
        axes.plot(
            list(line.points),
            list(line.points.values()),
            "--" if apart else "-",
            color=color(tone(results.backbones, backbone)),
            marker=line_marker(results.backbones, backbone),
            fillstyle="none" if apart else "full",
            markersize=4,
            label=line.contender.name,
            zorder=3,
        )
    axes.set_title(words[0])
    axes.set_xlabel("t: 0 is P, 1 is P'")
    axes.set_ylabel(f"{words[1]},\nchange (points)")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
