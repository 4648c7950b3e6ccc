"""Datasets on disk: a reader says which images there are, and all of them are checked alike."""

import importlib
from pathlib import Path

from dpc.datasets import OWN, PUBLISHED, content, places, split_file
from dpc.datasets.base import SPLITS, Item, Listing, Raw
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError
from dpc.files import digest
from dpc.params.data import Data
from dpc.params.sections import Params
from dpc.progress import LOG

# Beside what was found, the section that it was found for: no other one gets its identity.
_looked_at: dict[tuple[int, str], tuple[Data, dict[str, str]]] = {}


def reader_module(name: str) -> str:
    """The module that reads the dataset ``name``."""
    return PUBLISHED.get(name, OWN).partition(":")[0]


def listing(name: str, params: Params) -> Listing:
    """What the dataset's reader says of it, before any image is opened.

    Raises:
        DpcError: the dataset is not where it should be, or is not as its reader expects it.
    """
    module, _, function = PUBLISHED.get(name, OWN).partition(":")
    return getattr(importlib.import_module(module), function)(name, params)


def image_folder(name: str, params: Params) -> Path:
    """That the paths of a dataset's images start from.

    Raises:
        DpcError: a published dataset is not where it should be.
    """
    if name in PUBLISHED:
        return places.require(CATALOG[name], params).images
    return Path(params.data.root) / params.data.on_disk[name].images


def read(name: str, params: Params) -> Raw:
    """A dataset with the SHA-256 of every image; each was decoded once, now or earlier.

    Raises:
        DpcError: as `listing`; an image is missing, or some cannot be decoded.
    """
    found = listing(name, params)
    names = found.images
    hashes = content.hashes(found.folder, names, name)
    bad = content.undecodable(found.folder, names, hashes, name)
    if bad:
        first, reason = next(iter(bad.items()))
        more = f", nor can {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DpcError(
            f"image {found.folder / first} cannot be decoded ({reason}){more}; "
            "replace what `dpc doctor` lists"
        )
    return Raw(
        classnames=found.classnames,
        splits={
            split: tuple(Item(image, label, hashes[image]) for image, label in items)
            for split, items in found.splits.items()
        },
        rule=found.rule,
        template=found.template,
        published=as_published(name, found),
    )


def as_published(name: str, found: Listing) -> bool | None:
    """Whether a dataset has the split of the papers: by its content's hash, or, where none is
    known, by the numbers of classes and images. None: no published set."""
    if name not in CATALOG:
        return None
    published, splits = CATALOG[name], found.splits
    if published.content is not None:
        entries = {
            split: [(image, label, found.classnames[label]) for image, label in splits[split]]
            for split in SPLITS
        }
        right = split_file.content_hash(entries) == published.content
    else:
        counts = [len(found.classnames), *(len(splits[split]) for split in SPLITS)]
        expected = [published.classes, published.train, published.val, published.test]
        right = counts == [count or 0 for count in expected]
    if not right:
        LOG.warning(
            "dataset %s is not the published one, so that numbers cannot be compared; "
            "`dpc doctor %s` says what differs",
            name,
            name,
        )
    return right


def sources(name: str, params: Params) -> dict[str, str]:
    """What `read` depends on, by content: the files of the listing, and all images as one.

    Looked at once for parameters that were read: a large set takes seconds, and every cell asks.

    Returns:
        name of a file -> SHA-256; "images" -> one digest of all paths and hashes. Few entries,
        however many images there are, and the same wherever they lie.

    Raises:
        DpcError: as `listing`; an image is missing.
    """
    from dpc.hashes import remembered_sha256

    known = _looked_at.get((id(params.data), name))
    if known is not None:
        return known[1]
    found = listing(name, params)
    hashes = content.hashes(found.folder, found.images, name)
    text = "\n".join(f"{hashes[image]} {image}" for image in sorted(hashes))
    files = {path.name: remembered_sha256(path) for path in found.files}
    told = files | {"images": digest(text)}
    _looked_at[id(params.data), name] = params.data, told
    return told
