"""What a dataset is: class names, and train, validation and test items with content hashes."""

import errno
import io
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from dpc.errors import DpcError

SPLITS = ("train", "val", "test")
# Pillow warns of what it reads nevertheless (odd EXIF data, many pixels); what it cannot read it
# raises. Set once: decoding runs in threads, and filters that come and go are not for threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Item(NamedTuple):
    """One image: its path inside the dataset's image folder, its label, the SHA-256 of its file."""

    image: str
    label: int
    sha256: str


@dataclass(frozen=True)
class Raw:
    """What a source reads: names, splits, and the files of the images if it renders them."""

    classnames: tuple[str, ...]
    splits: Mapping[str, tuple[Item, ...]]
    rule: str  # how train and test were parted, for every table
    template: str | None = None  # sentence of zero-shot CLIP, where the source has its own
    rendered: Mapping[str, bytes] | None = None  # image name -> encoded file, if made here
    published: bool | None = None  # whether a published set is the one of the papers


@dataclass(frozen=True)
class Listing:
    """What a reader on disk says of a dataset, before any image is opened.

    Attributes:
        classnames: by label, 0, 1, …
        splits: "train", "val" and "test" -> (path below ``folder``, label) in file order; a set
            that is only tested on has no train and no val.
        rule: how train and test were parted, in words.
        template: sentence of zero-shot CLIP, or None.
        folder: that the paths start from.
        files: what was read to make it: split file, class names, …
    """

    classnames: tuple[str, ...]
    splits: Mapping[str, tuple[tuple[str, int], ...]]
    rule: str
    template: str | None
    folder: Path
    files: tuple[Path, ...]

    @property
    def images(self) -> list[str]:
        """Every image once, in the order of the splits."""
        return list(dict.fromkeys(name for items in self.splits.values() for name, _ in items))


