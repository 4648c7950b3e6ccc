"""Small pictures of a data set's images, as data URIs, for the page."""

import base64
import io
import json
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps

from dpc import artifacts
from dpc.datasets import EMBEDDED, on_disk
from dpc.datasets.base import Images, Item
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.progress import LOG
from dpc.stages.cells import draws
from dpc.stages.layout import Layout

SIDE = 40  # pixels
QUALITY = 70  # of JPEG: about a kilobyte a picture


class Thumbnails:
    """The pictures of all data sets of a run; a data set is opened when it is first asked for.

    An image that cannot be read has no picture, and the first of a data set is one warning: the
    numbers of the page do not depend on it. A context manager, since archives may be open.
    """

    def __init__(self, params: Params, layout: Layout):
        self._params, self._layout = params, layout
        self._sets: dict[str, _Set | None] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Thumbnails":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def __call__(self, dataset: str, image: str | int) -> str:
        """A data URI of an image by its name, or of the first test image of a class by its
        label; "" where it cannot be read."""
        if dataset not in self._sets:
            self._sets[dataset] = self._opened(dataset)
        source = self._sets[dataset]
        return "" if source is None else source.picture(image)

    def _opened(self, dataset: str) -> "_Set | None":
        packed = dataset in EMBEDDED
        try:
            place = (
                self._layout.images(dataset).parent
                if packed
                else on_disk.image_folder(dataset, self._params)
            )
            images = self._stack.enter_context(Images(dataset, place, packed))
        except DpcError as problem:
            LOG.warning("%s: the page has no pictures of it: %s", dataset, problem)
            return None
        return _Set(self._params, self._layout, dataset, images)


class _Set:
    def __init__(self, params: Params, layout: Layout, dataset: str, images: Images):
        self._params, self._layout = params, layout
        self._dataset, self._images = dataset, images
        self._warned = False

    def picture(self, image: str | int) -> str:
        item = self._first.get(image) if isinstance(image, int) else self._named.get(image)
        if item is None:
            return ""
        try:
            return data_uri(self._images.read(item))
        except DpcError as problem:
            if not self._warned:
                LOG.warning("%s: the page lacks a picture: %s", self._dataset, problem)
            self._warned = True
            return ""

    @cached_property
    def _tested(self) -> list[Item]:
        return _items(self._layout.test_features(self._dataset), "test")

    @cached_property
    def _first(self) -> dict[int, Item]:
        """The first test image of each class."""
        return {item.label: item for item in reversed(self._tested)}

    @cached_property
    def _named(self) -> dict[str, Item]:
        """The images that were tested or trained on, or drawn as negatives."""
        found = {item.image: item for item in self._tested}
        for draw in draws(self._params):
            path = self._layout.shots(self._dataset, draw)
            if path.is_file():  # nothing is drawn of a target
                found |= {
                    item.image: item for part in ("train", "pool") for item in _items(path, part)
                }
        return found


def _items(path: Path, part: str) -> list[Item]:
    """The images of a part of a file of features, none without it; the features stay unread."""
    name = f"{part}.items"
    found = artifacts.some(path, "run `dpc features` again", (name,))
    return [Item(*item) for value in found.values() for item in json.loads(value.tobytes())]


def data_uri(image: Image.Image) -> str:
    """The middle of an RGB image as a square JPEG; the same bytes for the same pixels."""
    small = ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
