"""How large each dataset of the grid is: as it lies here, or as it was published."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dpc.datasets.base import SPLITS, Listing
from dpc.doctor.findings import Counts
from dpc.icons import families
from dpc.icons.words import concept, content_words

EVERY = 0  # a number of shots: all images
FEWEST_DRAWINGS, VAL_IMAGES = 4, 4  # of a class of the embedded datasets


@dataclass(frozen=True)
class Size:
    """Images of each class, by label.

    Attributes:
        classnames: real ones; of an ``assumed`` set, words of usual length.
        train, val, test: images of each class.
        assumed: whether published counts stand in for a dataset that was not found.
    """

    classnames: tuple[str, ...]
    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    assumed: bool = False

    def tuned(self, halved: bool) -> int:
        """Classes that prompts are tuned on: the first of the labels."""
        return math.ceil(len(self.classnames) / 2) if halved else len(self.classnames)

    @property
    def counts(self) -> Counts:
        """Classes and images in all."""
        return Counts(len(self.classnames), sum(self.train), sum(self.val), sum(self.test))


def drawn(images: Sequence[int], shots: int) -> int:
    """Images of a few-shot draw from classes that have so many."""
    return sum(images) if shots == EVERY else sum(min(each, shots) for each in images)


def of_listing(listing: Listing) -> Size:
    """Of a dataset on disk."""
    labels = {part: [label for _, label in listing.splits[part]] for part in SPLITS}
    return _of_labels(listing.classnames, labels)


def of_counts(counts: Counts) -> Size:
    """Of a dataset that is not here: published counts, the same for every class."""
    classes = counts.classes or 0
    names = tuple(f"some class {label}" for label in range(classes))
    parts = (counts.train, counts.val, counts.test)
    train, val, test = ((math.ceil((n or 0) / max(1, classes)),) * classes for n in parts)
    return Size(names, train, val, test, assumed=True)


def of_icons(name: str, test_cap: int) -> Size:
    """Of an embedded dataset that was not rendered yet: counted by its icons' names, which takes
    a moment; the few that turn out blank are counted too.

    Raises:
        DpcError: an icon package is missing.
    """
    from dpc.icons.benchmark import DATASETS

    chosen = DATASETS[name]
    icons: defaultdict[str, int] = defaultdict(int)
    subjects: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for family in chosen.families:
        for icon in _icon_names(family):
            word = concept(icon)
            if word is not None:
                icons[word] += 1
                subjects[word].add((family, *content_words(icon)))
    words = [
        word
        for word in sorted(icons)
        if icons[word] >= chosen.minimum and len(subjects[word]) >= FEWEST_DRAWINGS
    ]
    halves = [(icons[word] - icons[word] // 2, icons[word] // 2) for word in words]
    val = tuple(min(VAL_IMAGES, half // 3) for half, _ in halves)
    train = tuple(half - apart for (half, _), apart in zip(halves, val, strict=True))
    return Size(tuple(words), train, val, tuple(min(test_cap, half) for _, half in halves))


def _icon_names(family: str) -> Iterator[str]:
    for source in families.family(family).sources:
        if isinstance(source, families.Font):
            yield from families.code_points(family, source)
        else:
            yield from (icon for icon, _ in families.svg_texts(family, source))


def _of_labels(classnames: tuple[str, ...], labels: dict[str, list[int]]) -> Size:
    counted = {part: Counter(labels[part]) for part in SPLITS}
    each = {
        part: tuple(counted[part][label] for label in range(len(classnames))) for part in SPLITS
    }
    return Size(classnames, each["train"], each["val"], each["test"])