@dataclass(frozen=True)
class Manifest:
    """A prepared dataset, as its manifest.json holds it: the same wherever the images lie."""

    dataset: str
    classnames: tuple[str, ...]
    splits: Mapping[str, tuple[Item, ...]]
    rule: str
    template: str | None
    archive: str | None  # SHA-256 of images.zip beside the manifest, or None
    published: bool | None = None  # as of Raw

    def as_json(self) -> dict[str, Any]:
        """A plain dict, ready to be written."""
        return {
            "dataset": self.dataset,
            "classnames": list(self.classnames),
            "rule": self.rule,
            "template": self.template,
            "archive": self.archive,
            "published": self.published,
            "splits": {name: [list(item) for item in items] for name, items in self.splits.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Manifest":
        """The manifest that `as_json` wrote."""
        return cls(
            dataset=content["dataset"],
            classnames=tuple(content["classnames"]),
            splits={
                name: tuple(Item(*item) for item in items)
                for name, items in content["splits"].items()
            },
            rule=content["rule"],
            template=content["template"],
            archive=content["archive"],
            published=content["published"],
        )


class Images:
    """Reads the images of a prepared dataset; a context manager, since an archive may be open."""

    def __init__(self, dataset: str, folder: Path, packed: bool):
        """``folder``: where images.zip lies if images are ``packed``; else where paths start."""
        self._dataset = dataset
        self._folder = folder
        self._packed = packed
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> "Images":
        if self._packed:
            path = self._folder / "images.zip"
            try:
                self._zip = zipfile.ZipFile(path)
            except (FileNotFoundError, zipfile.BadZipFile):
                raise DpcError(
                    f"{path} is missing or damaged; run "
                    f"`dpc prepare --dataset {self._dataset}` again"
                ) from None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self, item: Item) -> Image.Image:
        """The decoded image in RGB.

        Raises:
            DpcError: the file is missing, changed since `prepare`, or cannot be decoded.
        """
        from dpc.files import digest

        content, place = self._bytes(item)
        if digest(content) != item.sha256:
            raise DpcError(
                f"{place} changed since the dataset was prepared; run "
                f"`dpc prepare --dataset {self._dataset}` again"
            )
        return decode(content, place)

    def _bytes(self, item: Item) -> tuple[bytes, str]:
        if self._zip is not None:
            place = f"{self._folder / 'images.zip'}:{item.image}"
            try:
                return self._zip.read(item.image), place
            except (KeyError, zipfile.BadZipFile):
                raise DpcError(f"{place} is missing or damaged; prepare it again") from None
        path = self._folder / item.image
        return read_image_file(path), str(path)


class Undecodable(DpcError):
    """An image file that Pillow cannot make an image of; ``reason`` is the middle of the line."""

    def __init__(self, place: str, reason: str):
        super().__init__(f"image {place} cannot be decoded ({reason}); replace or restore it")
        self.reason = reason


def read_image_file(path: Path) -> bytes:
    """The bytes of an image file, or one line that names it."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise missing_image(path, problem) from None


def missing_image(path: Path | str, problem: OSError | None = None) -> DpcError:
    """The one line about an image that a split names and that is not there."""
    if problem is not None and problem.errno == errno.ELOOP:
        return DpcError(f"image {path} is a link that leads back to itself; put the image there")
    return DpcError(f"image {path} is missing or cannot be read; restore it")


def decode(content: bytes, place: str) -> Image.Image:
    """An encoded image as RGB, whatever its file is called; the first frame of an animation.

    A rotation that EXIF data ask for is not made: the readers of the published results do not
    make it either, and CLIP's features of both differ.

    Raises:
        Undecodable: not an image, truncated, or so large that decoding it would be an attack.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            image.load()
            if image.mode.startswith(("I", "F")):
                return _eight_bits(image).convert("RGB")
            return image.convert("RGB")
    except Image.DecompressionBombError as problem:
        raise Undecodable(place, f"too large to decode safely: {problem}") from None
    except UnidentifiedImageError:
        raise Undecodable(place, "empty" if not content else "no image that is known") from None
    except (OSError, SyntaxError, ValueError, *_MALFORMED) as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise Undecodable(place, reason) from None


# What Pillow's readers raise on files that are wrong inside.
_MALFORMED = (struct.error, EOFError, IndexError, KeyError, TypeError, OverflowError, RuntimeError)


@cache
def _formats() -> tuple[str, ...]:
    """Formats that are read, as far as this Pillow knows them; others (EPS) start programs."""
    Image.init()
    wanted = ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP"]
    return tuple(name for name in wanted if name in Image.OPEN)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16- or 32-bit grey image scaled to 8 bits (Pillow's convert would cut, not scale)."""
    _, high = image.getextrema()
    top = 65535 if isinstance(high, int) and high > 255 else 255
    return image.point(lambda value: value * (255 / top)).convert("L")


def check_images(
    what: str, names: Sequence[str], splits: Mapping[str, Sequence[tuple[str, int] | Item]]
) -> None:
    """Each class has test images, and training images if any has.

    Args:
        what: names the source of the lists in a message.
        names: class names by label.
        splits: "train", "val", "test" -> (path, label), or items.

    Raises:
        DpcError: the first class without one, by name.
    """
    if not splits["test"]:
        raise DpcError(f"{what} has no test image")
    for split in ("train", "test") if splits["train"] else ("test",):
        present = {entry[1] for entry in splits[split]}
        for label, name in enumerate(names):
            if label not in present:
                raise DpcError(f"{what}: class {name!r} has no {split} image (label {label})")


def check_classes(dataset: str, classnames: Sequence[str], splits: Mapping[str, Sequence]) -> None:
    """Two classes at least, each with test images; with training images, unless the set has none.

    Raises:
        DpcError: there is one class, or the first class without images, by name.
    """
    if len(classnames) < 2:
        raise DpcError(
            f"dataset {dataset} has one class, {', '.join(map(repr, classnames))}; at least two "
            "are expected"
        )
    check_images(f"dataset {dataset}", classnames, splits)
