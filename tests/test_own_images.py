"""Class folders: everything wrong with them, and splits that stay where they are."""

import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_images import ROOT, draw, fails, params

from dpc.datasets import on_disk, own
from dpc.datasets.base import check_classes
from dpc.datasets.own import parted
from dpc.errors import DpcError

SHARES = (0.5, 0.2, 0.3)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ROOT.mkdir(parents=True)


def images(split: str, **keys) -> list[str]:
    return [image for image, _ in own.listing("pets", params(**keys)).splits[split]]


def parted_folders() -> None:
    for split, numbers in {"train": (1, 2), "val": (3,), "test": (4, 5)}.items():
        draw(*(f"{split}/{key}/{n}.png" for key in ("dog", "cat", "big_owl") for n in numbers))


# Class folders


def test_folders_train_val_and_test_are_the_splits():
    parted_folders()
    draw("train/cat/more/deep/9.JPG")
    found = own.listing("pets", params(template="a drawing of a {}."))
    assert found.classnames == ("big_owl", "cat", "dog")
    assert found.splits["train"] == (
        ("train/big_owl/1.png", 0),
        ("train/big_owl/2.png", 0),
        ("train/cat/1.png", 1),
        ("train/cat/2.png", 1),
        ("train/cat/more/deep/9.JPG", 1),
        ("train/dog/1.png", 2),
        ("train/dog/2.png", 2),
    )
    assert [len(found.splits[split]) for split in ("val", "test")] == [3, 6]
    assert (found.folder, found.files, found.template) == (ROOT, (), "a drawing of a {}.")
    raw = on_disk.read("pets", params())
    check_classes("pets", raw.classnames, raw.splits)


def test_there_need_be_no_val_folder():
    draw(*(f"{split}/{key}/1.png" for split in ("train", "test") for key in ("cat", "dog")))
    assert images("val") == []


def test_class_folders_alone_are_split_by_shares():
    draw(*(f"{key}/{number}.png" for key in ("cat", "dog") for number in range(300)))
    found = own.listing("pets", params())
    sizes = [len(found.splits[split]) / 600 for split in ("train", "val", "test")]
    assert sizes == pytest.approx(SHARES, abs=0.06)
    assert found.rule == "a hash of each path: 50% train, 20% val, 30% test"
    everything = [image for items in found.splits.values() for image, _ in items]
    assert len(set(everything)) == len(everything) == 600
    assert images("val", shares=[0.7, 0.0, 0.3]) == []


def test_a_class_may_be_called_train():
    draw(*(f"{key}/{number}.png" for key in ("train", "car") for number in range(3)))
    assert own.listing("pets", params()).classnames == ("car", "train")


@pytest.mark.parametrize("only", ["train", "test"])
def test_one_half_alone_is_no_dataset(only):
    draw(f"{only}/cat/1.png", "val/cat/1.png")
    fails(f"no {'test' if only == 'train' else 'train'}/")


def test_folders_beside_train_and_test_are_named():
    parted_folders()
    draw("validation/cat/1.png")
    fails("but validation/ too")


def test_what_is_no_image_is_left_out_and_counted(said):
    parted_folders()
    for name in ("train/.DS_Store", "train/cat/notes.txt", "train/cat/.1.png", "readme.md"):
        (ROOT / name).write_text("x")
    draw("loose.png", "train/loose.png", ".trash/1.png", "__MACOSX/cat/1.png")
    with said.at_level(logging.INFO, "dpc"):
        assert len(images("train")) == 6
    assert "data/pets: 6 files that are no image of a class are left out" in said.text


def test_names_replace_those_of_folders():
    parted_folders()
    found = own.listing("pets", params(names={"big_owl": "snowy owl"}))
    assert found.classnames == ("snowy owl", "cat", "dog")
    fails("no class 'owl' .there are: big_owl, cat, dog", names={"owl": "snowy owl"})
    fails("the name of 'cat' is empty", names={"cat": " "})


def test_letters_and_their_accents_are_joined():
    draw(*(f"{key}/{n}.png" for key in ("cafe\u0301", "dog") for n in range(3)))
    assert own.listing("pets", params()).classnames == ("caf\u00e9", "dog")


def test_a_class_folder_without_images_is_named():
    parted_folders()
    (ROOT / "train" / "emu").mkdir()
    fails("class folder data/pets/train/emu holds no image")


def test_a_class_that_is_not_in_both_halves_is_named():
    parted_folders()
    draw("test/emu/1.png")
    fails("class 'emu' has images in test but none in train")
    (ROOT / "test" / "emu").rename(ROOT / "train" / "emu")
    fails("class 'emu' has images in train but none in test")
    (ROOT / "train" / "emu").rename(ROOT / "val" / "emu")
    fails("class 'emu' has images in val but none in train")


