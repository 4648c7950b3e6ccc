from collections import Counter, defaultdict

import numpy as np
import pytest

from dpc.errors import DpcError
from dpc.icons import benchmark
from dpc.icons.benchmark import DATASETS, IconDataset, build
from dpc.icons.families import FAMILIES
from dpc.icons.render import Drawing
from dpc.icons.words import content_words

STYLES = ("bold", "thin", "fill", "light")


@pytest.fixture
def small(monkeypatch):
    """Two families: "house" and "cloud" in many drawings, "star" in many weights of one."""
    icons = {}
    for family in ("one", "two"):
        names = [f"{noun}-{word}-{style}" for noun in ("house", "cloud")
                 for word in "abcde" for style in STYLES]  # fmt: skip
        names += [f"star-{style}" for style in STYLES] * (family == "one")
        icons[family] = tuple(
            Drawing(family, name, np.full((64, 64), row, np.uint8))
            for row, name in enumerate(names)
        )
    monkeypatch.setattr(benchmark, "render", icons.__getitem__)
    monkeypatch.setitem(DATASETS, "small", IconDataset(("one", "two"), 4))


@pytest.mark.parametrize("split_by", ["image", "drawing"])
def test_splits_are_disjoint_deterministic_and_of_the_stated_size(small, split_by):
    built = build("small", split_by, test_cap=12)
    again = build("small", split_by, test_cap=12)
    assert built.classnames == ("cloud", "house")  # one drawing in four weights is no class
    names = [image.name for image in built.images]
    assert len(set(names)) == len(names)
    assert [(i.name, i.split) for i in again.images] == [(i.name, i.split) for i in built.images]
    counts = Counter((image.label, image.split) for image in built.images)
    for label in (0, 1):
        assert counts[label, "test"] == 12
        assert counts[label, "val"] >= 4
        assert counts[label, "train"] >= 12


def test_split_by_drawing_keeps_the_weights_of_a_drawing_together(small):
    sides = defaultdict(set)
    for image in build("small", "drawing", test_cap=100).images:
        family, _, name = image.name.split("/")[1].partition("-")
        sides[family, tuple(content_words(name.removesuffix(".png")))].add(image.split)
    assert all(len(side) == 1 for side in sides.values())


def test_wrong_arguments_name_what_is_allowed():
    with pytest.raises(DpcError, match="icons-tabler"):
        build("nope")
    with pytest.raises(DpcError, match="'image', 'drawing'"):
        build("icons-remix", "colour")  # type: ignore[arg-type]
    with pytest.raises(DpcError, match="at least 1"):
        build("icons-remix", test_cap=0)


@pytest.mark.parametrize("name", ["icons-phosphor", "icons-remix"])
def test_real_sets_have_alphabetical_classes_and_every_class_in_every_split(name):
    built = build(name)
    assert list(built.classnames) == sorted(built.classnames)
    assert len({image.name for image in built.images}) == len(built.images)
    seen = {(image.label, image.split) for image in built.images}
    assert len(seen) == 3 * len(built.classnames)
    tests = Counter(image.label for image in built.images if image.split == "test")
    assert max(tests.values()) <= 20
    assert all(image.name.startswith(built.classnames[image.label] + "/") for image in built.images)


def test_downstream_families_are_never_pretraining_families():
    used = {family for dataset in DATASETS.values() for family in dataset.families}
    assert {FAMILIES[family].role for family in used} == {"downstream"}
