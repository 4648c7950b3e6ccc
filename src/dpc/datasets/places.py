"""Where a published dataset lies. Folders are looked at, never moved, copied or written to."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dpc.datasets.catalog import Published
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.progress import LOG


@dataclass(frozen=True)
class Place:
    """A dataset's folder as it was found.

    Attributes:
        folder: of the dataset.
        images: folder that the paths of images start from.
        split: its split file; None if it has none, or if the file is not there.
        layout: "coop": data.root/FOLDER; "own root": data.root itself; "nested": deeper below
            data.root, as other copies in circulation; "given": named in data.places.
    """

    folder: Path
    images: Path
    split: Path | None
    layout: str


def find(published: Published, params: Params) -> Place | None:
    """Where the dataset lies, or None.

    What data.places names is the only place looked at. Otherwise CoOp's place comes first, then
    data.root itself, then other layouts; of these the first that has all there must be, and only
    if none has, the first that has images (what it lacks is for the reader to say).
    """
    for layout, folder in _candidates(published, params):
        if _complete(published, folder):
            return _place(published, folder, layout)
    named = params.data.places.get(published.name)
    for layout, folder in _candidates(published, params):
        # Many a folder has "images/" in it: what is not complete must at least bear the name.
        given = named is not None and folder == Path(params.data.root) / named
        if (given or folder.absolute().name == published.folder) and _has_images(published, folder):
            return _place(published, folder, layout)
    return None


def require(published: Published, params: Params) -> Place:
    """Where the dataset lies.

    Raises:
        DpcError: it is not found; says what was looked for, where, and what goes there.
    """
    place = find(published, params)
    if place is None:
        raise DpcError(
            f"dataset {published.name}: {_looked_for(published, params)}; what goes there: "
            f"{published.hint} (from {published.pages[0]}); `dpc doctor {published.name}` says more"
        )
    _mention_pickles(place.folder)
    return place


def beside(place: Place, name: str) -> Path | None:
    """A file that belongs to the dataset: in its folder, or one level above."""
    return _beside(place.folder, name)


def pickles(folder: Path) -> list[Path]:
    """Files that other programs derived from a dataset; they are never read."""
    found = sorted(folder.glob("*.pkl"))
    for name in ("split_fewshot", "split_fewshot_taskres"):
        found += sorted((folder / name).glob("*.pkl"))
    return found


def _candidates(published: Published, params: Params) -> Iterator[tuple[str, Path]]:
    """Folders that may be the dataset's, the likely ones first."""
    root = Path(params.data.root)
    named = params.data.places.get(published.name)
    if named:
        yield "given", root / named
        for folder in _two_levels(root / named):
            yield "given", folder
        return
    yield "coop", root / published.folder
    yield "own root", root
    for layout in published.layouts:
        yield "nested", root / layout
    for folder in _two_levels(root):
        yield "nested", folder


def _two_levels(folder: Path) -> Iterator[Path]:
    first = _folders(folder)
    yield from first
    for inner in first:
        yield from _folders(inner)


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name for entry in entries if entry.name[0] != "." and _is_folder_entry(entry)
            ]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _is_folder_entry(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above it may not be entered
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _has_images(published: Published, folder: Path) -> bool:
    if published.images:
        return _is_folder(folder / published.images)
    return any(_is_folder(folder / mark) for mark in published.marks)


def _complete(published: Published, folder: Path) -> bool:
    return (
        _has_images(published, folder)
        and all(_exists(folder / mark) for mark in published.marks)
        and (not published.split or _beside(folder, published.split) is not None)
    )


def _beside(folder: Path, name: str) -> Path | None:
    for place in (folder, folder.parent):
        if _exists(place / name):
            return place / name
    return None


def _place(published: Published, folder: Path, layout: str) -> Place:
    split = _beside(folder, published.split) if published.split else None
    return Place(folder, folder / published.images, split, layout)


def _looked_for(published: Published, params: Params) -> str:
    images = f"{published.images}/" if published.images else " and ".join(published.marks)
    named = params.data.places.get(published.name)
    root = Path(params.data.root)
    if named:
        what = "is no folder" if not _is_folder(root / named) else f"holds no {images}"
        return f"data.places names {root / named}, which {what}"
    if not _is_folder(root):
        return f"data.root is {params.data.root!r}, which is no folder"
    return (
        f"no {images} in {root / published.folder}, nor in another layout up to two levels below "
        f"{root} (a folder elsewhere is named in data.places)"
    )


@cache
def _mention_pickles(folder: Path) -> None:
    """Say once a process that they do not count: their content runs as code when it is loaded."""
    found = pickles(folder)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        LOG.debug("%s%s: pickles of other programs are ignored, never read", found[0], more)
