"""The paper beside us: the page's section and paper.csv, as text."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dpc.report.paper_comparison import (
    Comparison,
    Gain,
    Pair,
    RungPair,
    Standing,
    comparison,
    h_mean,
)
from dpc.report.paper_numbers import AVERAGE, BACKBONES, DATASETS, Accuracy
from dpc.report.rows import Results
from dpc.report.words import DASH, listed, percent, points

FIELDS = [
    *("quantity", "method", "dataset", "metric"),
    *("ours", "ours_std", "reference", "difference", "source"),
]
THE_PAPER = "DPC, CVPR 2025 (arXiv 2503.13443)"
GAIN_HEADINGS = (
    "Backbone",
    "Whose",
    "Gain on base",
    "Up / equal / down",
    "One set left out",
    "Moves most without",
)
STANDING_HEADINGS = (
    "Whose",
    "Base",
    "New",
    "H",
    "The paper's + DPC over it, H",
    "+ DPC here over it, H",
)
WHOLE = f"Average of {len(DATASETS)}"


def paper_context(
    results: Results,
    params: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]] = (),
    ablated: Results | None = None,
) -> dict[str, Any]:
    """What ``paper.html.j2`` shows: a line, and tables where a comparison holds.

    Args:
        results: of `dpc.report.rows.collect`.
        params: the run's parameters, as plain values.
        datasets: what the run says of its data, as `dpc.report.context.ReportContext` has
            it; those whose ``published`` is not true are left out.
        ablated: of `dpc.report.rows.ladder`; None: the ablation is not compared.
    """
    found = comparison(results, params, datasets, ablated)
    return {
        "line": _line(found),
        "holds": not found.reasons,
        "notes": _notes(found),
        "methods": list(_methods(found)),
        "gain_headings": GAIN_HEADINGS,
        "gains": [_gain_cells(found, gain) for gain in found.gains],
        "standing_headings": STANDING_HEADINGS,
        "standings": [
            (found.names[each.backbone], each.source, _standing_lines(each))
            for each in found.standings
        ],
        "whole": WHOLE,
        "sets": len(DATASETS),
        "rungs": [_rung_cells(rung) for rung in found.ablation],
    }


def paper_csv(
    results: Results,
    params: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]] = (),
    ablated: Results | None = None,
) -> str:
    """Every compared number; the header alone where no comparison holds."""
    found = comparison(results, params, datasets, ablated)
    lines = [FIELDS, *_accuracy_lines(found), *_gain_lines(found)]
    lines += [*_published_lines(found), *_ablation_lines(found)]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def _line(found: Comparison) -> str:
    """Whether numbers are compared, and why not."""
    if found.reasons:
        return f"No comparison with the paper's numbers holds: {'; '.join(found.reasons)}."
    if not found.pairs:
        why = [
            f"{BACKBONES[name]} is left out, since {why}" for name, why in found.left_out.items()
        ]
        none = "none of the paper's methods has a row on its data sets"
        return f"Nothing is compared: {'; '.join(why) or none}."
    ran = len(found.datasets)
    part = f"all {ran}" if found.complete else f"{ran} of its {len(DATASETS)}"
    return (
        f"Ours beside the paper's base-to-new table: {part} data sets. A difference is ours minus "
        "the paper's, in percent points."
    )


def _notes(found: Comparison) -> list[str]:
    """What is left out and why, then what to know; with nothing compared the line has said it."""
    if not found.pairs:
        return []
    lines = [f"{BACKBONES[name]} is not compared: {why}." for name, why in found.left_out.items()]
    lines += [f"{name} is not compared: {why}." for name, why in found.foreign.items()]
    if not found.complete:
        absent = [
            name
            for key, name in DATASETS.items()
            if key not in found.datasets and key not in found.foreign
        ]
        why = f"{listed(absent)} did not run" if absent else "not every data set is compared"
        lines.append(f"No average: {why}.")
    return [*lines, *found.notes]


def _methods(found: Comparison) -> Iterator[tuple[Any, list[tuple[str, list[str]]]]]:
    """Each contender with its lines: data set, then ours, the paper's and the difference of each
    of base, new and H."""
    for contender in dict.fromkeys(pair.contender for pair in found.pairs):
        own = tuple(pair for pair in found.pairs if pair.contender == contender)
        lines = [(_set_name(pair.dataset), _pair_cells(pair)) for pair in own]
        if own[-1].dataset == AVERAGE:
            ours, paper = h_mean(own, contender)
            cells = [f"{ours:.2f}", f"{paper:.2f}", points(ours - paper)]
            lines.append(("Mean of the sets' H", [""] * 6 + cells))
        yield contender, lines


def _pair_cells(pair: Pair) -> list[str]:
    cells: list[str] = []
    for metric in Accuracy._fields:
        cells.append(percent(pair.cell[metric]))
        cells.append(f"{getattr(pair.paper, metric):.2f}")
        cells.append(points(getattr(pair.difference, metric)))
    return cells


def _gain_cells(found: Comparison, gain: Gain) -> list[str]:
    without, carrier = gain.without, gain.carrier
    low_high = DASH
    if without:
        low_high = f"{points(min(without.values()))} to {points(max(without.values()))}"
    most = DASH if carrier is None else f"{DATASETS[carrier]}: {points(without[carrier])}"
    whose = {"ours": "ours", "paper": "the paper's"}[gain.source]
    up_down = " / ".join(str(count) for count in gain.counts)
    return [found.names[gain.backbone], whose, points(gain.mean), up_down, low_high, most]


def _standing_lines(each: Standing) -> list[list[str]]:
    """Base, new and H as published, as the paper ran them and as they are here, and how far H with
    DPC, the paper's and ours, lies above each that has none."""
    alone, dpc = each.paper
    here, here_dpc = each.ours or (None, None)
    lines = [
        ("as published", each.published, dpc, here_dpc),
        ("the paper's run", alone, dpc, None),
        ("the paper's, + DPC", dpc, None, None),
        ("here", here, None, here_dpc),
        ("here, + DPC", here_dpc, None, None),
    ]
    return [
        [
            name,
            *([f"{value:.2f}" for value in accuracy] if accuracy else [DASH] * 3),
            *(points(each.h - accuracy.h) if each and accuracy else DASH for each in gains),
        ]
        for name, accuracy, *gains in lines
    ]


