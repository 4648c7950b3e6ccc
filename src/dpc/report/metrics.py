"""The numbers for machines: every run and every average, and a summary of ten at most."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dpc.params.protocols import BASE_TO_NEW
from dpc.report.context import series
from dpc.report.effects import effect
from dpc.report.protocols import PROTOCOLS, Protocol
from dpc.report.rows import Results
from dpc.report.scores import Row, Score
from dpc.report.spread import spread_cells

DIGITS = 4  # of a percentage: far below one test image
SUMMARY_SIZE = 10
PLAIN = PROTOCOLS[BASE_TO_NEW]


def build(
    rows: Iterable[Row],
    clip: str,
    datasets: Sequence[str] = (),
    backbones: Sequence[str] = (),
    protocol: Protocol = PLAIN,
) -> dict[str, Any]:
    """Every run with its selection rule, and each method's average over the data sets.

    Args:
        rows: evaluated rows; rungs of an ablation are left out.
        clip: name of the CLIP model, written into every row.
        datasets: data sets in the order to show.
        backbones: backbones in the order to show.
        protocol: of all rows.

    Returns:
        ``{"rows": [...], "averages": {...}, "cells": [...]}`` in percent. Cells have mean,
        deviation (ddof 1) and 95 % interval (Student's t) over the seeds of each method on each
        data set and on ``Average``, by metric, None where one seed has none. A method that did
        not run on every data set has no average; few-shot averages have their shots behind the
        method, ``coop+dpc@16``. ``omega_b`` is the weight that tuned classes were read with: 1
        where P' alone read them.
    """
    by_shots = series(rows, datasets, backbones, protocol)
    return {
        "rows": _lines(by_shots, clip),
        "averages": _all_averages(by_shots),
        "cells": _cells(by_shots),
    }


def summary(
    rows: Iterable[Row],
    datasets: Sequence[str] = (),
    backbones: Sequence[str] = (),
    protocol: Protocol = PLAIN,
) -> dict[str, float]:
    """At most ten flat numbers for an experiment table, by this order of importance.

    ``gain_base``, DPC minus the backbone it starts from on base, mean over the backbones; the H
    of zero-shot CLIP, of each backbone with DPC, of each backbone alone; ``gain_base_budget``,
    DPC minus the backbone of the same budget; the H of that; each method's base accuracy in the
    same order. Four backbones fill the ten with their H; what does not fit is in metrics.json.

    Other protocols have their own in place of base and H: H and H (generalized), the accuracy
    at the most shots (few-shot), the accuracies on the source and on the targets.
    """
    results = list(series(rows, datasets, backbones, protocol).values())[-1]
    lead, rank = protocol.lead.key, protocol.rank.key
    averages = _averages(results)
    ordered = [
        contender.key
        for kind in ("zero_shot", "dpc", "plain", "budget")
        for contender in results.shown()
        if contender.kind == kind and contender.key in averages
    ]
    matched = [key for key in ordered if key.endswith("+budget")]
    first = [key for key in ordered if key not in matched]
    names = [f"gain_{lead}", *_named(first, rank), f"gain_{lead}_budget", *_named(matched, rank)]
    numbers = {
        f"{key.replace('+', '_')}_{field}": averages[key][field]
        for key in ordered
        for field in (rank, lead)
        if field in averages[key]
    }
    for name, kind in ((f"gain_{lead}", "plain"), (f"gain_{lead}_budget", "budget")):
        gains = _gains(results, averages, kind)
        if gains:
            numbers[name] = round(sum(gains) / len(gains), DIGITS)
    wanted = dict.fromkeys([*names, *_named(ordered, lead)])
    kept = [name for name in wanted if name in numbers]
    return {name: numbers[name] for name in sorted(kept[:SUMMARY_SIZE])}


def _named(keys: Sequence[str], field: str) -> list[str]:
    return [f"{key.replace('+', '_')}_{field}" for key in keys]


def _lines(by_shots: Mapping[int | None, Results], clip: str) -> list[dict[str, Any]]:
    """Every run once: zero-shot CLIP, which has no shots, is in each of the results."""
    lines = []
    first = next(iter(by_shots))
    everything = by_shots[first]
    for dataset in everything.datasets:
        for contender in everything.contenders:
            for shots, results in by_shots.items():
                if contender.kind != "zero_shot" or shots == first:
                    runs = results.runs(dataset, contender)
                    lines += [_line(score, clip, results.protocol) for score in runs]
    return lines


def _cells(by_shots: Mapping[int | None, Results]) -> list[dict[str, Any]]:
    found = []
    for name, contender, shots, cell in spread_cells(by_shots):
        line: dict[str, Any] = {
            "dataset": name,
            "method": contender.key,
            "selection": contender.selection,
            "shots": shots,
            "seeds": [seed for seed in cell.seeds if seed is not None],
        }
        for metric, summary in cell.values.items():
            low, high = summary.interval() or (None, None)
            numbers = {"mean": summary.mean, "std": summary.std, "low": low, "high": high}
            line[metric] = {n: None if x is None else round(x, DIGITS) for n, x in numbers.items()}
        found.append(line)
    return found


def _all_averages(by_shots: Mapping[int | None, Results]) -> dict[str, dict[str, float]]:
    averages: dict[str, dict[str, float]] = {}
    for shots, results in by_shots.items():
        for key, means in _averages(results).items():
            alone = shots is None or key == "zero_shot"
            averages[key if alone else f"{key}@{shots}"] = means
    return averages


def _averages(results: Results) -> dict[str, dict[str, float]]:
    averages = {}
    for contender in results.shown():
        means: dict[str, float] = {}
        for measure in results.protocol.measures:
            cell = results.average(contender, results.over(measure.over))
            if cell is not None:
                means[measure.key] = round(cell[measure.metric].mean, DIGITS)
                if measure.metric == "h" and cell.h_mean is not None:
                    means["h_mean"] = round(cell.h_mean, DIGITS)
        if means:
            averages[contender.key] = means
    return averages


def _gains(results: Results, averages: dict[str, dict[str, float]], kind: str) -> list[float]:
    """DPC minus ``kind`` for each backbone, over the runs that both have."""
    gains = []
    for backbone in results.backbones:
        dpc, other = (results.contender(backbone, each) for each in ("dpc", kind))
        found = effect(results, dpc, other, results.protocol.lead).seeds
        if found is not None and dpc.key in averages and other.key in averages:
            gains.append(found.mean)
    return gains


def _line(score: Score, clip: str, protocol: Protocol) -> dict[str, Any]:
    row, contender = score.row, score.contender
    return {
        "dataset": score.dataset,
        "source": score.source,
        "backbone": contender.backbone,
        "dpc": contender.kind == "dpc",
        "budget": contender.kind == "budget",
        "transductive": contender.transductive,
        "shots": row.get("shots"),
        "seed": score.seed,
        "protocol": protocol.name,
        "selection": contender.selection,
        "parametrization": row.get("parametrization"),
        "inference": score.inference,
        "omega_b": score.applied,
        "omega_n": row.get("omega_n"),
        "clip": clip,
    } | {metric: round(score[metric], DIGITS) for metric in protocol.metrics}
