"""The downstream data sets: named icons of families that pretraining never saw."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dpc.errors import DpcError
from dpc.icons.render import Drawing, render
from dpc.icons.words import concept, content_words

SplitBy = Literal["image", "drawing"]
SplitName = Literal["train", "val", "test"]

_MIN_DRAWINGS = 4  # a class of one drawing in many weights would be a memory test
_VAL_IMAGES = 4


@dataclass(frozen=True)
class IconDataset:
    """Which families are pooled, and from how many images on a concept is a class."""

    families: tuple[str, ...]
    minimum: int


@dataclass(frozen=True)
class IconImage:
    """One image: a unique relative name, the ink map (64, 64) uint8, its label and its split."""

    name: str
    ink: np.ndarray
    label: int
    split: SplitName


@dataclass(frozen=True)
class IconSet:
    """A data set: class names by label (alphabetical) and the images, by label and then name."""

    classnames: tuple[str, ...]
    images: tuple[IconImage, ...]


DATASETS: dict[str, IconDataset] = {
    "icons-tabler": IconDataset(("tabler",), 16),
    "icons-phosphor": IconDataset(("phosphor",), 20),
    "icons-remix": IconDataset(("remix",), 12),
    "icons-bootstrap": IconDataset(("bootstrap",), 12),
    "icons-fluent": IconDataset(("fluent",), 16),
    "icons-many": IconDataset(("tabler", "phosphor", "remix", "fluent"), 16),
}


def build(name: str, split_by: SplitBy = "image", test_cap: int = 20) -> IconSet:
    """The data set of that name, the same on every machine.

    About half of each class tests and half trains; up to four images a class (a third of the
    training half, where it is small) are set apart from it for validation.

    Args:
        split_by: "image" cuts images; "drawing" keeps all images of one drawing (the same name in
            several weights) on one side.
        test_cap: test images a class at most, so that large classes do not rule; the rest of
            its test half is left out.

    Raises:
        DpcError: an unknown name or split rule, a cap below 1, a package that is missing.
    """
    if name not in DATASETS:
        raise DpcError(f"unknown icon data set {name!r}; known: {', '.join(DATASETS)}")
    if split_by not in ("image", "drawing"):
        raise DpcError(f"split_by is {split_by!r}; allowed: 'image', 'drawing'")
    if test_cap < 1:
        raise DpcError(f"test_cap is {test_cap}; it must be at least 1")
    classes = classes_of(DATASETS[name])
    images = []
    for label, (classname, drawings) in enumerate(classes.items()):
        splits = _split(drawings, split_by, test_cap, f"{name}/{classname}")
        images += [
            IconImage(f"{classname}/{drawing.family}-{drawing.name}.png", drawing.ink, label, split)
            for drawing, split in zip(drawings, splits, strict=True)
            if split is not None
        ]
    return IconSet(tuple(classes), tuple(images))


def classes_of(dataset: IconDataset) -> dict[str, list[Drawing]]:
    """Class name -> its drawings, alphabetical, the drawings sorted by family and name."""
    found: dict[str, dict[tuple[str, str], Drawing]] = defaultdict(dict)
    for family in dataset.families:
        for drawing in render(family):
            word = concept(drawing.name)
            if word is not None:
                found[word][family, drawing.name] = drawing
    return {
        word: [drawings[key] for key in sorted(drawings)]
        for word, drawings in sorted(found.items())
        if len(drawings) >= dataset.minimum
        and len({_subject(drawing) for drawing in drawings.values()}) >= _MIN_DRAWINGS
    }


def _subject(drawing: Drawing) -> str:
    """What one drawing in several weights shares, within its family."""
    return f"{drawing.family}: {' '.join(content_words(drawing.name))}"


def _split(
    drawings: Sequence[Drawing], split_by: SplitBy, test_cap: int, seed: str
) -> list[SplitName | None]:
    """The split of each drawing; None: a test image beyond the cap."""
    units: dict[str, list[int]] = defaultdict(list)
    for index, drawing in enumerate(drawings):
        units[_subject(drawing) if split_by == "drawing" else str(index)].append(index)
    order = list(units.values())
    random.Random(seed).shuffle(order)
    tests = len(drawings) // 2
    validations = min(_VAL_IMAGES, (len(drawings) - tests) // 3)
    splits: list[SplitName | None] = ["train"] * len(drawings)
    tested: list[int] = []
    validated = 0
    for unit in order:
        if not tested or len(tested) + len(unit) <= tests:
            tested += unit
        elif validated < validations:
            validated += len(unit)
            for index in unit:
                splits[index] = "val"
    random.Random(f"{seed}/cap").shuffle(tested)
    for rank, index in enumerate(tested):
        splits[index] = "test" if rank < test_cap else None
    return splits
