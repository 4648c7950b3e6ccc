"""CoOp's split files: which image trains, validates or tests, with which label and class name.

A split file is JSON: {"train" | "val" | "test": [[path in the folder, label, class name], …]}.
Its order counts, since few-shot sets are drawn in it: nothing here sorts.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from dpc.datasets.base import SPLITS, check_images
from dpc.errors import DpcError
from dpc.progress import LOG

Entries = dict[str, list[tuple[str, int, str]]]


def parse(path: Path) -> Entries:
    """The three lists of a split file, in file order.

    Returns:
        "train", "val", "test" -> (path in the image folder, label, class name).

    Raises:
        DpcError: the file is missing, is not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DpcError(
            f"split file {path} is missing; it is never made up: put the original there"
        ) from None
    except OSError as problem:
        raise DpcError(f"split file {path} cannot be read: {problem.strerror}") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise DpcError(f"split file {path} is not JSON: {problem}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(split), list) for split in SPLITS
    ):
        raise DpcError(f"split file {path} needs the lists train, val and test")
    for split in SPLITS:
        for number, entry in enumerate(content[split]):
            if not _well_formed(entry):
                raise DpcError(
                    f"split file {path}: {split}[{number}] is {entry!r}; "
                    "[path, label, class name] is expected"
                )
    return {split: [tuple(entry) for entry in content[split]] for split in SPLITS}


def classnames(entries: Entries, path: Path) -> tuple[str, ...]:
    """Class names by label; every class has test images, and training images if any has.

    Raises:
        DpcError: a label has two names, labels leave a gap, or a class lacks images; ``path``
            names the file in it.
    """
    names: dict[int, str] = {}
    for split in SPLITS:
        for _, label, classname in entries[split]:
            if names.setdefault(label, classname) != classname:
                raise DpcError(
                    f"split file {path}: label {label} is called {names[label]!r} and {classname!r}"
                )
    missing = next((label for label in range(len(names)) if label not in names), None)
    if missing is not None:
        raise DpcError(
            f"split file {path}: {len(names)} labels up to {max(names)}, but none is {missing}; "
            "0, 1, 2, … without a gap are expected"
        )
    found = tuple(names[label] for label in range(len(names)))
    check_images(f"split file {path}", found, _labelled(entries))
    alike = repeated(found)
    if alike is not None:
        _mention_alike(path, alike, found[alike[0]])
    return found


def repeated(names: Sequence[str]) -> tuple[int, int] | None:
    """The first two labels that have one name, or None."""
    seen: dict[str, int] = {}
    for label, name in enumerate(names):
        if seen.setdefault(name, label) != label:
            return seen[name], label
    return None


def leaves(name: str) -> bool:
    """Whether a path is empty, absolute or climbs with "..": it is none inside a folder."""
    pure = PurePosixPath(name)
    return pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in name


def inside(folder: Path, name: str, place: Path) -> Path:
    """The path of an entry, which must not lead out of ``folder`` by what it is called.

    A link inside the folder may lead anywhere: who put it there owns the disk, while a split file
    may come from elsewhere.

    Args:
        place: the file that holds the entry, for the message.

    Raises:
        DpcError: the entry is empty, absolute or climbs with "..".
    """
    if leaves(name):
        raise DpcError(f"split file {place}: {name!r} leaves the image folder {folder}")
    return folder / name


def listed(entries: Entries, folder: Path, place: Path) -> dict[str, tuple[tuple[str, int], ...]]:
    """The lists as a reader returns them; every path stays inside ``folder``.

    Raises:
        DpcError: as `inside`.
    """
    for split in SPLITS:
        for name, _, _ in entries[split]:
            inside(folder, name, place)
    return {split: tuple(pairs) for split, pairs in _labelled(entries).items()}


def text_lines(path: Path) -> list[str]:
    """The lines of a text file that belongs to a dataset.

    Raises:
        DpcError: it is missing, cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as problem:
        raise DpcError(
            f"{path} is missing or cannot be read ({problem.strerror}); restore it"
        ) from None
    except UnicodeDecodeError as problem:
        raise DpcError(f"{path} is not UTF-8: {problem}; restore it") from None


def content_hash(entries: Entries) -> str:
    """SHA-256 of what a split file says, however its bytes lay it out."""
    text = json.dumps(
        {split: [list(entry) for entry in entries[split]] for split in SPLITS},
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _mention_alike(path: Path, labels: tuple[int, int], name: str) -> None:
    """Say once a process that equal names have equal text features: the first label always wins."""
    LOG.warning(
        "split file %s: labels %d and %d are both called %r; CLIP cannot tell them apart",
        *(path, *labels, name),
    )


def _labelled(entries: Entries) -> dict[str, list[tuple[str, int]]]:
    return {split: [(name, label) for name, label, _ in entries[split]] for split in SPLITS}


def _well_formed(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 3
        and isinstance(entry[0], str)
        and isinstance(entry[1], int)
        and not isinstance(entry[1], bool)
        and isinstance(entry[2], str)
        and bool(entry[2].strip())
    )
