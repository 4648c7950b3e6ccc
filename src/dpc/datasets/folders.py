"""Class folders: the images of a class lie in a folder that is called as the class is."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dpc.datasets.base import SPLITS
from dpc.errors import DpcError
from dpc.progress import LOG

PHOTOGRAPHS = (".jpg", ".jpeg", ".jfif", ".jp2", ".avif", ".webp", ".tif", ".tiff")
DRAWINGS = (".png", ".gif", ".bmp", ".ppm", ".pgm")
SUFFIXES = PHOTOGRAPHS + DRAWINGS


class Labelled(NamedTuple):
    """One image: its path, what its class is called there, and its split if that is said."""

    image: str
    key: str
    split: str | None


class Seen(NamedTuple):
    """What a folder holds: names, sorted."""

    folders: list[str]
    images: list[str]
    others: int


def read(folder: Path) -> list[Labelled]:
    """Every image below ``folder``: train/CLASS/…, val/CLASS/… and test/CLASS/…, or CLASS/….

    Folders inside a class folder count to it. Hidden files and files that are no images by their
    suffix are left out, and so are images in no class folder; a line says how many.

    Raises:
        DpcError: no such folder, no class folder in it, a class folder without images, a name that
            is no text, links in a circle, or folders that can be understood in two ways.
    """
    top = look(folder)
    if not top.folders:
        raise DpcError(
            f"{folder} holds no folder; one for each class is expected, or train/ and test/ with "
            "one for each class (or data.on_disk.NAME.split names a table or a split file)"
        )
    found: list[Labelled] = []
    left_out = len(top.images) + top.others
    for split in _splits(folder, top.folders):
        place = folder / split if split else folder
        inside = look(place) if split else top
        left_out += len(inside.images) + inside.others if split else 0
        for key in inside.folders:
            images = []
            for image, others in images_below(place / key):
                left_out += others
                images += [image] if image else []
            if not images:
                raise DpcError(
                    f"class folder {place / key} holds no image ({' '.join(SUFFIXES)}); "
                    "put some there, or remove it"
                )
            start = f"{split}/{key}" if split else key
            found += [Labelled(f"{start}/{image}", key, split) for image in images]
    if left_out:
        LOG.info("%s: %d files that are no image of a class are left out", folder, left_out)
    return found


def _splits(folder: Path, found: list[str]) -> list[str | None]:
    """The folders train, val and test, or None: the folders are the classes."""
    others = [name for name in found if name not in SPLITS]
    if not ("train" in found and "test" in found):
        if others:
            return [None]  # a class may be called train: of vehicles
        missing = "test" if "train" in found else "train"
        raise DpcError(
            f"{folder} holds {', '.join(f'{name}/' for name in found)} but no {missing}/; both "
            "train/ and test/ are expected, or class folders alone"
        )
    if others:
        raise DpcError(
            f"{folder} holds train/ and test/, but {others[0]}/ too; train/, val/ and test/ are "
            "expected (call valid/ or validation/ val/), or class folders alone"
        )
    return [split for split in SPLITS if split in found]


def images_below(
    folder: Path, around: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, int]]:
    """(path below ``folder``, 0) of each image in it, and ("", number) of other files.

    Args:
        around: device and inode of the folders that it lies in.

    Raises:
        DpcError: as `look`, or a link that leads back to a folder around it.
    """
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in around:
        raise DpcError(f"{folder} is a link that leads back to a folder around it; remove it")
    inside = look(folder)
    yield "", inside.others
    for image in inside.images:
        yield image, 0
    for name in inside.folders:
        for image, others in images_below(folder / name, (*around, here)):
            yield (f"{name}/{image}" if image else ""), others


def look(folder: Path) -> Seen:
    """Names of the folders and of the images right in ``folder``, without hidden ones.

    Raises:
        DpcError: no such folder, or a name in it is no UTF-8.
    """
    seen = Seen([], [], 0)
    others = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    if not entry.name.startswith((".", "__MACOSX")):
                        seen.folders.append(readable(entry.name, folder))
                elif _is_image(entry):
                    seen.images.append(readable(entry.name, folder))
                else:
                    others += 1
    except FileNotFoundError:
        raise DpcError(f"folder {folder} does not exist; put the images there") from None
    except NotADirectoryError:
        raise DpcError(f"{folder} is no folder; a folder of images is expected") from None
    except OSError as problem:  # no permission, a link that leads back to itself
        raise DpcError(f"folder {folder} cannot be read: {problem.strerror}") from None
    return Seen(sorted(seen.folders), sorted(seen.images), others)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as problem:
        if problem.errno != errno.ELOOP:
            raise
        return False  # an image that is a link to itself: whoever opens it says so


def _is_image(entry: os.DirEntry) -> bool:
    """By its name; a pipe or a device is none, whatever its name: reading it may never end."""
    if entry.name.startswith(".") or not entry.name.lower().endswith(SUFFIXES):
        return False
    try:
        leads_nowhere = entry.is_symlink() and not Path(entry.path).exists()
        return entry.is_file() or leads_nowhere  # whoever opens such a link says so
    except OSError:  # it leads back to itself
        return True


def readable(name: str, folder: Path | str) -> str:
    """``name``, if it is text.

    Raises:
        DpcError: its bytes are no UTF-8, so neither a JSON file nor a sentence can hold them.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name)
        raise DpcError(f"{folder}: the file name {shown!r} is no UTF-8; rename it") from None
    return name
