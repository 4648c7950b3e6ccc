"""`dpc doctor` on datasets: layouts, counts, hashes, missing, foreign and damaged images."""

import json
import shutil

import pytest
from coop_layout import WRITERS
from doctor_trees import CLASSES, params_for, published

from dpc.datasets.catalog import CATALOG
from dpc.doctor.datasets import examine
from dpc.doctor.findings import Counts, Files
from dpc.errors import DpcError

SPLIT = sorted(name for name in WRITERS if CATALOG[name].split)


def report_of(root, name, decode=False, overrides=()):
    return examine(name, params_for(root, overrides=overrides), True, decode)[0]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_each_published_dataset_is_found_and_fine(monkeypatch, tmp_path, name, nested):
    published(monkeypatch, tmp_path, name, nested)
    report, size = examine(name, params_for(tmp_path), True, False)
    assert report.problems == ()
    assert (report.found, report.wrong_copy) == (True, False)
    assert report.layout == ("nested" if nested else "coop")
    assert report.counts.classes == report.expected.classes == len(size.classnames)
    assert report.counts.test == sum(size.test) == report.expected.test
    assert report.content is None or len(report.content) == 64
    assert any("pickles are ignored" in note for note in report.notes)
    assert report.opened is None


def test_a_hash_that_nobody_published_is_said_and_no_failure(monkeypatch, tmp_path):
    published(monkeypatch, tmp_path, "food101")
    report = report_of(tmp_path, "food101")
    assert report.expected_content is None
    assert any(report.content in note for note in report.notes)
    assert report.problems == ()


def test_one_root_a_dataset_and_a_given_place(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    assert report_of(folder, "dtd").layout == "own root"
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder, elsewhere)
    report = report_of(tmp_path / "empty", "dtd", overrides=[f"data.places.dtd={elsewhere}"])
    assert (report.layout, report.problems) == ("given", ())


@pytest.mark.parametrize("name", WRITERS)
def test_a_dataset_that_is_not_here(tmp_path, name):
    report, size = examine(name, params_for(tmp_path), True, False)
    assert size is None
    assert (report.found, report.wrong_copy) == (False, False)
    (problem,) = report.problems
    assert "was not found below" in problem.what
    assert f"data.places.{name}" in problem.fix
    assert CATALOG[name].hint in report.get[0]
    assert any("https://" in line for line in report.get)


@pytest.mark.parametrize("name", SPLIT)
def test_a_split_file_that_is_missing_is_never_made_up(monkeypatch, tmp_path, name):
    folder = published(monkeypatch, tmp_path, name)
    (folder / CATALOG[name].split).unlink()
    (problem,) = report_of(tmp_path, name).problems
    assert CATALOG[name].split in problem.what + problem.fix


def test_another_split(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    path = folder / CATALOG["dtd"].split
    content = json.loads(path.read_text())
    content["val"], content["test"] = content["test"], content["val"]
    path.write_text(json.dumps(content))
    report = report_of(tmp_path, "dtd")
    (problem,) = report.problems
    assert "something else than the published split" in problem.what
    assert report.content[:12] in problem.what
    assert "data.on_disk" in problem.fix


def test_the_hash_is_of_the_content_not_of_the_bytes(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    path = folder / CATALOG["dtd"].split
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2) + "\n\n")
    assert report_of(tmp_path, "dtd").problems == ()


def test_other_counts(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "imagenet")
    (next((folder / "images/val/n01440764").iterdir()).parent / "more.JPEG").write_bytes(b"")
    (problem,) = report_of(tmp_path, "imagenet").problems
    assert f"{CLASSES + 1} test images (for {CLASSES})" in problem.what


def test_missing_images_are_counted_and_three_are_named(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    for image in sorted(folder.glob("images/*/*_0001.jpg")):
        image.unlink()
    report = report_of(tmp_path, "dtd")
    assert report.missing.count == CLASSES
    assert len(report.missing.first) == 3
    (problem,) = report.problems
    assert f"{CLASSES} images" in problem.what
    assert f"and {CLASSES - 3} more" in problem.what


def test_a_folder_of_images_that_is_missing(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    shutil.rmtree(next((folder / "images").iterdir()))
    assert report_of(tmp_path, "dtd").missing.count == 3


def test_entries_that_leave_the_folder(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    path = folder / CATALOG["dtd"].split
    content = json.loads(path.read_text())
    content["train"][0][0] = "../../secret.jpg"
    content["test"][0][0] = "/etc/passwd"
    path.write_text(json.dumps(content))
    report = report_of(tmp_path, "dtd")
    assert report.outside == Files(2, ("../../secret.jpg", "/etc/passwd"))
    assert "names 2 images outside" in report.problems[0].what


def test_a_split_file_that_is_cut_off(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    path = folder / CATALOG["dtd"].split
    path.write_bytes(path.read_bytes()[:100])
    (problem,) = report_of(tmp_path, "dtd").problems
    assert "is not JSON" in problem.what


def test_images_are_opened_only_if_asked(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "dtd")
    monkeypatch.chdir(tmp_path)  # where the index of hashes is kept
    damaged = sorted(folder.glob("images/*/*.jpg"))[:4]
    for image in damaged:
        image.write_bytes(image.read_bytes()[:200])
    assert report_of(tmp_path, "dtd").problems == ()
    report = report_of(tmp_path, "dtd", decode=True)
    assert report.opened == 3 * CLASSES
    assert report.undecodable.count == 4
    (problem,) = report.problems
    assert "4 images cannot be decoded" in problem.what
    assert damaged[0].name in problem.what


def test_a_gif_called_jpg_can_be_opened(monkeypatch, tmp_path):
    published(monkeypatch, tmp_path, "oxford_pets")
    monkeypatch.chdir(tmp_path)
    assert report_of(tmp_path, "oxford_pets", decode=True).problems == ()


def test_class_names_that_repeat_are_a_fact(monkeypatch, tmp_path):
    folder = published(monkeypatch, tmp_path, "imagenet")
    lines = (folder / "classnames.txt").read_text().splitlines()
    lines[3] = f"{lines[3].split()[0]} {lines[1].partition(' ')[2]}"
    (folder / "classnames.txt").write_text("\n".join(lines) + "\n")
    report = report_of(tmp_path, "imagenet")
    assert report.problems == ()
    assert any("(1, 3)" in note for note in report.notes)


def test_an_own_dataset(monkeypatch, tmp_path):
    published(monkeypatch, tmp_path, "dtd")
    split = CATALOG["dtd"].split
    own = ["data.on_disk.mine.images=dtd/images", f"data.on_disk.mine.split=dtd/{split}"]
    report = report_of(tmp_path, "mine", overrides=own)
    assert (report.kind, report.found, report.problems) == ("own", True, ())
    assert report.counts == Counts(CLASSES, CLASSES, CLASSES, CLASSES)
    shutil.rmtree(tmp_path / "dtd/images")
    report = report_of(tmp_path, "mine", overrides=own)
    assert not report.found
    assert report.problems


def test_an_embedded_dataset(tmp_path):
    report = report_of(tmp_path, "icons-remix")
    assert (report.kind, report.found, report.problems) == ("embedded", True, ())
    assert report.counts.classes == 30


def test_a_name_that_nobody_knows(tmp_path):
    with pytest.raises(DpcError, match=r"dataset 'dtdd' is not known \(known: icons-tabler"):
        report_of(tmp_path, "dtdd")
