"""Curves of the page as data: accuracy against a weight, loss against the epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpc.evaluation.statistics import Summary, harmonic_mean, summarize
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
    """The same over the averages of the data sets that the curve is of, seed by seed.

    A weight and seed that one of the sets lacks has no point.
    """
    sets = curve_sets(results, name)
    by_seed: dict[int | None, list[dict[float, float]]] = {}
    for dataset in sets:
        for score in results.runs(dataset, contender):
            by_seed.setdefault(score.seed, []).append(_walk(score, name, split))
    values: dict[float, list[float]] = {}
    for walks in by_seed.values():
        if len(walks) < len(sets):
            continue
        for weight in set.intersection(*(set(walk) for walk in walks)):
            mean = math.fsum(walk[weight] for walk in walks) / len(walks)
            values.setdefault(weight, []).append(mean)
    return _points(values)


@dataclass(frozen=True)
class OffsetPoint:
    """Accuracies at one offset, means over data sets; their deviation over seeds."""

    offset: float
    base: Summary
    new: Summary
    overall: Summary

    @property
    def h(self) -> float:
        """Of the mean base and new accuracy."""
        return harmonic_mean(self.base.mean, self.new.mean)


def offset_curve(results: Results, contender: Contender, sets: Sequence[str]) -> list[OffsetPoint]:
    """Base, new and overall accuracy as an offset is taken off the base classes' logits.

    Averages over these data sets seed by seed, then mean over the seeds; an offset, or a seed,
    that one of the sets lacks is left out.
    """
    by_seed: dict[int | None, list[dict[float, Mapping[str, float]]]] = {}
    for dataset in sets:
        for score in results.runs(dataset, contender):
            points = score.row.get("offsets") or ()
            walk = {float(point["offset"]): point for point in points}
            by_seed.setdefault(score.seed, []).append(walk)
    values: dict[float, list[list[float]]] = {}
    for walks in by_seed.values():
        if len(walks) < len(sets):
            continue
        for offset in set.intersection(*(set(walk) for walk in walks)):
            means = [
                math.fsum(float(walk[offset][metric]) for walk in walks) / len(walks)
                for metric in ("base", "new", "overall")
            ]
            values.setdefault(offset, []).append(means)
    return [
        OffsetPoint(offset, *(summarize(each) for each in zip(*values[offset], strict=True)))
        for offset in sorted(values)
    ]


def change_curve(results: Results, dataset: str, backbone: str, name: str) -> list[Point]:
    """What a weight changes on the test images, in points, against the backbone alone.

    Differences are taken run by run, so the deviation is that of the change.
    """
    dpc, plain = (results.contender(backbone, kind) for kind in ("dpc", "plain"))
    measure = results.protocol.weighed(name)
    values: dict[float, list[float]] = {}
    for score, alone in matched(results, dpc, plain, (dataset,)).values():
        for weight, value in _walk(score, name, "test").items():
            if measure is not None:
                values.setdefault(weight, []).append(value - alone[measure.metric])
    return _points(values)


def curve_sets(results: Results, name: str) -> tuple[str, ...]:
    """Data sets that the curve of ``omega_b`` or ``omega_n`` is of."""
    measure = results.protocol.weighed(name)
    return () if measure is None else results.over(measure.over)


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
