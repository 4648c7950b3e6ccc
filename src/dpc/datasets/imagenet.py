"""ImageNet: a folder for each WordNet id below images/train/ and images/val/, and classnames.txt.

What its variants share lies here too: the class names, and how class folders are listed.
"""

from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from dpc.datasets import folders, places, split_file
from dpc.datasets.base import Listing
from dpc.datasets.catalog import CATALOG, GUIDE
from dpc.datasets.places import Place
from dpc.errors import DpcError
from dpc.params.sections import Params

THREADS = 8  # folders that are listed at once: on a network's disk each waits for an answer
Items = tuple[tuple[str, int], ...]


def listing(name: str, params: Params) -> Listing:
    """Labels are the sorted WordNet ids; images are sorted by name within a class.

    The validation images are the test set: those of the test set have no public labels. The list
    "val" stays empty. Sorted images make few-shot sets the same on every disk; the released code
    takes them as the file system hands them out.

    Raises:
        DpcError: the dataset or classnames.txt is not found, or a class has no folder or images.
    """
    published = CATALOG[name]
    place = places.require(published, params)
    path = names_file(place, params)
    names = classnames(path)
    wnids = sorted(names)
    return Listing(
        classnames=tuple(names[wnid] for wnid in wnids),
        splits={
            "train": _split(place, "train", wnids, path),
            "val": (),
            "test": _split(place, "val", wnids, path),
        },
        rule="the authors' training images; their validation images are the test set",
        template=published.template,
        folder=place.images,
        files=(path,),
    )


def names_file(place: Place, params: Params) -> Path:
    """The dataset's classnames.txt, or ImageNet's if a variant has none.

    Raises:
        DpcError: neither is there.
    """
    found = places.beside(place, "classnames.txt")
    if found is None:
        imagenet = places.find(CATALOG["imagenet"], params)
        found = places.beside(imagenet, "classnames.txt") if imagenet else None
    if found is None:
        raise DpcError(
            f"{place.folder / 'classnames.txt'} is missing (a line a class: WordNet id, name); "
            f"download it from {GUIDE}"
        )
    return found


def classnames(path: Path) -> dict[str, str]:
    """WordNet id -> class name, in the order of the file; two ids may share a name.

    Raises:
        DpcError: the file cannot be read, a line has no name, or an id is there twice.
    """
    names: dict[str, str] = {}
    for number, line in enumerate(split_file.text_lines(path), start=1):
        wnid, _, name = line.strip().partition(" ")
        if not wnid:
            continue
        if not name.strip():
            raise DpcError(f"{path}, line {number}: {line.strip()!r} is no WordNet id and a name")
        if wnid in names:
            raise DpcError(f"{path}, line {number}: {wnid} is there twice; restore the file")
        names[wnid] = name.strip()
    if not names:
        raise DpcError(f"{path} is empty; restore the file")
    return names


def class_folders(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted; files beside them (README.txt) do not count.

    Raises:
        DpcError: no such folder, or images lie in it and no class folders.
    """
    seen = folders.look(folder)
    if not seen.folders:
        what = "no class folder"
        if seen.images:
            what = f"images ({seen.images[0]}, …) and no class folder"
        raise DpcError(
            f"{folder} holds {what}; each class's images belong in a folder of their own"
        )
    return seen.folders


def images(folder: Path, start: str, classes: Sequence[str]) -> Items:
    """The images of class folders with labels 0, 1, …: classes as they come, images sorted.

    Only folders are read, not files, of which there may be a million.

    Args:
        folder: that paths start from.
        start: path from it to the class folders, "train/" or nothing.
        classes: names of the class folders, by label.

    Raises:
        DpcError: a class folder is missing or holds no image.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda name: _in_class(folder / start / name), classes)
        return tuple(
            chain.from_iterable(
                ((f"{start}{name}/{image}", label) for image in inner)
                for label, (name, inner) in enumerate(zip(classes, found, strict=True))
            )
        )


def known(found: Sequence[str], names: Container[str], place: Path, path: Path) -> None:
    """Every folder that was found must be a class.

    Raises:
        DpcError: the first that ``path``, classnames.txt, does not hold.
    """
    for name in found:
        if name not in names:
            raise DpcError(
                f"{place / name} is no class of {path}; move the folder away, or restore the file"
            )


def _split(place: Place, name: str, wnids: Sequence[str], path: Path) -> Items:
    known(class_folders(place.images / name), set(wnids), place.images / name, path)
    return images(place.images, f"{name}/", wnids)


def _in_class(folder: Path) -> list[str]:
    found = folders.look(folder).images
    if not found:
        raise DpcError(f"class folder {folder} holds no image; restore its images")
    return found
