"""Two finished trees beside each other: what they were made with, and what came of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dpc import artifacts
from dpc.artifacts import Examined
from dpc.datasets.base import SPLITS
from dpc.params.protocols import FEW_SHOT
from dpc.progress import shots_in_words
from dpc.report.metrics import DIGITS
from dpc.report.scores import Row
from dpc.stages.origins import backbone_of, parameters
from dpc.stages.sides import Cell, Side

_SHOTS = re.compile(r"shots\d+-")
ACCURACIES = ("base", "new", "overall", "accuracy")
ABSENT = "(none)"  # where a slice of one side has no such key


@dataclass(frozen=True)
class Change:
    """Something that is one thing here and another there; ``where``: of which cells alone."""

    key: str
    first: Any
    second: Any
    where: str = ""


@dataclass(frozen=True)
class Comparison:
    """What differs.

    Attributes:
        same, other: artefacts in both trees, with the same content, and with another.
        only: of each side, cells of the table that the other lacks, in words.
        files: of each side, artefacts that the other lacks.
        params, data, code, libraries: what they were made with.
        tests: data sets whose test images are not the same.
        unknown: names of the sides of whose libraries no store tells.
        equal_rows: whether all rows that both have hold the same accuracies, to the digit.
    """

    sides: tuple[Side, Side]
    same: int = 0
    other: int = 0
    only: tuple[list[str], list[str]] = ([], [])
    files: tuple[list[str], list[str]] = ([], [])
    params: list[Change] = field(default_factory=list)
    data: list[Change] = field(default_factory=list)
    code: list[Change] = field(default_factory=list)
    libraries: list[Change] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    equal_rows: bool = True

    @property
    def common(self) -> list[Cell]:
        """Cells of the table that both have."""
        first, second = self.sides
        return [cell for cell in first.rows if cell in second.rows]

    @property
    def alone(self) -> list[str]:
        """Names of the sides that are numbers alone."""
        return [side.name for side in self.sides if side.root is None]

    @property
    def comparable(self) -> bool:
        """Whether an accuracy means the same on both sides."""
        return self.sides[0].protocols == self.sides[1].protocols

    @property
    def identical(self) -> bool:
        """Whether both hold the same artefacts, made with the same."""
        inside = [self.other, *self.files, *self.only, self.params, self.data, self.code]
        return not self.alone and self.comparable and not any([*inside, self.libraries])


def compare(first: Side, second: Side) -> Comparison:
    """What differs between two sides; of what only one has, that alone is said.

    Where each side has one number of shots, and not the same, that is a parameter as any other:
    cells of the same seed are compared. Under few-shot, shots are what the table goes by. Where one
    side has numbers alone, both are rounded as those are.
    """
    if first.root is None or second.root is None:
        first, second = _rounded(first), _rounded(second)
    drawn, few_shot = [], FEW_SHOT in (*first.protocols, *second.protocols)
    if first.shots != second.shots and len(first.shots) == len(second.shots) == 1 and not few_shot:
        drawn = [Change("run.shots", first.shots[0], second.shots[0])]
        first, second = _without_shots(first), _without_shots(second)
    both = [name for name in first.made if name in second.made]
    pairs = [(first.made[name], second.made[name]) for name in both]
    same = sum(a.content == b.content for a, b in pairs)
    versions = first.versions(), second.versions()
    accuracies = [(first.rows[cell], second.rows[cell]) for cell in first.rows.keys() & second.rows]
    return Comparison(
        (first, second),
        same,
        len(both) - same,
        (_lacking(first.rows, second.rows), _lacking(second.rows, first.rows)),
        _unpaired(first, second),
        drawn + _changes(pairs, lambda made: parameters(made.provenance)),
        _data(pairs),
        _changes(pairs, _code),
        _libraries(*versions),
        _tests(pairs),
        [side.name for side, known in zip((first, second), versions, strict=True) if not known],
        all(_accuracies(mine) == _accuracies(other) for mine, other in accuracies),
    )


def _unpaired(first: Side, second: Side) -> tuple[list[str], list[str]]:
    """Of each tree the artefacts that the other lacks; numbers alone lack all, and say nothing."""
    if first.root is None or second.root is None:
        return [], []
    return (
        [name for name in first.made if name not in second.made],
        [name for name in second.made if name not in first.made],
    )


def _lacking(rows: Mapping[Cell, Row], others: Mapping[Cell, Row]) -> list[str]:
    """Cells that the others lack, seeds of one together."""
    found: dict[tuple[str, str, int | None], list[str]] = {}
    for dataset, method, shots, seed in rows:
        if (dataset, method, shots, seed) not in others:
            found.setdefault((dataset, method, shots), []).append(str(seed))
    lines = []
    for (dataset, method, shots), seeds in found.items():
        drawn = [] if shots is None else [shots_in_words(shots)]
        drawn += [] if seeds == ["None"] else [f"seed {', '.join(seeds)}"]
        lines.append(", ".join([f"{method} on {dataset}", *drawn]))
    return lines


def _accuracies(row: Row) -> dict[str, Any]:
    return {key: row.get(key) for key in ACCURACIES}


def _rounded(side: Side) -> Side:
    """A side with the accuracies that a metrics.json has."""
    rows = {
        cell: {**row} | {key: round(row[key], DIGITS) for key in ACCURACIES if key in row}
        for cell, row in side.rows.items()
    }
    return replace(side, rows=rows)


def _code(made: Examined) -> dict[str, Any]:
    """Version of the code and kind of device, by stage."""
    stage = made.provenance["stage"]
    return {f"code of {stage}": made.provenance["code"], "device": made.provenance["device"]}


def _changes(
    pairs: Sequence[tuple[Examined, Examined]], read: Callable[[Examined], Mapping[str, Any]]
) -> list[Change]:
    """Keys with two values, each pair of values once, with the cells that it is about unless that
    is all that have the key."""
    having: dict[str, list[Mapping[str, Any]]] = {}
    changed: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    values: dict[tuple[str, str], tuple[Any, Any]] = {}
    for a, b in pairs:
        mine, others = read(a), read(b)
        for key in dict.fromkeys([*mine, *others]):
            having.setdefault(key, []).append(a.provenance)
            value = mine.get(key, ABSENT), others.get(key, ABSENT)
            if value[0] != value[1]:
                mark = key, artifacts.canonical(value)
                values[mark] = value
                changed.setdefault(mark, []).append(a.provenance)
    return [
        Change(mark[0], *values[mark], _where(cells, having[mark[0]]))
        for mark, cells in sorted(changed.items())
    ]


def _where(cells: Sequence[Mapping[str, Any]], having: Sequence[Mapping[str, Any]]) -> str:
    """What tells the cells from all others that have the key; "" where nothing does."""
    if len(cells) == len(having):
        return ""
    words = []
    axes: list[Callable[[Mapping[str, Any]], Any]] = [
        backbone_of,
        lambda each: each["cell"].get("dataset"),
        lambda each: each["stage"],
    ]
    for axis in axes:
        mine, all_ = (sorted({str(axis(each)) for each in group}) for group in (cells, having))
        words += [", ".join(each or "zero-shot" for each in mine)] if mine != all_ else []
    return "; ".join(words) or f"{len(cells)} of {len(having)} artefacts"


def _data(pairs: Sequence[tuple[Examined, Examined]]) -> list[Change]:
    """Sets whose manifests differ, in words; and draws that differ."""
    found = []
    for mine, other in pairs:
        stage, cell = mine.provenance["stage"], mine.provenance["cell"]
        if stage == "prepare" and mine.content != other.content:
            counts = [_counts(each) for each in (mine, other)]
            found.append(Change(cell["dataset"], counts[0], counts[1], _in_words(mine, other)))
        elif stage == "shots" and mine.results["draw"] != other.results["draw"]:
            what = f"{cell['dataset']}: few-shot images of seed {cell['seed']}"
            found.append(Change(what, mine.results["draw"], other.results["draw"]))
    return found


def _counts(made: Examined) -> str:
    """Images of each split."""
    splits = made.results["splits"]
    return ", ".join(f"{len(splits[name])} {name}" for name in SPLITS if splits.get(name))


def _in_words(mine: Examined, other: Examined) -> str:
    words = []
    for split in SPLITS:
        here, there = _images(mine, split), _images(other, split)
        if here != there:
            words.append(f"{split}: {len(here - there)} only here, {len(there - here)} only there")
    keys = {"classnames": "class names", "rule": "rule of the split", "template": "template"}
    words += [f"another {key}" for name, key in keys.items() if _differs(mine, other, name)]
    return "; ".join(words) or "images of other bytes"


def _differs(mine: Examined, other: Examined, name: str) -> bool:
    return mine.results[name] != other.results[name]


def _images(made: Examined, split: str) -> set[tuple[Any, ...]]:
    """Path, label and hash of a split's images."""
    return {tuple(item) for item in made.results["splits"].get(split, ())}


def _tests(pairs: Sequence[tuple[Examined, Examined]]) -> list[str]:
    return [
        mine.provenance["cell"]["dataset"]
        for mine, other in pairs
        if mine.provenance["stage"] == "prepare" and _images(mine, "test") != _images(other, "test")
    ]


def _without_shots(side: Side) -> Side:
    """A side whose cells go by data set, method and seed alone."""
    return replace(
        side,
        made={_SHOTS.sub("shots-", name): each for name, each in side.made.items()},
        rows={(*cell[:2], None, cell[3]): row for cell, row in side.rows.items()},
    )


def _libraries(
    mine: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]]
) -> list[Change]:
    """Libraries of other versions, where both sides know theirs."""
    return [
        Change(library, ", ".join(mine.get(library, [])), ", ".join(others.get(library, [])))
        for library in sorted({*mine, *others} if mine and others else ())
        if mine.get(library) != others.get(library)
    ]