def test_a_class_of_one_image_and_one_class_are_too_few():
    draw("cat/1.png", "cat/2.png")
    fails("has one class, 'cat'")
    draw("dog/1.png")
    fails("class 'dog' has one image, dog/1.png")


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.2, 0.2], [0.0, 0.5, 0.5], [0.8, 0.2, 0.0]])
def test_shares_must_be_shares(shares):
    draw("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    fails("three numbers that add up to 1", shares=shares)


def test_no_folder_and_a_flat_one_are_explained():
    draw("1.png", "2.png")
    fails("data/pets holds no folder; one for each class")
    fails("folder data/dogs does not exist", images="dogs")
    fails("data/pets/1.png is no folder", images="pets/1.png")


def test_links_are_followed_but_not_in_circles():
    draw("cat/1.png", "cat/2.png", "elsewhere/1.png", "elsewhere/2.png")
    (ROOT / "elsewhere").rename("dogs")
    (ROOT / "dog").symlink_to(Path("dogs").absolute())
    assert own.listing("pets", params()).classnames == ("cat", "dog")
    (ROOT / "cat" / "around").symlink_to(ROOT.absolute())
    fails("is a link that leads back to a folder around it")


def test_a_file_name_that_is_no_text_is_shown():
    draw("cat/1.png", "cat/2.png", "dog/1.png")
    (ROOT / "dog/1.png").rename(os.fsdecode(b"data/pets/dog/\xff\xfe.png"))
    fails(r"data/pets/dog: the file name b'\\xff\\xfe\.png' is no UTF-8; rename it")


# Splits by shares

PATHS = st.lists(st.text("abc/._é", min_size=1), min_size=2, max_size=40, unique=True)
THIRDS = st.sampled_from([SHARES, (0.98, 0.01, 0.01), (0.01, 0.0, 0.99), (1 / 3, 1 / 3, 1 / 3)])


@given(PATHS, THIRDS)
def test_both_halves_have_an_image_whatever_the_order(paths, shares):
    found = parted(paths, shares)
    assert set(found) == set(paths)
    assert {"train", "test"} <= set(found.values())
    assert found == parted(paths[::-1], shares)


@given(PATHS, st.text("xyz", min_size=1))
def test_a_new_image_moves_no_other(paths, new):
    """But one that stood in for a half that had none."""
    before, after = parted(paths, SHARES), parted([*paths, new], SHARES)
    moved = [path for path in paths if before[path] != after[path]]
    alone = [path for path in paths if list(before.values()).count(before[path]) == 1]
    assert set(moved) <= set(alone)


def test_a_split_never_changes():
    """What is pinned here is somebody's test set."""
    found = parted([f"cat/{number}.jpg" for number in range(12)], SHARES)
    numbers = {split: [] for split in ("train", "val", "test")}
    for number, split in enumerate(found.values()):
        numbers[split].append(number)
    assert numbers == {"train": [0, 1, 3, 5, 8, 10], "val": [2, 4], "test": [6, 7, 9, 11]}


# Split files, and what all sources share


def split_file(**keys) -> dict[str, str]:
    entries = {"train": [["b.png", 1, "dog"], ["a.png", 0, "cat"]], "val": [], "test": []}
    entries["test"] = [["c.png", 0, "cat"], ["d.png", 1, "dog"]]
    Path("data/split.json").write_text(json.dumps(entries | keys))
    return {"split": "split.json"}


def test_a_split_file_is_kept_in_its_order():
    found = own.listing("pets", params(**split_file()))
    assert found.classnames == ("cat", "dog")
    assert found.splits["train"] == (("b.png", 1), ("a.png", 0))
    assert found.files == (Path("data/split.json"),)
    fails("a split file holds the names itself", **split_file(), names={"cat": "lion"})
    fails("leaves the image folder", **split_file(val=[["../x.png", 0, "cat"]]))


def test_sources_tell_content_and_names_and_stay_small():
    parted_folders()
    before = on_disk.sources("pets", params())
    assert list(before) == ["images"]
    os.utime(ROOT / "train/cat/1.png")
    assert on_disk.sources("pets", params()) == before
    (ROOT / "train/cat/1.png").rename(ROOT / "train/cat/7.png")
    renamed = on_disk.sources("pets", params())
    assert renamed != before
    draw("train/cat/7.png")
    assert on_disk.sources("pets", params()) != renamed
    draw("a.png", "b.png", "c.png", "d.png")
    assert list(on_disk.sources("pets", params(**split_file()))) == ["split.json", "images"]


def test_images_that_cannot_be_decoded_are_counted_in_one_line():
    parted_folders()
    for name in ("train/cat/1.png", "test/dog/4.png", "test/dog/5.png"):
        (ROOT / name).write_bytes(b"")
    with pytest.raises(DpcError, match=r"train/cat/1\.png cannot be decoded \(empty\), nor can 2"):
        on_disk.read("pets", params())
