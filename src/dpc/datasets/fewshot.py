"""Few-shot sets and the base/new cut, exactly as CoOp's data protocol draws them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpc.datasets.base import Item


@dataclass(frozen=True)
class FewShot:
    """Training and validation items drawn for one seed, over all classes."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]


@dataclass(frozen=True)
class Halves:
    """Labels of the base classes (the first half, rounded up) and of the new ones."""

    base: tuple[int, ...]
    new: tuple[int, ...]


def draw(
    train: Sequence[Item], val: Sequence[Item], shots: int, val_shots: int, seed: int
) -> FewShot:
    """Draw ``shots`` training and ``min(shots, val_shots)`` validation items of each class.

    One generator, seeded once, serves train first and then val; classes come in order of first
    appearance, their items in file order; a class with fewer items gives all of them. ``shots`` 0
    keeps everything. The draw covers all classes: base and new of one seed share it. A dataset
    without validation images gives what ``shots`` left of its training images in their place.
    """
    if shots == 0:
        return FewShot(tuple(train), tuple(val))
    generator = random.Random(seed)
    drawn = _per_class(train, shots, generator)
    if not val:
        taken = {item.image for item in drawn}
        val = [item for item in train if item.image not in taken]
    return FewShot(drawn, _per_class(val, min(shots, val_shots), generator))


def _per_class(items: Sequence[Item], shots: int, generator: random.Random) -> tuple[Item, ...]:
    by_label: dict[int, list[Item]] = {}
    for item in items:
        by_label.setdefault(item.label, []).append(item)
    drawn: list[Item] = []
    for members in by_label.values():
        drawn += generator.sample(members, shots) if len(members) >= shots else members
    return tuple(drawn)


def halves(train: Sequence[Item]) -> Halves:
    """Cut the sorted labels that occur in ``train``: base is the first half, rounded up."""
    labels = sorted({item.label for item in train})
    cut = (len(labels) + 1) // 2
    return Halves(tuple(labels[:cut]), tuple(labels[cut:]))


def subset(items: Sequence[Item], labels: Sequence[int]) -> tuple[Item, ...]:
    """The items of ``labels``, relabelled 0, 1, … in the order of ``labels``; order is kept."""
    place: Mapping[int, int] = {label: index for index, label in enumerate(labels)}
    return tuple(item._replace(label=place[item.label]) for item in items if item.label in place)
