"""A project folder with images of one's own."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from composed import preset
from PIL import Image

from dpc.datasets import own
from dpc.errors import DpcError
from dpc.params.data import OnDisk
from dpc.params.load import checked
from dpc.params.sections import Params

ROOT = Path("data/pets")


def draw(*names: str) -> None:
    """Write a small image of its own for each name."""
    for name in names:
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = sum(name.encode()) % 256
        Image.new("RGB", (6, 5), (shade, 255 - shade, 90)).save(path, "PNG")


@cache
def smoke() -> Params:
    return checked(preset("smoke"))


def params(**keys) -> Params:
    """Parameters with the dataset pets, whose block has ``keys``."""
    place = OnDisk(**{"images": "pets", **keys})
    return replace(smoke(), data=replace(smoke().data, on_disk={"pets": place}))


def fails(words: str, **keys) -> None:
    """Reading pets ends in one line that holds ``words``."""
    with pytest.raises(DpcError, match=words) as caught:
        own.listing("pets", params(**keys))
    assert "\n" not in str(caught.value)
