"""Split files that are damaged: every fault is one line that names the place."""

import json
from collections.abc import Callable
from pathlib import Path

import coop_layout
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_params import params

from dpc.datasets import on_disk, split_file
from dpc.datasets.catalog import CATALOG
from dpc.errors import DpcError

Rows = dict[str, list[list]]


def fails(root: Path, words: str) -> None:
    with pytest.raises(DpcError, match=words) as caught:
        on_disk.listing("dtd", params(root))
    assert "\n" not in str(caught.value)


@pytest.fixture()
def dtd(tmp_path) -> Path:
    coop_layout.write(tmp_path, ["dtd"], classes=4)
    return tmp_path


SPLIT = Path("dtd") / CATALOG["dtd"].split


def drop(split: str, label: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[split] = [row for row in rows[split] if row[1] != label]

    return change


def put(split: str, number: int, field: int, value: object) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[split][number][field] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("val", 1, 2, "other"), "label 1 is called 'amber_badger' and 'other'"),
        (drop("train", 2), r"class 'amber_basket' has no train image \(label 2\)"),
        (drop("test", 0), r"class 'amber_anchor' has no test image \(label 0\)"),
        (lambda rows: rows.update(test=[]), "has no test image"),
        (lambda rows: rows.pop("val"), "needs the lists train, val and test"),
        (lambda rows: rows.update(val={}), "needs the lists train, val and test"),
        (put("train", 0, 1, True), r"train\[0\] is .* is expected"),
        (put("train", 0, 1, "0"), r"train\[0\] is .* is expected"),
        (put("train", 0, 2, " "), r"train\[0\] is .* is expected"),
        (put("test", 3, 0, "/etc/passwd"), "'/etc/passwd' leaves the image folder"),
        (put("test", 3, 0, "../../secret.jpg"), "leaves the image folder"),
        (put("test", 3, 0, "a/../../x.jpg"), "leaves the image folder"),
        (put("test", 3, 0, ""), "leaves the image folder"),
        (put("test", 3, 0, "a\0.jpg"), "leaves the image folder"),
    ],
)
def test_a_wrong_entry_is_named(dtd, change, words):
    rows = json.loads((dtd / SPLIT).read_text())
    change(rows)
    (dtd / SPLIT).write_text(json.dumps(rows))
    fails(dtd, words)


@pytest.mark.parametrize("label", [9, -1])
def test_labels_leave_no_gap(dtd, label):
    rows = json.loads((dtd / SPLIT).read_text())
    for split in rows.values():
        for row in split:
            row[1] = label if row[1] == 2 else row[1]
    (dtd / SPLIT).write_text(json.dumps(rows))
    fails(dtd, r"4 labels up to \d, but none is 2")


def test_one_name_for_two_labels_is_mentioned_once(dtd, said):
    """Not refused: ImageNet has such names too."""
    rows = json.loads((dtd / SPLIT).read_text())
    for split in rows.values():
        for row in split:
            row[2] = "amber" if row[1] in (1, 3) else row[2]
    (dtd / SPLIT).write_text(json.dumps(rows))
    for _ in range(2):
        assert on_disk.listing("dtd", params(dtd)).classnames[1::2] == ("amber", "amber")
    assert said.text.count("labels 1 and 3 are both called 'amber'") == 1


def test_a_missing_split_is_never_made_up(dtd):
    (dtd / SPLIT).unlink()
    fails(dtd, r"dtd/split_zhou_DescribableTextures\.json is missing; another split is")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"train": "\xff"}', b"[" * 10**5, b"[]", b"null", b"\x89PNG\r\n"]
)
def test_a_split_that_is_no_json_is_one_line(dtd, content):
    (dtd / SPLIT).write_bytes(content)
    fails(dtd, "not JSON|needs the lists")


def test_a_truncated_split_is_one_line(dtd):
    content = (dtd / SPLIT).read_bytes()
    (dtd / SPLIT).write_bytes(content[: len(content) // 2])
    fails(dtd, "not JSON")


def test_a_split_that_cannot_be_read_is_one_line(dtd):
    (dtd / SPLIT).unlink()
    (dtd / SPLIT).mkdir()
    fails(dtd, "cannot be read: Is a directory")


def test_a_link_out_of_the_folder_is_the_users_own_doing(dtd, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk") / "picture.jpg"
    asked = params(dtd)
    found = on_disk.listing("dtd", asked)
    image = found.folder / found.splits["test"][0][0]
    image.rename(elsewhere)
    image.symlink_to(elsewhere)
    assert on_disk.listing("dtd", asked) == found
    assert on_disk.read("dtd", asked).splits["test"][0].image == found.splits["test"][0][0]


def test_an_image_that_links_to_itself_is_named(dtd):
    asked = params(dtd)
    found = on_disk.listing("dtd", asked)
    image = found.folder / found.splits["test"][0][0]
    image.unlink()
    image.symlink_to(image)
    with pytest.raises(DpcError, match=f"{image} is a link that leads back to itself"):
        on_disk.read("dtd", asked)


NAMES = st.text(min_size=1, max_size=8).filter(str.strip)


@given(st.lists(NAMES, min_size=1, max_size=9, unique=True), st.randoms())
def test_a_split_is_read_as_it_was_written(tmp_path_factory, names, order):
    path = tmp_path_factory.getbasetemp() / "any.json"
    rows = {}
    for split in ("train", "val", "test"):
        rows[split] = [(f"{split}/{label}.jpg", label, name) for label, name in enumerate(names)]
        order.shuffle(rows[split])
    path.write_text(json.dumps(rows))
    entries = split_file.parse(path)
    assert entries == rows
    assert split_file.classnames(entries, path) == tuple(names)
    listed = split_file.listed(entries, Path("images"), path)
    assert [label for _, label in listed["train"]] == [label for _, label, _ in rows["train"]]


@given(st.text(alphabet="./a\\\0é ", max_size=12))
def test_no_entry_leads_out_of_the_folder(name):
    folder = Path("/data/images")
    try:
        path = split_file.inside(folder, name, Path("split.json"))
    except DpcError:
        return
    assert path != folder
    assert folder in Path(*path.parts).parents
    assert ".." not in path.parts


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=9))
def test_any_json_is_read_or_refused_in_one_line(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "odd.json"
    path.write_text(json.dumps({"train": value, "val": [], "test": [value]}))
    try:
        entries = split_file.parse(path)
    except DpcError as problem:
        assert "\n" not in str(problem)
    else:
        assert all(len(entry) == 3 for entry in entries["test"])
