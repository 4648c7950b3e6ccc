"""The fifteen published datasets in CoOp's layout, with tiny made-up images.

    python tests/coop_layout.py FOLDER [--sets dtd,eurosat] [--nested] [--classes N] [--train N]

Names of folders, files and classes have the oddities of the originals; pictures are a class's
colour and noise. Per class one image a split, unless more training images are asked for.
"""

import argparse
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dpc.datasets.catalog import CATALOG, Published

# Loading one would end the program: they are to be left alone.
PICKLE = b"cbuiltins\nexit\n(I3\ntR."
FIRST = "amber brown coral dusty early faded giant happy ivory jolly keen little misty noble "
FIRST += "olive plain quiet rusty silent tiny upper violet wild young"
SECOND = "badger candle dolphin engine falcon garden helmet island jacket kettle lantern marble "
SECOND += "needle orchid pepper quarry ribbon saddle tunnel urchin valley walnut zebra anchor "
SECOND += "basket cactus dagger eagle fiddle goblet hammer iguana jaguar kiwi ladder mantis napkin "
SECOND += "otter parrot quilt raven sparrow"
Row = tuple[str, int, str]


class Tree:
    """Writes one dataset's folder."""

    def __init__(self, published: Published, folder: Path, classes: int, train: int):
        self.published, self.folder, self.train = published, folder, train
        self.classes = min(published.classes, max(4, classes))
        self.images = folder / published.images
        self._made: set[Path] = set()
        self._noise = np.random.default_rng(len(published.name)).integers(0, 60, (64, 12, 12, 3))
        self._count = 0

    def image(self, path: str, label: int, form: str = "JPEG") -> None:
        """A picture of class ``label`` at ``path`` below the folder of images."""
        self.write(self.images / path, self.picture(label, form))

    def picture(self, label: int, form: str = "JPEG") -> bytes:
        """An encoded picture that no other of the dataset equals."""
        self._count += 1
        colour = np.array([37 * label % 196, 91 * label % 196, 53 * label % 196])
        pixels = (colour + self._noise[self._count % 64]).astype(np.uint8)
        pixels[0, 0], pixels[0, 6] = self._count % 256, self._count // 256 % 256
        pixels[6, 0] = self._count // 65536
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form, **({"quality": 90} if form == "JPEG" else {}))
        return file.getvalue()

    def write(self, path: Path, content: bytes | str) -> None:
        """A file with all folders above it."""
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def pickles(self) -> None:
        """What other programs would leave in the folder."""
        self.write(self.folder / "split_fewshot/shot_16-seed_1.pkl", PICKLE)
        if not self.published.split:
            self.write(self.folder / "preprocessed.pkl", PICKLE)

    def draws(self) -> Iterator[tuple[str, int]]:
        """The split of each image of a class, and its number within the class."""
        places = ["train"] * self.train + ["val", "test"]
        yield from ((place, number) for number, place in enumerate(places, start=1))

    def split_file(self, rows: dict[str, list[Row]]) -> None:
        self.write(self.folder / self.published.split, json.dumps(rows))


def names(count: int, joint: str = " ") -> list[str]:
    """Made-up class names in alphabetical order."""
    return sorted(f"{a}{joint}{b}" for a in FIRST.split() for b in SECOND.split())[:count]


def wnids(count: int) -> list[str]:
    return [f"n{1440764 + 1009 * number:08d}" for number in range(count)]


def _rows(
    tree: Tree,
    called: Sequence[str],
    path: Callable[[int, int, str], str],
    order: Sequence[int] | None = None,
) -> dict[str, list[Row]]:
    """Images of every class at ``path(label, number, split)``, and the rows of a split file."""
    rows: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for label in order or range(tree.classes):
        for split, number in tree.draws():
            name = path(label, number, split)
            tree.image(name, label)
            rows[split].append((name, label, called[label]))
    return rows


def _shuffled(count: int) -> list[int]:
    """Labels in an order of their own, as the rows of some split files have."""
    return [int(label) for label in np.random.default_rng(7).permutation(count)]


def caltech101(tree: Tree) -> None:
    folders = ["Faces", "Leopards", "Motorbikes", *names(tree.classes - 3, "_")]
    called = ["face", "leopard", "motorbike", *folders[3:]]
    tree.split_file(_rows(tree, called, lambda c, n, _: f"{folders[c]}/image_{n:04d}.jpg"))
    for other in ("BACKGROUND_Google", "Faces_easy"):
        tree.image(f"{other}/image_0001.jpg", 99)


def oxford_pets(tree: Tree) -> None:
    called = names(tree.classes, "_")
    called[0] = "abyssinian"

    def path(label: int, number: int, split: str) -> str:
        return f"{called[label].capitalize()}_{number + 33}.jpg"

    rows = _rows(tree, called, path)
    first = rows["train"][0][0]
    tree.image(first, 0, "GIF")  # Abyssinian_34.jpg, which is a GIF in the original too
    tree.write(tree.images / "Abyssinian_100.mat", b"no image")
    tree.split_file(rows)


def stanford_cars(tree: Tree) -> None:
    called = [f"20{c % 13:02d} {name.title()} Coupe" for c, name in enumerate(names(tree.classes))]
    count = iter(range(1, 10**5))

    def path(label: int, number: int, split: str) -> str:
        return f"cars_{'test' if split == 'test' else 'train'}/{next(count):05d}.jpg"

    tree.split_file(_rows(tree, called, path, _shuffled(tree.classes)))


def oxford_flowers(tree: Tree) -> None:
    count = iter(range(1, 10**5))
    order = _shuffled(tree.classes)
    rows = _rows(tree, names(tree.classes), lambda *_: f"image_{next(count):05d}.jpg", order)
    tree.split_file(rows)