def _rung_cells(rung: RungPair) -> list[str]:
    cells = [rung.name]
    for ours, paper in zip(rung.ours, rung.paper, strict=True):
        cells += [f"{ours:.2f}", f"{paper:.2f}", points(ours - paper)]
    return cells


def _set_name(dataset: str) -> str:
    return WHOLE if dataset == AVERAGE else DATASETS[dataset]


def _accuracy_lines(found: Comparison) -> Iterator[list[str]]:
    for pair in found.pairs:
        for metric in Accuracy._fields:
            ours, paper = getattr(pair.ours, metric), getattr(pair.paper, metric)
            std = pair.cell[metric].std
            start = ["accuracy", pair.contender.key, pair.dataset, metric]
            yield [*start, *_compared(ours, paper, std), THE_PAPER]
    for contender in dict.fromkeys(p.contender for p in found.pairs if p.dataset == AVERAGE):
        own = tuple(pair for pair in found.pairs if pair.contender == contender)
        start = ["accuracy", contender.key, AVERAGE, "h_mean"]
        yield [*start, *_compared(*h_mean(own, contender)), THE_PAPER]


def _gain_lines(found: Comparison) -> Iterator[list[str]]:
    """Gains on base: on each set, their mean, and the mean without each set."""
    by_source = {(gain.backbone, gain.source): gain for gain in found.gains}
    for backbone in dict.fromkeys(gain.backbone for gain in found.gains):
        ours, paper = (by_source[backbone, source] for source in ("ours", "paper"))
        method = f"{backbone}+dpc"
        for name in ours.gaps:
            numbers = _compared(ours.gaps[name], paper.gaps[name])
            yield ["gain", method, name, "base", *numbers, THE_PAPER]
        yield ["gain", method, "mean", "base", *_compared(ours.mean, paper.mean), THE_PAPER]
        for name in ours.without:
            numbers = _compared(ours.without[name], paper.without[name])
            yield ["gain_without", method, name, "base", *numbers, THE_PAPER]


def _published_lines(found: Comparison) -> Iterator[list[str]]:
    for each in found.standings:
        for metric in Accuracy._fields:
            reference = getattr(each.published, metric)
            ours = getattr(each.ours[0], metric) if each.ours is not None else None
            start = ["published", each.backbone, AVERAGE, metric]
            yield [*start, *_compared(ours, reference), each.source]


def _ablation_lines(found: Comparison) -> Iterator[list[str]]:
    for rung in found.ablation:
        for metric in Accuracy._fields:
            numbers = _compared(getattr(rung.ours, metric), getattr(rung.paper, metric))
            yield ["ablation", f"coop {rung.key}", AVERAGE, metric, *numbers, THE_PAPER]


def _compared(ours: float | None, reference: float, std: float | None = None) -> list[str]:
    """Ours, its deviation over the seeds, the reference and the difference."""
    gap = None if ours is None else ours - reference
    return [_number(ours), _number(std), f"{reference:.2f}", _number(gap)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
