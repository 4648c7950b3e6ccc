"""Sweeps as data: the rows of each point in order, and how far the best lies from the grid."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.evaluation.statistics import Summary, summarize
from dpc.report.rows import Cell, Results, arrange
from dpc.report.scores import Contender

# What readers call a key; of others, what stands behind the last dot.
NAMES = {"dpc.negatives.k": "K", "dpc.batch": "B", "shots": "shots", "dpc.weight": "ω_b"}


@dataclass(frozen=True)
class Sweep:
    """One sweep.

    Attributes:
        name, title: of the parameters.
        changes: the keys of each point, by the point's name, in order.
        results: the rows of each point.
        own: backbone -> the point that is the grid itself, where one is.
        lacking: name of a backbone -> why it has no points.
    """

    name: str
    title: str
    changes: Mapping[str, Mapping[str, Any]]
    results: Mapping[str, Results]
    own: Mapping[str, str]
    lacking: Mapping[str, str]

    @property
    def backbones(self) -> tuple[str, ...]:
        """Those that have points."""
        return next(iter(self.results.values())).backbones

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that differ from point to point, if every point has them."""
        first, *others = self.changes.values()
        return tuple(
            key
            for key, value in first.items()
            if all(key in other for other in others) and any(o[key] != value for o in others)
        )

    @property
    def axis(self) -> str:
        """What is swept: ``K × B``."""
        return " × ".join(NAMES.get(key, key.rpartition(".")[2]) for key in self.keys)

    @property
    def ordered(self) -> bool:
        """Whether the points stand on a scale: all values are numbers."""
        values = [changes[key] for changes in self.changes.values() for key in self.keys]
        return bool(values) and all(isinstance(v, int | float) for v in values)

    def label(self, point: str) -> str:
        """A point on that axis: ``4 × 8``; where the points share no key, its name."""
        values = [self.changes[point][key] for key in self.keys]
        return " × ".join("null" if v is None else str(v) for v in values) if values else point

    def contender(self, backbone: str, dpc: bool) -> Contender:
        """A backbone alone, or with DPC."""
        kind = "dpc" if dpc else "plain"
        return next(iter(self.results.values())).contender(backbone, kind)

    def is_own(self, contender: Contender, point: str) -> bool:
        """Whether a point is the grid itself."""
        return self.own.get(contender.backbone) == point

    def cells(self, contender: Contender) -> dict[str, Cell]:
        """The average over the data sets at each point that all of them have."""
        found = {
            point: each.average(contender, each.trained) for point, each in self.results.items()
        }
        return {point: cell for point, cell in found.items() if cell is not None}


def sweep(given: Mapping[str, Any], grid: Results, backbones: Sequence[str]) -> Sweep | None:
    """A sweep of the context, its backbones in table order; None where no backbone has points.

    Raises:
        DpcError: a row that cannot be read, see `dpc.report.rows.arrange`.
    """
    rows: dict[str, list[dict[str, Any]]] = {point: [] for point in given["points"]}
    lacking = {}
    for cell in given["cells"]:
        if cell["lacking"]:
            lacking[cell["label"]] = cell["lacking"]
        same = {key: cell[key] for key in ("dataset", "backbone", "label", "transductive")}
        for row in cell["rows"]:
            rows[row["point"]].append(row | same | {"budget": False})
    if not any(rows.values()):
        return None
    results = {
        p: arrange(found, grid.trained, backbones, grid.protocol) for p, found in rows.items()
    }
    own = {name: point for name, point in given["own"].items() if point is not None}
    return Sweep(given["name"], given["title"], given["points"], results, own, lacking)


@dataclass(frozen=True)
class Best:
    """The point where a contender is best on a metric, and the grid's own value.

    Attributes:
        value: there.
        change: best minus grid, in points, seed by seed; None where the two share no seeds.
        even: whether every point is as good.
    """

    contender: Contender
    point: str
    value: float
    change: Summary | None
    even: bool


def best(found: Sweep, contender: Contender, grid: Results, metric: str) -> Best | None:
    """The best point of a sweep against the grid itself, over the data sets of both."""
    cells = found.cells(contender)
    if not cells:
        return None
    means = {name: cell[metric].mean for name, cell in cells.items()}
    point = max(means, key=lambda name: (means[name], found.is_own(contender, name)))
    here, there = (
        _by_seed(each, contender, grid.trained, metric) for each in (found.results[point], grid)
    )
    changes = [value - there[seed] for seed, value in here.items() if seed in there]
    change = summarize(changes) if changes else None
    return Best(contender, point, means[point], change, len(set(means.values())) == 1)


def _by_seed(
    results: Results, contender: Contender, sets: Sequence[str], metric: str
) -> dict[int | None, float]:
    """Means over the data sets, of the seeds that all of them have."""
    values: dict[int | None, list[float]] = {}
    for dataset in sets:
        for score in results.runs(dataset, contender):
            values.setdefault(score.seed, []).append(score[metric])
    return {
        seed: math.fsum(each) / len(each) for seed, each in values.items() if len(each) == len(sets)
    }
