"""Published datasets: what their readers make of good trees."""

import json
from pathlib import Path

import coop_layout
import pytest
from coop_layout import wnids
from published_params import params

from dpc.datasets import PUBLISHED, TEST_ONLY, on_disk, split_file
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError

CLASSES = 8


@pytest.fixture(scope="module")
def coop(tmp_path_factory) -> Path:
    """All datasets in CoOp's layout; tests here only read it."""
    root = tmp_path_factory.mktemp("coop")
    coop_layout.write(root, classes=CLASSES, train=3)
    return root


def test_the_catalog_and_the_registry_name_the_same_datasets():
    assert list(CATALOG) == list(PUBLISHED) == list(coop_layout.WRITERS)
    assert tuple(name for name, published in CATALOG.items() if published.test_only) == TEST_ONLY
    for name, published in CATALOG.items():
        assert published.name == name
        assert published.template.count("{}") == 1
        assert (published.content is None) or len(published.content) == 64
        assert bool(published.split) == (PUBLISHED[name] == "dpc.datasets.zhou:listing")
        assert published.variant_of == ("imagenet" if published.test_only else None)
        assert "\n" not in published.hint
        assert published.pages


@pytest.mark.parametrize(
    ("name", "sizes"),
    {
        "imagenet": (1000, 1281167, None, 50000),
        "caltech101": (100, 4128, 1649, 2465),
        "oxford_pets": (37, 2944, 736, 3669),
        "stanford_cars": (196, 6509, 1635, 8041),
        "oxford_flowers": (102, 4093, 1633, 2463),
        "food101": (101, 50500, 20200, 30300),
        "fgvc_aircraft": (100, 3334, 3333, 3333),
        "sun397": (397, 15880, 3970, 19850),
        "dtd": (47, 2820, 1128, 1692),
        "eurosat": (10, 13500, 5400, 8100),
        "ucf101": (101, 7639, 1898, 3783),
        "imagenetv2": (1000, None, None, 10000),
        "imagenet_sketch": (1000, None, None, 50889),
        "imagenet_a": (200, None, None, 7500),
        "imagenet_r": (200, None, None, 30000),
    }.items(),
)
def test_published_sizes(name, sizes):
    published = CATALOG[name]
    assert (published.classes, published.train, published.val, published.test) == sizes


@pytest.mark.parametrize("name", CATALOG)
def test_every_reader_reads_its_tree(coop, name):
    published = CATALOG[name]
    found = on_disk.listing(name, params(coop))
    count = min(CLASSES, published.classes)
    assert len(found.classnames) == count
    assert found.template == published.template
    sizes = {split: len(items) for split, items in found.splits.items()}
    assert sizes["test"] == count
    assert sizes["train"] == (0 if published.test_only else 3 * count)
    assert sizes["val"] == (0 if published.test_only or name == "imagenet" else count)
    for items in found.splits.values():
        for image, label in items:
            assert (found.folder / image).is_file()
            assert 0 <= label < count
    assert all(path.is_file() and path.suffix != ".pkl" for path in found.files)
    assert len({image for items in found.splits.values() for image, _ in items}) == sum(
        sizes.values()
    )


def test_rows_keep_the_order_of_the_split_file(coop):
    for name in ("oxford_flowers", "stanford_cars"):
        found = on_disk.listing(name, params(coop))
        rows = json.loads(found.files[0].read_text())
        for split, items in found.splits.items():
            assert list(items) == [(image, label) for image, label, _ in rows[split]]
        labels = [label for _, label in found.splits["train"]]
        assert labels != sorted(labels)


def test_names_with_slashes_numbers_with_zeros(coop):
    found = on_disk.listing("fgvc_aircraft", params(coop))
    assert found.classnames[:3] == ("707-320", "F-16A/B", "F/A-18")
    assert found.splits["train"][0] == ("0000001.jpg", 0)
    assert [path.name for path in found.files] == [
        "variants.txt",
        *(f"images_variant_{split}.txt" for split in ("train", "val", "test")),
    ]


def test_cars_start_from_the_folder_itself(coop):
    found = on_disk.listing("stanford_cars", params(coop))
    assert found.folder == coop / "stanford_cars"
    assert {image.split("/")[0] for image, _ in found.splits["test"]} == {"cars_test"}


