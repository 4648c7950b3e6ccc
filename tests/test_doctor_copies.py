"""Copies that go by a dataset's name and are something else."""

import pytest
from doctor_trees import params_for, published

from dpc.datasets.catalog import CATALOG
from dpc.doctor.copies import RULES, recognise
from dpc.doctor.datasets import examine

# name of the dataset, files that lie there, words of the verdict, words of the fix
WRONG = {
    "cars-renamed": ("stanford_cars", ["cars_train/Audi_TT_01.jpg"], "other file names", "05266"),
    "cars-by-class": (
        "stanford_cars",
        ["cars_train/Audi TT 2012/00001.jpg", "cars_test/Audi TT 2012/2.jpg"],
        "sorted into classes",
        "original names",
    ),
    "cars-nested-renamed": (
        "stanford_cars",
        ["cars_train/cars_train/1.jpg"],
        "other file names",
        "original names",
    ),
    "cars-kaggle": ("stanford_cars", ["car_data/car_data/train/x/1.jpg"], "class folders", "names"),
    "dogs": (
        "oxford_pets",
        ["images/n02086646-Blenheim_spaniel/n02086646_1.jpg"],
        "Stanford Dogs",
        "Abyssinian_1.jpg",
    ),
    "dogs-archive": ("oxford_pets", ["Images/n02085620-Chihuahua/a.jpg"], "Stanford Dogs", "Pet"),
    "sun-halves": ("sun397", ["SUN397/train/a.jpg", "SUN397/test/b.jpg"], "50-50", "SUN397/a"),
    "sun-halves-above": ("sun397", ["train/a.jpg", "test/b.jpg"], "50-50", "SUN397.tar.gz"),
    "bands": ("eurosat", ["AnnualCrop/AnnualCrop_1.tif"], "13 spectral bands", "EuroSAT.zip"),
    "bands-in-2750": ("eurosat", ["2750/Forest/Forest_1.tif"], "13 spectral bands", "2750"),
    "bands-archive": (
        "eurosat",
        ["ds/images/remote_sensing/otherDatasets/sentinel_2/tif/Forest/Forest_1.tif"],
        "13 spectral bands",
        "RGB",
    ),
    "val-flat": (
        "imagenet",
        ["images/train/n01440764/a.JPEG", "images/val/ILSVRC2012_val_00000001.JPEG"],
        "without a class folder",
        "valprep.sh",
    ),
    "v2-threshold": (
        "imagenetv2",
        ["imagenetv2-threshold0.7-format-val/0/a.jpeg"],
        "another choice",
        "matched-frequency",
    ),
    "v2-top": (
        "imagenetv2",
        ["imagenetv2-top-images-format-val/0/a.jpeg"],
        "another choice",
        "matched-frequency",
    ),
    "sketch": ("imagenet_sketch", ["sketch/n01440764/a.JPEG"], "name that the archive", "mv "),
    "food-official": (
        "food101",
        ["meta/train.json", "images/apple_pie/1.jpg"],
        "750/250",
        "split_zhou_Food101.json",
    ),
    "aircraft": ("fgvc_aircraft", ["data/variants.txt"], "one folder too deep", "variants.txt"),
    "videos": ("ucf101", ["UCF-101/Archery/v_Archery_g01_c01.avi"], "videos", "midframes"),
}


def lay(folder, files):
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize("case", WRONG)
def test_each_known_wrong_copy(tmp_path, case):
    name, files, verdict, fix = WRONG[case]
    lay(tmp_path / CATALOG[name].folder, files)
    report, size = examine(name, params_for(tmp_path), True, False)
    assert size is None or report.problems
    problem = report.problems[0]
    assert report.wrong_copy, report
    assert verdict in problem.what
    assert fix in problem.fix
    assert "\n" not in problem.what + problem.fix
    assert len(report.problems) == 1


def test_every_rule_is_tested():
    assert {name for name, *_ in WRONG.values()} == set(RULES)


def test_kaggle_cars_beside_the_right_split(monkeypatch, tmp_path):
    """The split is fine and the files are not: one line says why, instead of the missing ones."""
    folder = published(monkeypatch, tmp_path, "stanford_cars")
    for image in folder.glob("cars_*/*.jpg"):
        image.rename(image.with_name(f"car-{image.name}"))
    report, _ = examine("stanford_cars", params_for(tmp_path), True, False)
    assert report.missing.count == report.counts.train + report.counts.val + report.counts.test
    (problem,) = report.problems
    assert "other file names" in problem.what


@pytest.mark.parametrize("name", RULES)
def test_no_rule_mistakes_the_original(monkeypatch, tmp_path, name):
    folder = published(monkeypatch, tmp_path, name)
    inner = folder / CATALOG[name].images
    assert recognise(name, [folder, inner, tmp_path, tmp_path / "nothing"]) == []
    assert recognise("dtd", [folder]) == []


def test_a_whole_aircraft_archive_is_only_another_layout(monkeypatch, tmp_path):
    """fgvc-aircraft-2013b/data inside the folder is found, so that nothing has to be moved."""
    folder = published(monkeypatch, tmp_path / "a", "fgvc_aircraft")
    place = tmp_path / "b/fgvc_aircraft/fgvc-aircraft-2013b/data"
    place.parent.mkdir(parents=True)
    folder.rename(place)
    report, _ = examine("fgvc_aircraft", params_for(tmp_path / "b"), True, False)
    assert (report.found, report.problems) == (True, ())
