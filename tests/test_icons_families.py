import pytest

from dpc.errors import DpcError
from dpc.icons import families
from dpc.icons.families import FAMILIES, Family, Font, Svgs, code_points, source_hashes, svg_texts


class Installed:
    version = "1.0"

    def __init__(self, root):
        self.root = root

    def locate_file(self, path):
        return self.root / path


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A family of one folder and one font list, drawn from ``tmp_path``."""
    sources = (Svgs("drawings/outline"), Font("a.ttf", "a.json", sizes=(24, 16)))
    item = Family("fake-icons", "1.0", sources, "downstream", "Fake", "MIT")
    monkeypatch.setitem(FAMILIES, "fake", item)
    monkeypatch.setattr(families, "distribution", lambda name: Installed(tmp_path))
    folder = tmp_path / "drawings" / "outline"
    folder.mkdir(parents=True)
    (folder / "b.svg").write_text("<svg/>")
    (folder / "a.svg").write_text("<svg></svg>")
    (tmp_path / "a.ttf").write_bytes(b"font")
    (tmp_path / "a.json").write_text('{"x-16-filled": "e001", "x-24-filled": "e002", "y-16": 7}')
    return tmp_path


def test_hashes_change_when_a_drawing_a_name_or_a_list_changes(fake):
    first = source_hashes("fake")
    assert set(first) == {"drawings/outline/*.svg", "a.ttf", "a.json"}
    assert source_hashes("fake") == first
    (fake / "drawings/outline/b.svg").write_text("<svg >")
    second = source_hashes("fake")
    assert {key for key in first if first[key] != second[key]} == {"drawings/outline/*.svg"}
    (fake / "drawings/outline/b.svg").rename(fake / "drawings/outline/c.svg")
    assert source_hashes("fake")["drawings/outline/*.svg"] != second["drawings/outline/*.svg"]
    (fake / "a.json").write_text("{}")
    assert source_hashes("fake")["a.json"] != first["a.json"]


def test_svgs_come_sorted_with_their_style_and_each_icon_at_one_size(fake):
    assert [name for name, _ in svg_texts("fake", Svgs("drawings/outline"))] == [
        "outline-a", "outline-b",
    ]  # fmt: skip
    assert code_points("fake", FAMILIES["fake"].sources[1]) == {"x-24-filled": 0xE002, "y-16": 7}


def test_missing_and_other_packages_are_one_line_with_the_fix(fake, monkeypatch):
    monkeypatch.setattr(Installed, "version", "2.0")
    with pytest.raises(DpcError, match=r"needs fake-icons 1.0, installed is 2.0: pip install"):
        source_hashes("fake")
    monkeypatch.setattr(Installed, "version", "1.0")
    (fake / "a.ttf").unlink()
    with pytest.raises(DpcError, match=r"a.ttf is missing"):
        source_hashes("fake")
    with pytest.raises(DpcError, match=r"unknown icon family 'nope'; known: mdi"):
        source_hashes("nope")


def test_every_family_is_installed_in_its_version():
    for name in FAMILIES:
        assert all(len(value) == 64 for value in source_hashes(name).values())
