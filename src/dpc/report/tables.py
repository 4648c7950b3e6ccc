"""Tables as data: the main table, and the choice of ω_b; ``export`` writes them to files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dpc.evaluation.statistics import Summary
from dpc.report.effects import Effect, effect, one_family
from dpc.report.protocols import capital
from dpc.report.rows import Cell, Results
from dpc.report.scores import Contender
from dpc.report.words import DASH, percent

AVERAGE = "Average"
HEADINGS = {"h": "H"}  # of metrics whose name is not their heading
TRANSDUCTIVE = (
    "trained on the unlabelled training images of all classes, new ones included: not comparable "
    "with the rows above"
)


@dataclass(frozen=True)
class Line:
    """One contender in one block of a table; ``best`` names the columns set in bold.

    ``shown`` goes by column: None where nothing ran, no entry where the column says nothing of
    the contender. ``incomplete`` are the columns with fewer seeds than the report has.
    """

    contender: Contender
    shown: Mapping[str, Summary | None]
    incomplete: frozenset[str] = frozenset()
    note: str = ""  # how ω_b was chosen, for DPC
    extras: tuple[str, ...] = ()  # text of the further columns
    best: frozenset[str] = frozenset()

    def text(self, column: str) -> str:
        """``81.80 ± 1.02``, with a dagger where seeds are missing."""
        if column not in self.shown:
            return ""
        summary = self.shown[column]
        text = percent(summary, self.contender.kind != "zero_shot")
        return text + " †" if summary is not None and column in self.incomplete else text


@dataclass(frozen=True)
class Block:
    """The lines of one data set, or of the average: inductive ones, then transductive ones."""

    name: str  # empty in a table of one block
    lines: tuple[Line, ...]

    @property
    def groups(self) -> list[tuple[bool, list[Line]]]:
        """Lines by whether they are transductive; a group without lines is left out."""
        found = [
            (flag, [line for line in self.lines if line.contender.transductive == flag])
            for flag in (False, True)
        ]
        return [group for group in found if group[1]]


@dataclass(frozen=True)
class Table:
    """Methods by accuracies, in blocks."""

    columns: Mapping[str, str]  # of accuracies: name -> heading
    blocks: tuple[Block, ...]
    extras: tuple[str, ...] = field(default=())  # headings of the further columns

    @property
    def headings(self) -> tuple[str, ...]:
        """Of all columns but the method's."""
        return (*self.columns.values(), *self.extras)

    @property
    def named(self) -> bool:
        """Whether its blocks have names."""
        return any(block.name for block in self.blocks)


def block(name: str, lines: Sequence[Line], columns: Sequence[str]) -> Block:
    """Lines with the best of each of these columns marked."""
    best = _best([line for line in lines if line.contender.selection == "last"], columns)
    return Block(
        name,
        tuple(
            replace(line, best=frozenset(c for c in columns if line.contender in best[c]))
            for line in lines
        ),
    )


def main_table(results: Results) -> Table:
    """The average over the data sets, then each of them; a column a metric.

    The average has a line more for each backbone whose ω_b was chosen on validation shots; its
    lines on each set stand in `selection_table`.
    """
    metrics = results.protocol.metrics
    blocks = []
    for name in (AVERAGE, *results.datasets):
        average = name == AVERAGE
        sets = results.datasets if average else (name,)
        lines = []
        for contender in in_block(results, average):
            cell = results.average(contender) if average else results.cell(name, contender)
            missing = any(results.incomplete(dataset, contender) for dataset in sets)
            lines.append(
                Line(
                    contender,
                    {metric: cell[metric] if cell is not None else None for metric in metrics},
                    frozenset(metrics if missing else ()),
                    weight_note(contender, results.weights(contender, sets)),
                    _extras(cell, "h" in metrics),
                )
            )
        blocks.append(block(name, lines, metrics))
    columns = {metric: HEADINGS.get(metric, capital(metric)) for metric in metrics}
    means = ("Mean of H",) if "h" in metrics else ()
    return Table(columns, tuple(blocks), (*means, "Images seen"))


def in_block(results: Results, average: bool) -> list[Contender]:
    """Contenders of one block: with the weights of the run and, on average, the validated ones."""
    return [
        contender
        for contender in results.contenders
        if contender.selection == "last" or (average and contender.selection == "val")
    ]


def weight_note(contender: Contender, used: str) -> str:
    """``ω_b 0.2``; the weights that validation chose have a table of their own."""
    return f"ω_b {used}" if used and contender.selection == "last" else ""


def _extras(cell: Cell | None, with_h: bool) -> tuple[str, ...]:
    """Mean of the data sets' H, on averages, and training images with thousands separated."""
    if cell is None:
        return (DASH, DASH) if with_h else (DASH,)
    images = DASH if cell.images_seen is None else f"{cell.images_seen:,.0f}"
    return ("" if cell.h_mean is None else f"{cell.h_mean:.2f}", images) if with_h else (images,)


def _best(lines: Sequence[Line], columns: Sequence[str]) -> dict[str, set[Contender]]:
    """Contenders with the highest mean of each column, as printed: equal numbers are all best.

    Inductive and transductive ones are judged apart.
    """
    best: dict[str, set[Contender]] = {column: set() for column in columns}
    for column in columns:
        for flag in (False, True):
            means = {
                line.contender: round(summary.mean, 2)
                for line in lines
                if line.contender.transductive == flag
                and (summary := line.shown.get(column)) is not None
            }
            top = max(means.values(), default=math.nan)
            best[column] |= {contender for contender, mean in means.items() if mean == top}
    return best


@dataclass(frozen=True)
class Selection:
    """What ω_b reads, on one data set, by the way it was chosen, in percent."""

    name: str
    backbone: str  # its name for readers
    fixed: Summary | None
    val: Summary | None
    oracle: Summary | None
    val_weights: str
    chosen: Effect  # the weight chosen on validation shots minus the fixed one

    @property
    def gap(self) -> float | None:
        """What choosing ω_b on the test set would add to the fixed weight."""
        if self.fixed is None or self.oracle is None:
            return None
        return self.oracle.mean - self.fixed.mean


def selection_table(results: Results) -> list[Selection]:
    """Fixed ω_b, ω_b chosen on validation shots, and the test oracle, side by side.

    The differences of the averages are one family of tests, those of all data sets another.
    """
    lines, measure = [], results.protocol.omega_b
    sets = results.over(measure.over)
    averaged = () if results.protocol.transfers else (AVERAGE,)
    for backbone in results.backbones:
        rules = [
            results.contender(backbone, "dpc", rule) for rule in ("last", "val", "test_oracle")
        ]
        if not any(contender in results.contenders for contender in rules[1:]):
            continue
        for name in (*averaged, *sets):
            own = sets if name == AVERAGE else (name,)
            cells = [
                results.average(m, sets) if name == AVERAGE else results.cell(name, m)
                for m in rules
            ]
            fixed, val, oracle = (c[measure.metric] if c is not None else None for c in cells)
            weights = results.weights(rules[1], own)
            found = effect(results, rules[1], rules[0], measure, "", own)
            lines.append(
                Selection(name, results.names[backbone], fixed, val, oracle, weights, found)
            )
    adjusted: dict[int, Effect] = {}
    for average in (True, False):
        places = [at for at, line in enumerate(lines) if (line.name == AVERAGE) == average]
        told = one_family(lines[at].chosen for at in places)
        adjusted |= zip(places, told, strict=True)
    return [replace(line, chosen=adjusted[at]) for at, line in enumerate(lines)]