def food101(tree: Tree) -> None:
    called = names(tree.classes, "_")
    tree.split_file(_rows(tree, called, lambda c, n, _: f"{called[c]}/{100 * c + n}.jpg"))
    tree.write(tree.folder / "meta/train.json", "{}")


def sun397(tree: Tree) -> None:
    words = names(tree.classes, "_")
    halls = [f"{w[0]}/{w}" + ("/indoor" if c % 5 == 0 else "") for c, w in enumerate(words)]
    called = [("indoor " if c % 5 == 0 else "") + word for c, word in enumerate(words)]
    tree.split_file(_rows(tree, called, lambda c, n, _: f"{halls[c]}/sun_{c:04d}{n:04d}.jpg"))


def dtd(tree: Tree) -> None:
    called = names(tree.classes, "_")
    tree.split_file(_rows(tree, called, lambda c, n, _: f"{called[c]}/{called[c]}_{n:04d}.jpg"))


def eurosat(tree: Tree) -> None:
    called = [
        *("Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road"),
        *("Industrial Buildings", "Pasture Land", "Permanent Crop Land", "Residential Buildings"),
        *("River", "Sea or Lake"),
    ]
    folders = "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop "
    folder = (folders + "Residential River SeaLake").split()
    tree.split_file(_rows(tree, called, lambda c, n, _: f"{folder[c]}/{folder[c]}_{n}.jpg"))


def ucf101(tree: Tree) -> None:
    called = [name.title() for name in names(tree.classes, "_")]
    called[1] = "Handstand_Pushups"
    files = [name.replace("_", "") for name in called]
    files[1] = "HandStandPushups"  # another capital than its folder
    tree.split_file(_rows(tree, called, lambda c, n, _: f"{called[c]}/v_{files[c]}_g{n:02d}.jpg"))


def fgvc_aircraft(tree: Tree) -> None:
    called = ["707-320", "F-16A/B", "F/A-18", "Model B200"]
    called += [f"A{200 + number} {name.title()}" for number, name in enumerate(names(96))]
    called = called[: tree.classes]
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(called):
        for split, number in tree.draws():
            image = f"{100 * label + number:07d}"  # with zeros in front
            tree.image(f"{image}.jpg", label)
            lines[split].append(f"{image} {name}\n")
    tree.write(tree.folder / "variants.txt", "".join(f"{name}\n" for name in called))
    for split, text in lines.items():
        tree.write(tree.folder / f"images_variant_{split}.txt", "".join(text))


def _classnames(tree: Tree) -> list[str]:
    """ImageNet's names; two of them are there twice, as in the original."""
    called = names(tree.classes)
    if tree.classes == 1000:
        called[657] = called[744] = "missile"
        called[836] = called[837] = "sunglasses"
    lines = (f"{w} {n}\n" for w, n in zip(wnids(tree.classes), called, strict=True))
    tree.write(tree.folder / "classnames.txt", "".join(lines))
    return called


def imagenet(tree: Tree) -> None:
    _classnames(tree)
    for label, wnid in enumerate(wnids(tree.classes)):
        for number in range(1, tree.train + 1):
            tree.image(f"train/{wnid}/{wnid}_{number}.JPEG", label)
        tree.image(f"val/{wnid}/ILSVRC2012_val_{label + 1:08d}.JPEG", label)


def imagenetv2(tree: Tree) -> None:
    _classnames(tree)
    for label in range(tree.classes):
        tree.image(f"{label}/{label:04x}.jpeg", label)


def imagenet_sketch(tree: Tree) -> None:
    _classnames(tree)
    for label, wnid in enumerate(wnids(tree.classes)):
        tree.image(f"{wnid}/sketch_{label % 50}.JPEG", label)


def _partial(tree: Tree, offset: int) -> None:
    """Some of ImageNet's classes: every fifth of a thousand, from ``offset`` on."""
    every = 5 if tree.classes >= 20 else 1
    wanted, tree.classes = tree.classes, min(1000, every * tree.classes)
    _classnames(tree)
    for label, wnid in enumerate(wnids(tree.classes)[offset % every :: every][:wanted]):
        tree.image(f"{wnid}/{label:06d}_0.jpg", label)
    tree.write(tree.images / "README.txt", "not a class\n")


def imagenet_a(tree: Tree) -> None:
    _partial(tree, 0)


def imagenet_r(tree: Tree) -> None:
    _partial(tree, 1)


WRITERS: dict[str, Callable[[Tree], None]] = {
    writer.__name__: writer
    for writer in (
        *(imagenet, caltech101, oxford_pets, stanford_cars, oxford_flowers, food101),
        *(fgvc_aircraft, sun397, dtd, eurosat, ucf101),
        *(imagenetv2, imagenet_sketch, imagenet_a, imagenet_r),
    )
}


def folder_of(name: str, nested: bool = False) -> str:
    """A dataset's folder below the root."""
    published = CATALOG[name]
    deeper = (*published.layouts, f"{published.folder}/{published.folder}")[0]
    return deeper if nested else published.folder


def write(
    root: Path,
    sets: Sequence[str] = tuple(WRITERS),
    nested: bool = False,
    classes: int = 1000,
    train: int = 1,
) -> None:
    """Write some datasets below ``root``.

    Args:
        nested: in the layout of other copies in circulation.
        classes: most classes of each; at least four are kept.
        train: training images of a class.
    """
    for name in sets:
        tree = Tree(CATALOG[name], root / folder_of(name, nested), classes, train)
        WRITERS[name](tree)
        tree.pickles()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write made-up datasets in CoOp's layout.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default=",".join(WRITERS))
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--train", type=int, default=1)
    asked = parser.parse_args()
    write(asked.folder, asked.sets.split(","), asked.nested, asked.classes, asked.train)
