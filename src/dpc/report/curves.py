"""Curves of the page as data: accuracy against a weight, loss against the epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpc.evaluation.statistics import summarize
from dpc.report.effects import matched
from dpc.report.rows import Results
from dpc.report.scores import Contender, Score

MAIN_LOSSES = ("classification", "contrastive")  # of stage one and two; the others stand beside


@dataclass(frozen=True)
class Point:
    """One point of a curve: mean and deviation over seeds."""

    x: float
    mean: float
    std: float | None
    n: int


def curve(runs: Sequence[Score], name: str, split: str) -> list[Point]:
    """Accuracy against weight over the seeds of one cell.

    Args:
        runs: scores of one contender on one data set.
        name: ``omega_b`` or ``omega_n``.
        split: ``test`` or ``val``; points without that split are left out.
    """
    values: dict[float, list[float]] = {}
    for score in runs:
        for weight, value in _walk(score, name, split).items():
            values.setdefault(weight, []).append(value)
    return _points(values)


def average_curve(results: Results, contender: Contender, name: str, split: str) -> list[Point]:
    """The same over the averages of all data sets, seed by seed.

    A weight and seed that one of the sets lacks has no point.
    """
    by_seed: dict[int | None, list[dict[float, float]]] = {}
    for dataset in results.datasets:
        for score in results.runs(dataset, contender):
            by_seed.setdefault(score.seed, []).append(_walk(score, name, split))
    values: dict[float, list[float]] = {}
    for walks in by_seed.values():
        if len(walks) < len(results.datasets):
            continue
        for weight in set.intersection(*(set(walk) for walk in walks)):
            mean = math.fsum(walk[weight] for walk in walks) / len(walks)
            values.setdefault(weight, []).append(mean)
    return _points(values)


def change_curve(results: Results, dataset: str, backbone: str, name: str) -> list[Point]:
    """What a weight changes on the test images, in points, against the backbone alone.

    Differences are taken run by run, so the deviation is that of the change.
    """
    dpc, plain = (results.contender(backbone, kind) for kind in ("dpc", "plain"))
    values: dict[float, list[float]] = {}
    for (found, _), (score, alone) in matched(results, dpc, plain).items():
        if found == dataset:
            start = alone.base if name == "omega_b" else alone.new
            for weight, value in _walk(score, name, "test").items():
                values.setdefault(weight, []).append(value - start)
    return _points(values)


def losses(runs: Sequence[Score]) -> dict[str, list[Point]]:
    """Each named loss against the epoch (from 1), over the seeds of one cell."""
    named: dict[str, dict[float, list[float]]] = {}
    for score in runs:
        for name, values in sorted((score.row.get("history") or {}).items()):
            for epoch, value in enumerate(values, start=1):
                named.setdefault(name, {}).setdefault(float(epoch), []).append(float(value))
    return {name: _points(values) for name, values in sorted(named.items())}


def _walk(score: Score, name: str, split: str) -> dict[float, float]:
    """Weight -> accuracy of one run."""
    points = (score.row.get("curves") or {}).get(name) or ()
    return {float(p["weight"]): float(p[split]) for p in points if p.get(split) is not None}


def _points(values: Mapping[float, Sequence[float]]) -> list[Point]:
    summaries = [(x, summarize(values[x])) for x in sorted(values)]
    return [Point(x, summary.mean, summary.std, summary.n) for x, summary in summaries]
