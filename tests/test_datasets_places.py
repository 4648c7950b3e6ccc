"""Where published datasets are looked for, and what is taken for one."""

import logging
from pathlib import Path

import coop_layout
import pytest
from published_params import params

from dpc.datasets import on_disk, places
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError

CLASSES = 8


@pytest.fixture(scope="module")
def coop(tmp_path_factory) -> Path:
    """All datasets in CoOp's layout; tests here only read it."""
    root = tmp_path_factory.mktemp("coop")
    coop_layout.write(root, classes=CLASSES, train=3)
    return root


@pytest.fixture(scope="module")
def nested(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("nested")
    coop_layout.write(root, nested=True, classes=CLASSES, train=3)
    return root


@pytest.mark.parametrize("name", CATALOG)
def test_a_nested_copy_says_the_same(coop, nested, name):
    ours, other = (on_disk.listing(name, params(root)) for root in (coop, nested))
    assert (other.classnames, other.splits) == (ours.classnames, ours.splits)
    assert places.require(CATALOG[name], params(coop)).layout == "coop"
    assert places.require(CATALOG[name], params(nested)).layout == "nested"


@pytest.mark.parametrize("name", CATALOG)
def test_a_root_of_its_own_and_a_given_folder(coop, tmp_path, name):
    folder = coop / CATALOG[name].folder
    own = places.require(CATALOG[name], params(folder))
    given = places.require(CATALOG[name], params(tmp_path, **{name: folder}))
    above = places.require(CATALOG[name], params(tmp_path, **{name: coop}))
    assert (own.layout, given.layout, above.layout) == ("own root", "given", "given")
    assert {place.folder for place in (own, given, above)} == {folder}
    listings = [
        on_disk.listing(name, asked)
        for asked in (params(coop), params(folder), params(tmp_path, **{name: folder}))
    ]
    assert listings[0] == listings[1] == listings[2]


@pytest.mark.parametrize("name", ["dtd", "stanford_cars"])
def test_the_split_file_may_lie_one_level_above(tmp_path, name):
    coop_layout.write(tmp_path, [name], nested=True, classes=4)
    folder = tmp_path / coop_layout.folder_of(name, nested=True)
    split = folder / CATALOG[name].split
    split.rename(folder.parent / split.name)
    place = places.require(CATALOG[name], params(tmp_path))
    assert place.split == folder.parent / split.name
    assert on_disk.listing(name, params(tmp_path)).files == (place.split,)


def test_folders_may_be_links_with_names_of_their_own(coop, tmp_path):
    (tmp_path / "textures").symlink_to(coop / "dtd")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/dtd").symlink_to(tmp_path / "textures")
    found = on_disk.listing("dtd", params(tmp_path / "root"))
    assert found.splits == on_disk.listing("dtd", params(coop)).splits


def test_the_first_complete_copy_is_taken(tmp_path):
    """A folder of the right name that lacks the split gives way to a copy that has it."""
    (tmp_path / "dtd/images").mkdir(parents=True)
    coop_layout.write(tmp_path / "textures", ["dtd"], classes=4)
    place = places.require(CATALOG["dtd"], params(tmp_path))
    assert (place.folder, place.layout) == (tmp_path / "textures/dtd", "nested")


def test_another_dataset_is_not_mistaken_for_it(tmp_path):
    """Many have images/, and a user's own may have images/train/."""
    coop_layout.write(tmp_path, ["food101", "oxford_pets", "imagenet"], classes=4)
    (tmp_path / "mine/images/train/cat").mkdir(parents=True)
    (tmp_path / "mine/images/val/cat").mkdir(parents=True)
    for name in ("dtd", "fgvc_aircraft", "imagenet_sketch"):
        assert places.find(CATALOG[name], params(tmp_path)) is None
    assert places.find(CATALOG["imagenet"], params(tmp_path / "mine")) is None


def test_a_dataset_that_is_nowhere_is_one_line_with_what_to_do(tmp_path):
    for name, published in CATALOG.items():
        with pytest.raises(DpcError) as caught:
            on_disk.listing(name, params(tmp_path))
        line = str(caught.value)
        assert "\n" not in line
        for part in (name, published.folder, published.hint, published.pages[0], "dpc doctor"):
            assert part in line
    with pytest.raises(DpcError, match="which is no folder"):
        on_disk.listing("dtd", params(tmp_path / "nowhere"))
    with pytest.raises(DpcError, match=r"data\.places names .*/elsewhere, which is no folder"):
        on_disk.listing("dtd", params(tmp_path, dtd=tmp_path / "elsewhere"))
    with pytest.raises(DpcError, match="which holds no images/"):
        on_disk.listing("dtd", params(tmp_path, dtd=tmp_path))


def test_a_given_folder_is_the_only_one_looked_at(coop, tmp_path):
    asked = params(coop, dtd=tmp_path)
    assert places.find(CATALOG["dtd"], asked) is None


def test_a_link_that_leads_to_itself_is_no_place(tmp_path):
    (tmp_path / "dtd").symlink_to(tmp_path / "dtd")
    (tmp_path / "round").mkdir()
    (tmp_path / "round/about").symlink_to(tmp_path / "round")
    assert places.find(CATALOG["dtd"], params(tmp_path)) is None


def test_pickles_are_mentioned_in_detail_once_and_never_read(coop, said):
    said.set_level(logging.DEBUG, logger="dpc")
    places._mention_pickles.cache_clear()
    for _ in range(2):
        on_disk.sources("dtd", params(coop))
    assert [r.message for r in said.records if r.levelno == logging.DEBUG] == [
        f"{coop}/dtd/split_fewshot/shot_16-seed_1.pkl: pickles of other programs are ignored, "
        "never read"
    ]
