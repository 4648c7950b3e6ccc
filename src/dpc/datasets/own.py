"""Own images (data.on_disk): class folders, a table, or a split file in CoOp's form."""

import hashlib
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from dpc.datasets import folders, split_file, table
from dpc.datasets.base import SPLITS, Listing
from dpc.datasets.folders import Labelled
from dpc.errors import DpcError
from dpc.params.data import OnDisk
from dpc.params.sections import Params
from dpc.progress import LOG


def listing(name: str, params: Params) -> Listing:
    """What ``data.on_disk.NAME`` describes.

    Raises:
        DpcError: what it names is missing or malformed, a class has no image to train or to test
            on, or ``names`` or ``shares`` do not fit.
    """
    place = params.data.on_disk[name]
    root = Path(params.data.root)
    folder, path = root / place.images, root / place.split
    kind = path.suffix.lower() if place.split else "folders"
    if kind == ".json":
        return _of_split_file(name, place, folder, path)
    files: tuple[Path, ...] = ()
    if kind == ".csv":
        rows = table.read(path)
        said, files = f"the split column of {path.name}", (path,)
    elif kind == "folders":
        rows = folders.read(folder)
        said = "the folders train, val and test"
    else:
        raise DpcError(
            f"data.on_disk.{name}.split is {place.split!r}; a .json split file, a .csv table or "
            "nothing (class folders) is expected"
        )
    keys = _keys(rows)
    drawn = rows[0].split is None
    if drawn:
        rows = _by_shares(name, rows, place.shares)
        said = "a hash of each path: {:.0%} train, {:.0%} val, {:.0%} test".format(*place.shares)
    _check(name, keys, rows)
    label = {key: number for number, key in enumerate(keys)}
    return Listing(
        classnames=_classnames(name, keys, place.names),
        splits={
            split: tuple((row.image, label[row.key]) for row in rows if row.split == split)
            for split in SPLITS
        },
        rule=said,
        template=place.template,
        folder=folder,
        files=files,
    )


def _of_split_file(name: str, place: OnDisk, folder: Path, path: Path) -> Listing:
    if place.names:
        raise DpcError(
            f"data.on_disk.{name}.names is for class folders and tables; a split file holds the "
            "names itself: remove the key"
        )
    entries = split_file.parse(path)
    return Listing(
        classnames=split_file.classnames(entries, path),
        splits=split_file.listed(entries, folder, path),
        rule=f"the split file {path.name}",
        template=place.template,
        folder=folder,
        files=(path,),
    )


def _keys(rows: Sequence[Labelled]) -> list[str]:
    """What the classes are called in folders or table, in the order of their labels."""
    keys = {row.key for row in rows}
    numbers = all(key.isascii() and key.isdecimal() for key in keys)
    return sorted(keys, key=lambda key: (int(key) if numbers else 0, key))


def _classnames(name: str, keys: Sequence[str], names: dict[str, str]) -> tuple[str, ...]:
    for key, given in names.items():
        if key not in keys:
            raise DpcError(
                f"data.on_disk.{name}.names: there is no class {key!r} (there are: "
                f"{', '.join(keys[:5])}{', …' if len(keys) > 5 else ''})"
            )
        if not given.strip():
            raise DpcError(f"data.on_disk.{name}.names: the name of {key!r} is empty; write one")
    # Some file systems part letters from their accents; CLIP's vocabulary does not.
    found = tuple(unicodedata.normalize("NFC", names.get(key, key)) for key in keys)
    alike = split_file.repeated(found)
    if alike is not None:
        LOG.warning(
            "dataset %s: %r and %r are both called %r; CLIP cannot tell them apart",
            *(name, keys[alike[0]], keys[alike[1]], found[alike[0]]),
        )
    if all(classname.isdecimal() for classname in found):
        LOG.warning(
            "dataset %s: the classes are called %s, …; data.on_disk.%s.names gives them words",
            *(name, ", ".join(found[:3]), name),
        )
    return found


def _by_shares(name: str, rows: Sequence[Labelled], shares: Sequence[float]) -> list[Labelled]:
    """Every row with a split, class by class."""
    right = len(shares) == 3 and math.isclose(sum(shares), 1, abs_tol=1e-6)
    if not right or shares[0] <= 0 or shares[2] <= 0:
        raise DpcError(
            f"data.on_disk.{name}.shares is {list(shares)}; three numbers that add up to 1 are "
            "expected, for train, val and test; only val may be 0"
        )
    classes: dict[str, list[str]] = {}
    for row in rows:
        classes.setdefault(row.key, []).append(row.image)
    split: dict[str, str] = {}
    for key, images in classes.items():
        if len(images) < 2:
            raise DpcError(
                f"dataset {name}: class {key!r} has one image, {images[0]}; at least two are "
                "needed, to train and to test on"
            )
        split |= parted(images, shares)
    return [row._replace(split=split[row.image]) for row in rows]


def parted(images: Sequence[str], shares: Sequence[float]) -> dict[str, str]:
    """Image -> train, val or test, for the images of one class (two or more).

    Where an image goes depends on its own path alone, so that a new one moves no other. The shares
    hold on average. Only where train or test got none, the nearest image goes there.
    """
    position = {image: _position(image) for image in images}
    found = {
        image: "train" if at < shares[0] else "val" if at < shares[0] + shares[1] else "test"
        for image, at in position.items()
    }
    ordered = sorted(images, key=lambda image: (position[image], image))
    if "train" not in found.values():
        found[ordered[0]] = "train"
    if "test" not in found.values():
        found[ordered[-1]] = "test"
    return found


def _position(image: str) -> float:
    """A number in [0, 1) that looks random and is always the same."""
    return int.from_bytes(hashlib.sha256(image.encode()).digest()[:6], "big") / 2**48


def _check(name: str, keys: Sequence[str], rows: Sequence[Labelled]) -> None:
    if len(keys) < 2:
        raise DpcError(f"dataset {name} has one class, {keys[0]!r}; at least two are expected")
    present = {split: {row.key for row in rows if row.split == split} for split in SPLITS}
    for key in keys:
        here = [split for split in SPLITS if key in present[split]]
        for split in ("train", "test"):
            if split not in here:
                raise DpcError(
                    f"dataset {name}: class {key!r} has images in {' and '.join(here)} but none "
                    f"in {split}; put one there, or remove the class"
                )
