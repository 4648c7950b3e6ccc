"""Class by class: what a second prompt repairs and what it breaks, and what is taken for what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.evaluation.confusion import confused, per_class
from dpc.evaluation.statistics import TIE
from dpc.report.context import Report
from dpc.report.csvs import Field, csv_text, shots_cell, shots_field
from dpc.report.pictures import MOST, Album
from dpc.report.predictions import (
    PARTS,
    Run,
    all_names,
    comparisons,
    first_label,
    names,
    parts,
    runs,
)
from dpc.report.scores import Contender
from dpc.report.sections import Section, at_most_shots
from dpc.report.words import DASH, points

SHOWN = 3  # classes to each side
PAIRS = 5  # confusions of a backbone
CLASS_FIELDS = (
    "part",
    "class",
    "images",
    "seeds",
    "first_accuracy",
    "second_accuracy",
    "difference",
)


@dataclass(frozen=True)
class Change:
    """Accuracy of two contenders on the test images of one class, in percent, mean over seeds."""

    dataset: str
    label: int  # of the data set
    name: str
    images: int
    seeds: int
    first: float
    second: float

    @property
    def difference(self) -> float:
        """First minus second, in points."""
        return self.first - self.second


@dataclass(frozen=True)
class Comparison:
    """Two contenders on a part of every data set, by data set."""

    first: Contender
    second: Contender
    part: str
    changes: dict[str, list[Change]]

    @property
    def title(self) -> str:
        """``CoOp + DPC against CoOp, base classes``."""
        return f"{self.first.label} against {self.second.label}, {PARTS[self.part]}"


@dataclass(frozen=True)
class Confusion:
    """Test images of one class taken for another: how many, mean over seeds."""

    label: int
    taken: int
    first: float
    second: float


# By data set, backbone and part, the most frequent first.
Mistakes = dict[tuple[str, str, str], list[Confusion]]


def section(report: Report) -> Section | None:
    """Which classes change, by comparison; of each data set the largest changes, and what is
    confused with what. None where no predictions are at hand."""
    by_shots = {shots: comparison_list(each) for shots, each in report.apart.items()}
    mistakes = {shots: mistaken(each) for shots, each in report.apart.items()}
    compared = list(by_shots.values())[-1]
    if not compared:
        return None
    album = Album(report.context, "classes")
    sets = [
        (
            dataset,
            [block for each in compared if (block := _block(album, each, dataset))],
            _confusions(report, album, dataset, list(mistakes.values())[-1]),
        )
        for dataset in report.results.datasets
    ]
    values = {
        "lines": [(each.title, summary_cells(each)) for each in compared],
        "sets": [entry for entry in sets if entry[1]],
        "shown": SHOWN,
        "sheet": album.sheet(),
        "most": MOST,
        "more": at_most_shots(report),
    }
    files = {
        "classes.csv": classes_csv(by_shots),
        "confusions.csv": confusions_csv(report, mistakes),
    }
    return Section(
        "classes", "Class by class", "Classes", "classes.html.j2", values=values, files=files
    )


def comparison_list(report: Report) -> list[Comparison]:
    """Every comparison in table order; none whose predictions are equal on all images."""
    found = []
    for first, second in comparisons(report.results):
        for part in PARTS:
            by_set = {
                dataset: runs(report, dataset, first, second, part)
                for dataset in report.results.datasets
            }
            if any((run.first != run.second).any() for each in by_set.values() for run in each):
                changes = {
                    dataset: _changes(report, dataset, part, each)
                    for dataset, each in by_set.items()
                    if each
                }
                found.append(Comparison(first, second, part, changes))
    return found


def _changes(report: Report, dataset: str, part: str, each: Sequence[Run]) -> list[Change]:
    """Of the classes that have test images, in their order."""
    known, start = names(report, dataset, part), first_label(report, dataset, part)
    one = [per_class(run.first, run.labels, len(known)) for run in each]
    two = [per_class(run.second, run.labels, len(known)) for run in each]
    found = []
    for label, name in enumerate(known):
        images = int(one[0][label, 0])
        if images:
            means = [
                100 * math.fsum(int(counts[label, 1]) for counts in side) / len(each) / images
                for side in (one, two)
            ]
            found.append(Change(dataset, start + label, name, images, len(each), *means))
    return found


def summary_cells(each: Comparison) -> list[str]:
    """How many classes are better, equal and worse, and the largest changes."""
    every = [change for changes in each.changes.values() for change in changes]
    better = [change for change in every if change.difference > TIE]
    worse = [change for change in every if change.difference < -TIE]
    up = max(better, key=lambda change: change.difference, default=None)
    down = min(worse, key=lambda change: change.difference, default=None)
    several = len(each.changes) > 1
    counts = [len(every), len(better), len(every) - len(better) - len(worse), len(worse)]
    return [*(str(count) for count in counts), _named(up, several), _named(down, several)]


def _named(change: Change | None, several: bool) -> str:
    if change is None:
        return DASH
    place = f", {change.dataset}" if several else ""
    return f"{points(change.difference, 1)} ({change.name}{place})"


def largest(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """The largest gains, and the largest losses; of equal ones those of more images, then in the
    order of the classes."""
    ordered = sorted(changes, key=lambda each: (-each.difference, -each.images, each.label))
    down = sorted(changes, key=lambda each: (each.difference, -each.images, each.label))
    return (
        [each for each in ordered[:SHOWN] if each.difference > TIE],
        [each for each in down[:SHOWN] if each.difference < -TIE],
    )


def _block(album: Album, each: Comparison, dataset: str) -> tuple[str, list[list[Any]]] | None:
    """The title of a comparison, and cells of its largest changes on a data set."""
    up, down = largest(each.changes.get(dataset, ()))
    cells = [
        [
            album.show(dataset, change.label, change.name),
            str(change.images),
            f"{change.second:.1f}",
            f"{change.first:.1f}",
            points(change.difference, 1),
        ]
        for change in (*up, *reversed(down))
    ]
    return (each.title, cells) if cells else None


def confusions(report: Report, dataset: str, backbone: str, part: str) -> list[Confusion]:
    """What images of one class are taken for, by the backbone with DPC (first) and alone (second);
    the most frequent of both together first. Labels of the data set."""
    results, start = report.results, first_label(report, dataset, part)
    first, second = results.contender(backbone, "dpc"), results.contender(backbone, "plain")
    each = runs(report, dataset, first, second, part)
    sums: dict[tuple[int, int], list[int]] = {}
    for run in each:
        for side, predicted in enumerate((run.first, run.second)):
            for pair, images in confused(predicted, run.labels).items():
                sums.setdefault(pair, [0, 0])[side] += images
    ordered = sorted(sums, key=lambda pair: (-sum(sums[pair]), pair))
    return [
        Confusion(start + true, start + taken, *(n / len(each) for n in sums[true, taken]))
        for true, taken in ordered
    ]


def mistaken(report: Report) -> Mistakes:
    """The confusions of every backbone that ran with DPC."""
    return {
        (dataset, first.backbone, part): confusions(report, dataset, first.backbone, part)
        for dataset in report.results.datasets
        for first, _ in comparisons(report.results)
        if first.kind == "dpc"
        for part in parts(report, dataset, first)
    }


def _confusions(
    report: Report, album: Album, dataset: str, mistakes: Mistakes
) -> list[tuple[str, list[list[Any]]]]:
    """Of each backbone and part that its DPC changes the most frequent confusions, as cells."""
    every, found = all_names(report, dataset), []
    for (name, backbone, part), pairs in mistakes.items():
        if name == dataset and any(pair.first != pair.second for pair in pairs):
            cells = [
                [
                    album.show(dataset, pair.label, every[pair.label]),
                    album.show(dataset, pair.taken, every[pair.taken]),
                    f"{pair.second:.1f}",
                    f"{pair.first:.1f}",
                    points(pair.first - pair.second, 1),
                ]
                for pair in pairs[:PAIRS]
            ]
            found.append((f"{report.results.names[backbone]}, images of {PARTS[part]}", cells))
    return found


def classes_csv(by_shots: Mapping[int | None, Sequence[Comparison]]) -> str:
    """Every class of every comparison."""
    lines: list[Sequence[Field]] = [
        ("dataset", "first", "second", *shots_field(by_shots), *CLASS_FIELDS)
    ]
    for shots, compared in by_shots.items():
        for each in compared:
            methods = [each.first.key, each.second.key, *shots_cell(shots)]
            for one in (change for changes in each.changes.values() for change in changes):
                numbers = [one.images, one.seeds, one.first, one.second, one.difference]
                lines.append([one.dataset, *methods, each.part, one.name, *numbers])
    return csv_text(lines)


def confusions_csv(report: Report, by_shots: Mapping[int | None, Mistakes]) -> str:
    """Every pair of classes that a backbone confuses, with DPC and without."""
    fields = ("part", "class", "taken_for", "alone", "with_dpc")
    lines: list[Sequence[Field]] = [("dataset", "backbone", *shots_field(by_shots), *fields)]
    for shots, mistakes in by_shots.items():
        for (dataset, backbone, part), pairs in mistakes.items():
            every, start = all_names(report, dataset), [dataset, backbone, *shots_cell(shots), part]
            for pair in pairs:
                words = [every[pair.label], every[pair.taken]]
                lines.append([*start, *words, pair.second, pair.first])
    return csv_text(lines)
