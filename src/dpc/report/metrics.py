"""The numbers for machines: every run and every average, and a summary of ten at most."""

from collections.abc import Iterable, Sequence
from typing import Any

from dpc.report.effects import effect
from dpc.report.rows import Results, collect
from dpc.report.scores import Row, Score

DIGITS = 4  # of a percentage: far below one test image
SUMMARY_SIZE = 10


def build(
    rows: Iterable[Row], clip: str, datasets: Sequence[str] = (), backbones: Sequence[str] = ()
) -> dict[str, Any]:
    """Every run with its selection rule, and each method's average over the data sets.

    Args:
        rows: evaluated rows; rungs of an ablation are left out.
        clip: name of the CLIP model, written into every row.
        datasets: data sets in the order to show.
        backbones: backbones in the order to show.

    Returns:
        ``{"rows": [...], "averages": {...}}`` in percent. A method that did not run on every
        data set has no average. ``omega_b`` is the weight that base classes were read with:
        1 where P' alone read them.
    """
    results = collect(rows, datasets, backbones)
    lines = [
        _line(score, clip)
        for dataset in results.datasets
        for contender in results.contenders
        for score in results.runs(dataset, contender)
    ]
    return {"rows": lines, "averages": _averages(results)}


def summary(
    rows: Iterable[Row], datasets: Sequence[str] = (), backbones: Sequence[str] = ()
) -> dict[str, float]:
    """At most ten flat numbers for an experiment table, by this order of importance.

    ``gain_base``, DPC minus the backbone it starts from on base, mean over the backbones; the H
    of zero-shot CLIP, of each backbone with DPC, of each backbone alone; ``gain_base_budget``,
    DPC minus the backbone of the same budget; the H of that; each method's base accuracy in the
    same order. Four backbones fill the ten with their H; what does not fit is in metrics.json.
    """
    results = collect(rows, datasets, backbones)
    averages = _averages(results)
    ordered = [
        contender.key
        for kind in ("zero_shot", "dpc", "plain", "budget")
        for contender in results.shown()
        if contender.kind == kind and contender.key in averages
    ]
    matched = [key for key in ordered if key.endswith("+budget")]
    first = [key for key in ordered if key not in matched]
    names = ["gain_base", *_named(first, "h"), "gain_base_budget", *_named(matched, "h")]
    numbers = {
        f"{key.replace('+', '_')}_{field}": averages[key][field]
        for key in ordered
        for field in ("h", "base")
    }
    for name, kind in (("gain_base", "plain"), ("gain_base_budget", "budget")):
        gains = _gains(results, averages, kind)
        if gains:
            numbers[name] = round(sum(gains) / len(gains), DIGITS)
    kept = [name for name in (*names, *_named(ordered, "base")) if name in numbers]
    return {name: numbers[name] for name in sorted(kept[:SUMMARY_SIZE])}


def _named(keys: Sequence[str], field: str) -> list[str]:
    return [f"{key.replace('+', '_')}_{field}" for key in keys]


def _averages(results: Results) -> dict[str, dict[str, float]]:
    averages = {}
    for contender in results.shown():
        cell = results.average(contender)
        if cell is not None and cell.h_mean is not None:
            averages[contender.key] = {
                "base": round(cell.base.mean, DIGITS),
                "new": round(cell.new.mean, DIGITS),
                "h": round(cell.h.mean, DIGITS),
                "h_mean": round(cell.h_mean, DIGITS),
            }
    return averages


def _gains(results: Results, averages: dict[str, dict[str, float]], kind: str) -> list[float]:
    """DPC minus ``kind`` on base for each backbone, over the runs that both have."""
    gains = []
    for backbone in results.backbones:
        dpc, other = (results.contender(backbone, each) for each in ("dpc", kind))
        found = effect(results, dpc, other, "base").pairs
        if found is not None and dpc.key in averages and other.key in averages:
            gains.append(found.mean)
    return gains


def _line(score: Score, clip: str) -> dict[str, Any]:
    row, contender = score.row, score.contender
    return {
        "dataset": score.dataset,
        "backbone": contender.backbone,
        "dpc": contender.kind == "dpc",
        "budget": contender.kind == "budget",
        "transductive": contender.transductive,
        "seed": score.seed,
        "protocol": "base-to-new",
        "selection": contender.selection,
        "parametrization": row.get("parametrization"),
        "inference": score.inference,
        "omega_b": score.applied,
        "omega_n": row.get("omega_n"),
        "clip": clip,
        "base": round(score.base, DIGITS),
        "new": round(score.new, DIGITS),
        "h": round(score.h, DIGITS),
    }
