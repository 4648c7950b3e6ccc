"""Copies that go by a dataset's name and are something else, known by what lies in the folder.

Each rule looks at names in a few folders, opens no image, and gives what it is, why numbers would
differ, and what to do.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dpc.doctor.findings import Problem

LOOKED_AT = 200  # names of a folder that are enough to know it
CAR = re.compile(r"\d{5}\.jpe?g", re.IGNORECASE)
DOG = re.compile(r"n\d{8}[-_]")
FLAT_VAL = re.compile(r"ILSVRC2012_val_\d+\.JPE?G", re.IGNORECASE)
TIFF, JPEG, VIDEO = (".tif", ".tiff"), (".jpg", ".jpeg"), (".avi",)
Rule = Callable[[Path], tuple[str, str] | None]


def recognise(name: str, folders: Sequence[Path]) -> list[Problem]:
    """What is known to be wrong about the copy of dataset ``name`` in some of ``folders``."""
    rule = RULES.get(name)
    for folder in folders if rule else ():
        found = rule(folder) if rule and folder.is_dir() else None
        if found:
            return [Problem(name, *found)]
    return []


def names_of(folder: Path) -> list[str]:
    """Names in a folder, the first few hundred; none if it is no folder that can be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry, _ in zip(entries, range(LOOKED_AT), strict=False)]
    except OSError:
        return []


def _folders(folder: Path) -> Iterator[Path]:
    return (folder / name for name in names_of(folder) if (folder / name).is_dir())


def _kaggle_cars(folder: Path) -> tuple[str, str] | None:
    fix = (
        "take an archive with the original names (cars_train/05266.jpg, cars_test/00001.jpg); "
        "do not rename by hand"
    )
    for part in ("cars_train", "cars_test"):
        for place in (folder / part, folder / part / part):
            names = names_of(place)
            pictures = [name for name in names if name.lower().endswith(JPEG)]
            odd = next((name for name in pictures if not CAR.fullmatch(name)), None)
            if odd:
                return f"{place} holds {odd}: a copy with other file names than the split's", fix
            inner = [name for name in names if (place / name).is_dir() and name != part]
            if inner and not pictures:
                return (
                    f"{place} holds folders ({inner[0]}): a copy sorted into classes, so that the "
                    "split finds no image",
                    fix,
                )
    if (folder / "car_data").is_dir():
        return f"{folder / 'car_data'} is the copy by class folders; the split finds no image", fix
    return None


def _dogs_as_pets(folder: Path) -> tuple[str, str] | None:
    for place in (folder, folder / "images", folder / "Images"):
        dog = next((name for name in names_of(place) if DOG.match(name)), None)
        if dog:
            return (
                f"{place / dog}: this is Stanford Dogs (120 breeds of dogs), not Oxford-IIIT Pets "
                "(37 breeds of cats and dogs)",
                "put images.tar.gz of the Oxford-IIIT Pet page there: images/Abyssinian_1.jpg",
            )
    return None


def _half_sun(folder: Path) -> tuple[str, str] | None:
    for place in (folder, folder / "SUN397"):
        if (place / "train").is_dir() and (place / "test").is_dir():
            return (
                f"{place} is parted into train/ and test/: the 50-50 copy, whose folders and "
                "choice of images are not those of the split",
                "take SUN397.tar.gz, whose folders are single letters: SUN397/a/abbey/…",
            )
    return None


def _multispectral(folder: Path) -> tuple[str, str] | None:
    inner = (
        "EuroSATallBands",
        "EuroSAT_MS",
        "ds/images/remote_sensing/otherDatasets/sentinel_2/tif",
    )
    for place in (folder, folder / "2750", *(folder / name for name in inner)):
        for group in ("AnnualCrop", "Forest"):
            if any(name.lower().endswith(TIFF) for name in names_of(place / group)):
                return (
                    f"{place} holds TIFF files: the copy with 13 spectral bands; CLIP reads RGB",
                    "take EuroSAT.zip, the RGB one, whose folder is called 2750",
                )
    return None


def _flat_validation(folder: Path) -> tuple[str, str] | None:
    for place in (folder / "images/val", folder / "val", folder):
        flat = next((name for name in names_of(place) if FLAT_VAL.fullmatch(name)), None)
        if flat:
            return (
                f"{place} holds {flat} without a class folder: nothing says its class",
                f"sort the 50,000 images into {place}/n01440764/… with the script valprep.sh, "
                "which is part of most ImageNet guides",
            )
    return None


def _other_v2(folder: Path) -> tuple[str, str] | None:
    right = "imagenetv2-matched-frequency-format-val"
    names = [path.name for path in (folder, *_folders(folder))]
    for name in names:
        if re.fullmatch(r"imagenetv2-(threshold.*|top-?images.*)", name) and right not in names:
            return (
                f"{folder} holds {name}: another choice of images, on which all models score "
                "several points higher",
                f"take the variant matched-frequency, whose folder is {right}",
            )
    return None


def _sketch_as_unpacked(folder: Path) -> tuple[str, str] | None:
    if (folder / "sketch").is_dir() and not (folder / "images").is_dir():
        return (
            f"{folder / 'sketch'} has the name that the archive gave it",
            f"rename it: mv {folder / 'sketch'} {folder / 'images'}",
        )
    return None


def _official_food(folder: Path) -> tuple[str, str] | None:
    if (folder / "meta/train.json").is_file() and not _has(folder, "split_zhou_Food101.json"):
        return (
            f"{folder / 'meta'} holds the official 750/250 split alone; CoOp's is another one "
            "(500/200/300 images a class), so that numbers could not be compared",
            f"put split_zhou_Food101.json of CoOp's page into {folder}",
        )
    return None


def _aircraft_archive(folder: Path) -> tuple[str, str] | None:
    for place in (folder / "data", folder / "fgvc-aircraft-2013b/data"):
        if (place / "variants.txt").is_file() and not (folder / "variants.txt").is_file():
            return (
                f"{place} is the archive as it was unpacked: one folder too deep",
                f"move what is in {place} to {folder}, so that {folder}/variants.txt is there; "
                "or name it in data.places",
            )
    return None


def _whole_videos(folder: Path) -> tuple[str, str] | None:
    for place in (folder, folder / "UCF-101"):
        for group in (place, *_folders(place)):
            if any(name.lower().endswith(VIDEO) for name in names_of(group)):
                return (
                    f"{group} holds videos; the split is of one middle frame of each, made by "
                    "CoOp's authors",
                    "take UCF-101-midframes.zip of CoOp's page",
                )
    return None


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file() or (folder.parent / name).is_file()


RULES: dict[str, Rule] = {
    "stanford_cars": _kaggle_cars,
    "oxford_pets": _dogs_as_pets,
    "sun397": _half_sun,
    "eurosat": _multispectral,
    "imagenet": _flat_validation,
    "imagenetv2": _other_v2,
    "imagenet_sketch": _sketch_as_unpacked,
    "food101": _official_food,
    "fgvc_aircraft": _aircraft_archive,
    "ucf101": _whole_videos,
}
