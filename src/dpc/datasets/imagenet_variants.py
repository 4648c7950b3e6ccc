"""ImageNetV2, -Sketch, -A and -R: only tested on, with class folders and ImageNet's names."""

from collections.abc import Sequence
from pathlib import Path

from dpc.datasets import imagenet, places
from dpc.datasets.base import Listing
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError
from dpc.params.sections import Params


def listing(name: str, params: Params) -> Listing:
    """A list "test" alone. Folders are WordNet ids, sorted; for ImageNetV2 numbers of classes.

    A variant of fewer classes than ImageNet has a label space of its own: 0, 1, … over its own
    folders.

    Raises:
        DpcError: the dataset or classnames.txt is not found, a folder is no class, or a class has
            no folder or images.
    """
    published = CATALOG[name]
    place = places.require(published, params)
    path = imagenet.names_file(place, params)
    names = imagenet.classnames(path)
    folders = imagenet.class_folders(place.images)
    if name == "imagenetv2":
        classes, called = _by_number(folders, list(names.values()), place.images, path)
    else:
        imagenet.known(folders, names, place.images, path)
        partial = published.classes < CATALOG["imagenet"].classes
        classes = folders if partial else sorted(names)
        called = [names[wnid] for wnid in classes]
    return Listing(
        classnames=tuple(called),
        splits={"train": (), "val": (), "test": imagenet.images(place.images, "", classes)},
        rule="all images test",
        template=published.template,
        folder=place.images,
        files=(path,),
    )


def _by_number(
    folders: Sequence[str], names: Sequence[str], place: Path, path: Path
) -> tuple[list[str], list[str]]:
    """Folder k is line k of classnames.txt, counted from 0: numbers, not text, give the order.

    Returns:
        folders in the order of their numbers, and the class names.
    """
    for folder in folders:
        if not (folder.isascii() and folder.isdecimal() and int(folder) < len(names)):
            raise DpcError(
                f"{place / folder} is no class: numbers from 0 to {len(names) - 1} are expected, "
                f"the lines of {path}"
            )
    found = {int(folder): folder for folder in folders}
    return [found.get(number, str(number)) for number in range(len(names))], list(names)
