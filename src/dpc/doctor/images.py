"""Images that a dataset names: are they there, and can they be opened?"""

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

from dpc.datasets import content
from dpc.datasets.base import Listing
from dpc.doctor.findings import Files


def missing(listing: Listing) -> Files:
    """Those whose file is not there; folders are listed instead of asking for every file."""
    by_folder: defaultdict[str, list[str]] = defaultdict(list)
    wanted = listing.images
    for name in wanted:
        by_folder[str(PurePosixPath(name).parent)].append(name)
    lacking = {
        name
        for folder, images in by_folder.items()
        for name in _lacking(listing.folder / folder, listing.folder, images)
    }
    return Files.of(name for name in wanted if name in lacking)


def undecodable(dataset: str, listing: Listing) -> tuple[int, dict[str, str]]:
    """How many images there are, and those that cannot be decoded, with the reason.

    Raises:
        DpcError: an image cannot be read.
    """
    wanted = listing.images
    hashes = content.hashes(listing.folder, wanted, dataset)
    return len(wanted), content.undecodable(listing.folder, wanted, hashes, dataset)


def _lacking(folder: Path, root: Path, images: list[str]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            there = {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return images
    # A file system may take letters alike that differ here: it has the last word.
    absent = [name for name in images if PurePosixPath(name).name not in there]
    return [name for name in absent if not (root / name).is_file()]
