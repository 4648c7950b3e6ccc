"""The main table and the choice of ω_b as data; ``export`` writes them to files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dpc.evaluation.statistics import Summary
from dpc.report.rows import Cell, Results
from dpc.report.scores import Contender
from dpc.report.words import DASH, percent

METRICS = ("base", "new", "h")
AVERAGE = "Average"
TRANSDUCTIVE = (
    "trained on the unlabelled training images of all classes, new ones included: not comparable "
    "with the rows above"
)


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
    """The lines of one data set, or of the average: inductive ones, then transductive ones."""

    name: str
    lines: tuple[Line, ...]

    @property
    def groups(self) -> list[tuple[bool, list[Line]]]:
        """Lines by whether they are transductive; a group without lines is left out."""
        found = [
            (flag, [line for line in self.lines if line.contender.transductive == flag])
            for flag in (False, True)
        ]
        return [group for group in found if group[1]]


def main_table(results: Results) -> list[Block]:
    """The average over the data sets, then each of them.

    The average has a line more for each backbone whose ω_b was chosen on validation shots; its
    lines on each set stand in :func:`selection_table`.
    """
    blocks = []
    for name in (AVERAGE, *results.datasets):
        average = name == AVERAGE
        shown = [
            contender
            for contender in results.contenders
            if contender.selection == "last" or (average and contender.selection == "val")
        ]
        cells = {m: results.average(m) if average else results.cell(name, m) for m in shown}
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
            for contender in shown
        ]
        blocks.append(Block(name, tuple(lines)))
    return blocks


def _note(contender: Contender, used: str) -> str:
    """``ω_b 0.2``; the weights that validation chose have a table of their own."""
    return f"ω_b {used}" if used and contender.selection == "last" else ""


def _best(cells: Mapping[Contender, Cell | None]) -> dict[str, set[Contender]]:
    """Contenders with the highest mean of each column, as printed: equal numbers are all best.

    Inductive and transductive ones are judged apart.
    """
    best: dict[str, set[Contender]] = {metric: set() for metric in METRICS}
    for metric in METRICS:
        for flag in (False, True):
            means = {
                m: round(getattr(cell, metric).mean, 2)
                for m, cell in cells.items()
                if cell is not None and m.transductive == flag
            }
            top = max(means.values(), default=math.nan)
            best[metric] |= {contender for contender, mean in means.items() if mean == top}
    return best


@dataclass(frozen=True)
class Selection:
    """Base accuracy of one data set by the way ω_b was chosen, in percent."""

    name: str
    backbone: str  # its name for readers
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
        contenders = [
            results.contender(backbone, "dpc", rule) for rule in ("last", "val", "test_oracle")
        ]
        if contenders[1] not in results.contenders and contenders[2] not in results.contenders:
            continue
        for name in (AVERAGE, *results.datasets):
            average = name == AVERAGE
            cells = [results.average(m) if average else results.cell(name, m) for m in contenders]
            fixed, val, oracle = (cell.base if cell is not None else None for cell in cells)
            sets = results.datasets if average else (name,)
            chosen = results.weights(contenders[1], sets)
            lines.append(Selection(name, results.names[backbone], fixed, val, oracle, chosen))
    return lines
