"""Datasets on disk in CoOp's layout: a split file beside a folder of images, both left as they are.

The split file is JSON: {"train" | "val" | "test": [[path in the folder, label, class name], …]}.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from dpc.datasets.base import (
    SPLITS,
    Item,
    Raw,
    check_classes,
    decode,
    missing_image,
    read_image_file,
)
from dpc.errors import DpcError
from dpc.files import digest
from dpc.params.sections import Params


def read(name: str, params: Params) -> Raw:
    """Read a split and hash, and decode once, every image that it names.

    Raises:
        DpcError: the split file is missing or malformed, names a file that is missing, damaged or
            outside the folder, gives a label two names, or leaves a class without images.
    """
    place = params.data.on_disk[name]
    root = Path(params.data.root)
    split_path, folder = root / place.split, root / place.images
    entries = parse(split_path)
    names = classnames(entries, split_path)
    splits = {
        split: tuple(_item(entry, folder, split_path) for entry in entries[split])
        for split in SPLITS
    }
    check_classes(name, names, splits)
    return Raw(
        classnames=names,
        splits=splits,
        rule=f"the split file {place.split}",
        template=place.template,
        folder=folder.as_posix(),
    )


def sources(name: str, params: Params) -> dict[str, str]:
    """SHA-256 of the split file and of every image that it names: the content, not its date.

    Raises:
        DpcError: as :func:`read`.
    """
    from dpc.hashes import remembered_sha256

    place = params.data.on_disk[name]
    root = Path(params.data.root)
    split_path = root / place.split
    entries = parse(split_path)
    found = {place.split: remembered_sha256(split_path)}
    for split in SPLITS:
        for entry in entries[split]:
            path = inside(root / place.images, entry[0], split_path)
            if not path.is_file():
                raise missing_image(path)
            found[entry[0]] = remembered_sha256(path)
    return found


def parse(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DpcError(
            f"split file {path} is missing; it is never made up: put the original there"
        ) from None
    except (UnicodeDecodeError, ValueError) as problem:
        raise DpcError(f"split file {path} is not JSON: {problem}") from None
    if not isinstance(content, dict) or not set(SPLITS) <= set(content):
        raise DpcError(f"split file {path} needs the lists train, val and test")
    for split in SPLITS:
        for number, entry in enumerate(content[split]):
            right = (
                isinstance(entry, list)
                and len(entry) == 3
                and isinstance(entry[0], str)
                and isinstance(entry[1], int)
                and isinstance(entry[2], str)
            )
            if not right:
                raise DpcError(
                    f"split file {path}: {split}[{number}] is {entry!r}; "
                    "[path, label, class name] is expected"
                )
    return {split: content[split] for split in SPLITS}


def classnames(entries: dict[str, list[Any]], path: Path) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for split in SPLITS:
        for _, label, classname in entries[split]:
            if names.setdefault(label, classname) != classname:
                raise DpcError(
                    f"split file {path}: label {label} is called {names[label]!r} and {classname!r}"
                )
    if sorted(names) != list(range(len(names))):
        raise DpcError(f"split file {path}: labels are {sorted(names)}; 0, 1, 2, … are expected")
    return tuple(names[label] for label in range(len(names)))


def _item(entry: list[Any], folder: Path, split_path: Path) -> Item:
    path = inside(folder, entry[0], split_path)
    content = read_image_file(path)
    decode(content, str(path))
    return Item(entry[0], entry[1], digest(content))


def inside(folder: Path, name: str, split_path: Path) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise DpcError(f"split file {split_path}: {name!r} leaves the image folder {folder}")
    return folder / name
