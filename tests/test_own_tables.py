"""Tables of images: what a spreadsheet may write, and the line that is wrong."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_images import ROOT, fails, params

from dpc.datasets import own, table
from dpc.errors import DpcError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ROOT.mkdir(parents=True)


def write(text: str, encoding: str = "utf-8") -> dict[str, str]:
    Path("data/pets.csv").write_bytes(text.encode(encoding))
    return {"split": "pets.csv"}


ROWS = ["image,label,split", "a.png,cat,train", "b.png,dog,train", "c.png,cat,test"]
ROWS += ["d/e.png,dog,test", "f.png,dog,val"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_read_from_any_spreadsheet(end, delimiter, encoding):
    lines = [line.replace(",", delimiter) for line in ROWS]
    found = own.listing("pets", params(**write(end.join([*lines, "", delimiter * 2]), encoding)))
    assert found.classnames == ("cat", "dog")
    assert found.splits == {
        "train": (("a.png", 0), ("b.png", 1)),
        "val": (("f.png", 1),),
        "test": (("c.png", 0), ("d/e.png", 1)),
    }
    assert found.files == (Path("data/pets.csv"),)


def test_columns_may_stand_in_any_order_and_cells_in_quotes():
    rows = ['note,"Label",IMAGE', 'x,"cat, black",./a.png', 'y,"cat, black",b.png']
    rows += ["z,owl,c.png", "z, owl ,d.png"]
    found = own.listing("pets", params(**write("\n".join(rows))))
    assert found.classnames == ("cat, black", "owl")
    assert {image for items in found.splits.values() for image, _ in items} == {
        "a.png",
        "b.png",
        "c.png",
        "d.png",
    }


def test_numbers_are_sorted_as_numbers_and_can_be_named(said):
    text = "image,label\n" + "".join(f"{key}-{n}.png,{key}\n" for key in (10, 9) for n in (1, 2))
    with said.at_level(logging.WARNING, "dpc"):
        assert own.listing("pets", params(**write(text))).classnames == ("9", "10")
        assert "the classes are called 9, 10" in said.text
        said.clear()
        found = own.listing("pets", params(**write(text), names={"9": "cat", "10": "cat"}))
    assert found.classnames == ("cat", "cat")
    assert "'9' and '10' are both called 'cat'" in said.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("image,label\n", "a header and no image"),
        ("file,label\na.png,cat\n", "no column 'image' in line 1 .file, label"),
        ("image,class\na.png,cat\n", "no column 'label' in line 1"),
        ("image,label,label\na.png,cat,dog\n", "two columns are called 'label'"),
        ("image,label\na.png,cat\nb.png\n", "line 3: 1 cells; 2 are expected"),
        ("image,label\na.png,cat,dog\n", "line 2: 3 cells; 2 are expected"),
        ("image,label\na.png,\n", "line 2: label is empty"),
        ("image,label\n,cat\n", "line 2: image is empty"),
        ("image,label,split\na.png,cat,dev\n", "line 2: split is 'dev'; train, val or test"),
        ("image,label,split\na.png,cat,train\nb.png,cat,\n", "line 3: split is ''"),
        ("image,label\na.png,cat\n\n./a.png,dog\n", "line 4: a.png .* line 2 already, as 'cat'"),
        ("image,label\na.png,cat\na.png,cat\n", "line 3: a.png stands in line 2 already;"),
        ('image,label\n"a.png,cat\n', "line 2: "),
        ("image,label\n/etc/passwd,cat\nb.png,dog\n", "line 2: '/etc/passwd' leaves the folder"),
        ("image,label\n../a.png,cat\nb.png,dog\n", r"line 2: '\.\./a\.png' leaves the folder"),
    ],
)
def test_the_line_that_is_wrong_is_named(text, words):
    fails(words, **write(text))


def test_a_table_that_is_none_is_refused():
    fails("is no UTF-8", **write("image,label\ncafé.png,café\n", "latin-1"))
    fails(r"table data/no\.csv is missing", split="no.csv")
    fails(r"split is 'pets\.txt'; a \.json split file, a \.csv table or nothing", split="pets.txt")
    Path("data/folder.csv").mkdir()
    fails(r"data/folder\.csv is a folder", split="folder.csv")


@given(st.text(max_size=60))
def test_any_text_is_a_table_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("image,label\n" + text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        table.read(path)
    except DpcError as problem:
        assert "\n" not in str(problem)
