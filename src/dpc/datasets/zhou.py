"""The nine published datasets that a split file of CoOp's authors parts: split_zhou_….json."""

from dpc.datasets import places, split_file
from dpc.datasets.base import Listing
from dpc.datasets.catalog import CATALOG, GUIDE
from dpc.errors import DpcError
from dpc.params.sections import Params


def listing(name: str, params: Params) -> Listing:
    """The dataset as its split file has it: names, labels and order are the file's.

    Raises:
        DpcError: the dataset or its split file is not found, or the file is malformed.
    """
    published = CATALOG[name]
    place = places.require(published, params)
    if place.split is None:
        raise DpcError(
            f"dataset {name}: {place.folder / published.split} is missing; another split is "
            f"another benchmark, so none is made up: download it from {GUIDE}"
        )
    entries = split_file.parse(place.split)
    return Listing(
        classnames=split_file.classnames(entries, place.split),
        splits=split_file.listed(entries, place.images, place.split),
        rule=f"the split file {published.split}",
        template=published.template,
        folder=place.images,
        files=(place.split,),
    )
