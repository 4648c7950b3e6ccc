"""Aircraft and ImageNets that are damaged: every fault is one line that names the place."""

from pathlib import Path

import coop_layout
import pytest
from coop_layout import wnids
from published_params import params

from dpc.datasets import on_disk
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError


def fails(root: Path, name: str, words: str) -> None:
    with pytest.raises(DpcError, match=words) as caught:
        on_disk.listing(name, params(root))
    assert "\n" not in str(caught.value)


# FGVC-Aircraft


@pytest.fixture()
def aircraft(tmp_path) -> Path:
    coop_layout.write(tmp_path, ["fgvc_aircraft"], classes=4)
    return tmp_path / "fgvc_aircraft"


@pytest.mark.parametrize("name", ["images_variant_train.txt", "images_variant_test.txt"])
def test_a_missing_list_of_aircraft_is_named(aircraft, name):
    (aircraft / name).unlink()
    fails(aircraft.parent, "fgvc_aircraft", f"{name} is missing or cannot be read")


def test_missing_variants_are_named(aircraft):
    (aircraft / "variants.txt").unlink()
    fails(aircraft.parent, "fgvc_aircraft", r"variants\.txt is missing or cannot be read")


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("variants.txt", "F-16A/B\n", r"line 5: variant 'F-16A/B' is there twice"),
        ("images_variant_val.txt", "0000042 F-16C\n", "line 5: '0000042 F-16C' is no image"),
        ("images_variant_val.txt", "0000042\n", "line 5: '0000042' is no image number"),
        ("images_variant_val.txt", "../42 F/A-18\n", r"'\.\./42\.jpg' leaves the image folder"),
        ("variants.txt", "Concorde\n", "class 'Concorde' has no train image"),
    ],
)
def test_a_line_that_does_not_fit_is_named(aircraft, name, line, words):
    path = aircraft / name
    path.write_text(path.read_text() + line)
    fails(aircraft.parent, "fgvc_aircraft", words)


def test_text_that_is_no_utf8_is_named(aircraft):
    (aircraft / "variants.txt").write_bytes(b"707-320\n\xff\xfe\n")
    fails(aircraft.parent, "fgvc_aircraft", r"variants\.txt is not UTF-8")


def test_empty_variants_are_named(aircraft):
    (aircraft / "variants.txt").write_text("\n")
    fails(aircraft.parent, "fgvc_aircraft", r"variants\.txt is empty")


# ImageNet and its variants


@pytest.fixture()
def imagenet(tmp_path) -> Path:
    coop_layout.write(tmp_path, ["imagenet"], classes=4)
    return tmp_path / "imagenet"


def move(folder: Path, target: Path) -> None:
    for path in folder.iterdir():
        path.rename(target / path.name)
    folder.rmdir()


def test_flat_validation_images_are_recognised(imagenet):
    val = imagenet / "images/val"
    for wnid in wnids(4):
        move(val / wnid, val)
    fails(
        imagenet.parent,
        "imagenet",
        r"images/val holds images \(ILSVRC2012_val_00000001\.JPEG, …\) and no class folder",
    )


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_folder_that_is_missing_or_empty_is_named(imagenet, split):
    folder = imagenet / "images" / split / wnids(4)[2]
    for image in folder.iterdir():
        image.unlink()
    (folder / "notes.txt").write_text("none here")
    fails(imagenet.parent, "imagenet", f"class folder {folder} holds no image")
    (folder / "notes.txt").unlink()
    folder.rmdir()
    fails(imagenet.parent, "imagenet", f"{folder} does not exist")


def test_a_class_folder_that_links_to_itself_is_named(imagenet):
    folder = imagenet / "images/val" / wnids(4)[2]
    move(folder, folder.parent / wnids(4)[1])
    folder.symlink_to(folder)
    fails(imagenet.parent, "imagenet", f"{folder}.*(cannot be read|link|does not exist)")


def test_a_folder_of_another_class_is_named(imagenet):
    (imagenet / "images/train/n99999999").mkdir()
    fails(imagenet.parent, "imagenet", r"train/n99999999 is no class of .*classnames\.txt")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"n01440764 again\n", "line 5: n01440764 is there twice"),
        (b"n99999999\n", "line 5: 'n99999999' is no WordNet id and a name"),
        (b"n99999999 caf\xe9\n", r"classnames\.txt is not UTF-8"),
    ],
)
def test_a_wrong_line_of_class_names_is_named(imagenet, line, words):
    path = imagenet / "classnames.txt"
    path.write_bytes(path.read_bytes() + line)
    fails(imagenet.parent, "imagenet", words)


def test_class_names_that_are_missing_or_empty(imagenet):
    (imagenet / "classnames.txt").write_text("\n")
    fails(imagenet.parent, "imagenet", r"classnames\.txt is empty")
    (imagenet / "classnames.txt").unlink()
    fails(imagenet.parent, "imagenet", r"imagenet/classnames\.txt is missing")


@pytest.mark.parametrize("folder", ["7", "n01440764", "²", "-1", "1.5"])
def test_a_folder_of_imagenetv2_that_is_no_number_of_a_class(tmp_path, folder):
    coop_layout.write(tmp_path, ["imagenetv2"], classes=4)
    (tmp_path / "imagenetv2" / CATALOG["imagenetv2"].images / folder).mkdir()
    fails(tmp_path, "imagenetv2", f"/{folder} is no class: numbers from 0 to 3 are expected")


def test_a_class_of_imagenetv2_without_a_folder(tmp_path):
    coop_layout.write(tmp_path, ["imagenetv2"], classes=4)
    images = tmp_path / "imagenetv2" / CATALOG["imagenetv2"].images
    move(images / "2", images / "3")
    fails(tmp_path, "imagenetv2", f"{images}/2 does not exist")


@pytest.mark.parametrize("name", ["imagenet_sketch", "imagenet_a", "imagenet_r"])
def test_a_variants_folder_that_is_no_class(tmp_path, name):
    coop_layout.write(tmp_path, [name], classes=4)
    folder = tmp_path / CATALOG[name].folder / CATALOG[name].images / "n00000001"
    folder.mkdir()
    fails(tmp_path, name, "n00000001 is no class of")


def test_an_empty_class_of_a_variant(tmp_path):
    coop_layout.write(tmp_path, ["imagenet_r"], classes=4)
    folder = tmp_path / "imagenet-rendition/imagenet-r" / wnids(1)[0]
    for image in folder.iterdir():
        image.unlink()
    fails(tmp_path, "imagenet_r", f"class folder {folder} holds no image")
