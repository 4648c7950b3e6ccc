"""FGVC-Aircraft, whose own text files say the classes (variants) and the three splits."""

from pathlib import Path

from dpc.datasets import places, split_file
from dpc.datasets.base import SPLITS, Listing, check_images
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError
from dpc.params.sections import Params


def listing(name: str, params: Params) -> Listing:
    """Labels are the lines of variants.txt; a line of a split is an image's number and its class.

    Numbers keep their zeros, and names their slashes: neither is a number or a path.

    Raises:
        DpcError: the dataset or one of its text files is missing, or these do not fit together.
    """
    published = CATALOG[name]
    place = places.require(published, params)
    variants = place.folder / "variants.txt"
    labels = _labels(variants)
    files, splits = [variants], {}
    for split in SPLITS:
        path = place.folder / f"images_variant_{split}.txt"
        splits[split] = _items(path, labels, place.images)
        files.append(path)
    check_images(f"dataset {name} ({place.folder})", list(labels), splits)
    return Listing(
        classnames=tuple(labels),
        splits=splits,
        rule="the authors' own split: images_variant_{train,val,test}.txt",
        template=published.template,
        folder=place.images,
        files=tuple(files),
    )


def _labels(path: Path) -> dict[str, int]:
    labels: dict[str, int] = {}
    for number, line in _lines(path):
        if line in labels:
            raise DpcError(
                f"{path}, line {number}: variant {line!r} is there twice; restore the file"
            )
        labels[line] = len(labels)
    if not labels:
        raise DpcError(f"{path} is empty; restore the file")
    return labels


def _items(path: Path, labels: dict[str, int], images: Path) -> tuple[tuple[str, int], ...]:
    items = []
    for number, line in _lines(path):
        image, _, variant = line.partition(" ")
        label = labels.get(variant.strip())
        if label is None:
            raise DpcError(
                f"{path}, line {number}: {line!r} is no image number and a variant of variants.txt"
            )
        split_file.inside(images, f"{image}.jpg", path)
        items.append((f"{image}.jpg", label))
    return tuple(items)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    lines = enumerate(split_file.text_lines(path), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
