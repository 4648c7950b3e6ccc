"""The tables and curves of the page as data; ``export`` writes them to files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpc.evaluation.statistics import Summary, summarize
from dpc.report.rows import Cell, Contender, Results, Score
from dpc.report.words import DASH, percent

METRICS = ("base", "new", "h")
AVERAGE = "Average"


@dataclass(frozen=True)
class Line:
    """One contender in one block of the main table; ``best`` names the columns set in bold."""

    contender: Contender
    cell: Cell | None
    best: frozenset[str]
    incomplete: bool
    note: str  # how ω_b was chosen, for DPC

    def text(self, metric: str) -> str:
        """``81.80 ± 1.02``, with a dagger where seeds are missing."""
        if self.cell is None:
            return DASH
        seeded = self.cell.seeds != (None,)
        text = percent(getattr(self.cell, metric), seeded)
        return text + " †" if self.incomplete else text

    @property
    def images(self) -> str:
        """Training images a run was shown, with thousands separated."""
        if self.cell is None or self.cell.images_seen is None:
            return DASH
        return f"{self.cell.images_seen:,.0f}"

    @property
    def h_mean(self) -> str:
        """Mean of the data sets' H; empty where the line is no average."""
        if self.cell is None:
            return DASH
        return "" if self.cell.h_mean is None else f"{self.cell.h_mean:.2f}"


@dataclass(frozen=True)
class Block:
    """The lines of one data set, or of the average."""

    name: str
    lines: tuple[Line, ...]


def main_table(results: Results) -> list[Block]:
    """The average over the data sets, then each of them."""
    contenders = (*results.shown(), *results.shown("val"))
    blocks = []
    for name in (AVERAGE, *results.datasets):
        average = name == AVERAGE
        cells = {m: results.average(m) if average else results.cell(name, m) for m in contenders}
        best = _best({m: cell for m, cell in cells.items() if m.selection == "last"})
        sets = results.datasets if average else (name,)
        lines = [
            Line(
                contender,
                cells[contender],
                frozenset(metric for metric in METRICS if contender in best[metric]),
                any(results.incomplete(dataset, contender) for dataset in sets),
                _note(contender, results.weights(contender, sets)),
            )
            for contender in contenders
        ]
        blocks.append(Block(name, tuple(lines)))
    return blocks


def _note(contender: Contender, used: str) -> str:
    """``ω_b 0.2``; the weights that validation chose have a table of their own."""
    return f"ω_b {used}" if used and contender.selection == "last" else ""


def _best(cells: Mapping[Contender, Cell | None]) -> dict[str, set[Contender]]:
    """Contenders with the highest mean of each column, as printed: equal numbers are all best."""
    best: dict[str, set[Contender]] = {}
    for metric in METRICS:
        means = {m: round(getattr(c, metric).mean, 2) for m, c in cells.items() if c is not None}
        top = max(means.values(), default=math.nan)
        best[metric] = {contender for contender, mean in means.items() if mean == top}
    return best


@dataclass(frozen=True)
class Selection:
    """Base accuracy of one data set by the way ω_b was chosen, in percent."""

    name: str
    backbone: str
    fixed: Summary | None
    val: Summary | None
    oracle: Summary | None
    val_weights: str

    @property
    def gap(self) -> float | None:
        """What choosing ω_b on the test set would add to the fixed weight."""
        if self.fixed is None or self.oracle is None:
            return None
        return self.oracle.mean - self.fixed.mean


def selection_table(results: Results) -> list[Selection]:
    """Fixed ω_b, ω_b chosen on validation shots, and the test oracle, side by side."""
    lines = []
    for backbone in results.backbones:
        contenders = [Contender(backbone, "dpc", rule) for rule in ("last", "val", "test_oracle")]
        if contenders[1] not in results.contenders and contenders[2] not in results.contenders:
            continue
        for name in (AVERAGE, *results.datasets):
            average = name == AVERAGE
            cells = [results.average(m) if average else results.cell(name, m) for m in contenders]
            fixed, val, oracle = (cell.base if cell is not None else None for cell in cells)
            sets = results.datasets if average else (name,)
            chosen = results.weights(contenders[1], sets)
            lines.append(Selection(name, backbone, fixed, val, oracle, chosen))
    return lines


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
        for point in (score.row.get("curves") or {}).get(name) or ():
            if point.get(split) is not None:
                values.setdefault(float(point["weight"]), []).append(float(point[split]))
    return _points(values)


def losses(runs: Sequence[Score]) -> dict[str, list[Point]]:
    """Each named loss against the epoch (from 1), over the seeds of one cell."""
    named: dict[str, dict[float, list[float]]] = {}
    for score in runs:
        for name, values in sorted((score.row.get("history") or {}).items()):
            for epoch, value in enumerate(values, start=1):
                named.setdefault(name, {}).setdefault(float(epoch), []).append(float(value))
    return {name: _points(values) for name, values in sorted(named.items())}


def _points(values: Mapping[float, Sequence[float]]) -> list[Point]:
    summaries = [(x, summarize(values[x])) for x in sorted(values)]
    return [Point(x, summary.mean, summary.std, summary.n) for x, summary in summaries]