def test_imagenet_sorts_classes_and_images(tmp_path):
    coop_layout.write(tmp_path, ["imagenet"], classes=4, train=12)
    found = on_disk.listing("imagenet", params(tmp_path))
    images = [image for image, label in found.splits["train"] if label == 1]
    assert images == sorted(images)
    assert len(images) == 12
    assert [label for _, label in found.splits["test"]] == [0, 1, 2, 3]
    assert found.splits["test"][2][0].startswith(f"val/{wnids(4)[2]}/")


def test_imagenet_takes_images_of_any_suffix_and_nothing_else(tmp_path):
    coop_layout.write(tmp_path, ["imagenet"], classes=4)
    folder = tmp_path / "imagenet/images/train" / wnids(1)[0]
    for name in ("b.jpg", "a.PNG", ".hidden.jpg", "notes.txt", "x.JPEG.part"):
        (folder / name).write_bytes(b"")
    (tmp_path / "imagenet/images/train/README.txt").write_text("hello")
    found = on_disk.listing("imagenet", params(tmp_path)).splits["train"]
    names = [image.rpartition("/")[2] for image, label in found if label == 0]
    assert names == ["a.PNG", "b.jpg", f"{wnids(1)[0]}_1.JPEG"]


def test_two_imagenet_classes_may_share_a_name(tmp_path):
    coop_layout.write(tmp_path, ["imagenet"], classes=4)
    path = tmp_path / "imagenet/classnames.txt"
    path.write_text("".join(f"{wnid} missile launcher\r\n" for wnid in wnids(4)))
    found = on_disk.listing("imagenet", params(tmp_path))
    assert found.classnames == ("missile launcher",) * 4


def test_imagenetv2_counts_its_folders(tmp_path):
    coop_layout.write(tmp_path, ["imagenetv2"], classes=12)
    found = on_disk.listing("imagenetv2", params(tmp_path))
    assert [image.split("/")[0] for image, _ in found.splits["test"]] == [*map(str, range(12))]
    assert [label for _, label in found.splits["test"]] == list(range(12))
    lines = (tmp_path / "imagenetv2/classnames.txt").read_text().splitlines()
    assert found.classnames[10] == lines[10].partition(" ")[2]


def test_imagenet_a_and_r_have_label_spaces_of_their_own(tmp_path):
    coop_layout.write(tmp_path, ["imagenet_a", "imagenet_r"], classes=20)
    a, r = (on_disk.listing(name, params(tmp_path)) for name in ("imagenet_a", "imagenet_r"))
    assert len(a.classnames) == len(r.classnames) == 20
    assert not set(a.classnames) & set(r.classnames)
    for found, offset in ((a, 0), (r, 1)):
        assert [label for _, label in found.splits["test"]] == list(range(20))
        folders = [image.split("/")[0] for image, _ in found.splits["test"]]
        assert folders == wnids(100)[offset::5]
        assert "README.txt" in [path.name for path in found.folder.iterdir()]


@pytest.mark.parametrize("name", TEST_ONLY)
def test_a_variant_without_class_names_takes_imagenets(tmp_path, name):
    coop_layout.write(tmp_path, ["imagenet", name], classes=4)
    own = tmp_path / CATALOG[name].folder / "classnames.txt"
    before = on_disk.listing(name, params(tmp_path))
    own.unlink()
    after = on_disk.listing(name, params(tmp_path))
    assert after.files == (tmp_path / "imagenet/classnames.txt",)
    assert after.splits == before.splits
    (tmp_path / "imagenet/classnames.txt").unlink()
    with pytest.raises(DpcError, match=r"classnames\.txt is missing .* download it from"):
        on_disk.listing(name, params(tmp_path))


def test_images_are_hashed_and_decoded_whatever_their_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coop_layout.write(tmp_path, ["oxford_pets"], classes=4)
    gif = tmp_path / "oxford_pets/images/Abyssinian_34.jpg"
    assert gif.read_bytes().startswith(b"GIF8")
    raw = on_disk.read("oxford_pets", params(tmp_path))
    assert raw.splits["train"][0].image == gif.name
    assert len(raw.splits["train"][0].sha256) == 64
    files = on_disk.sources("oxford_pets", params(tmp_path))
    assert list(files) == ["split_zhou_OxfordPets.json", "images"]


def test_content_hash_is_of_what_a_split_says(tmp_path):
    rows = {"test": [["b.jpg", 0, "né"]], "train": [["a.jpg", 0, "né"]], "val": []}
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps(rows))
    second.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    hashes = {split_file.content_hash(split_file.parse(path)) for path in (first, second)}
    assert len(hashes) == 1
