"""Numbers of the DPC paper and of its backbones' papers, read from the CSV files in ``paper/``."""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

AVERAGE = "average"
SHOTS = 16  # of every run of the table
# The 11 data sets of the base-to-new table in its order: name in params.yaml -> name in the paper.
DATASETS = {
    "imagenet": "ImageNet",
    "caltech101": "Caltech101",
    "oxford_pets": "OxfordPets",
    "stanford_cars": "StanfordCars",
    "oxford_flowers": "Flowers102",
    "food101": "Food101",
    "fgvc_aircraft": "FGVCAircraft",
    "sun397": "SUN397",
    "dtd": "DTD",
    "eurosat": "EuroSAT",
    "ucf101": "UCF101",
}
BACKBONES = {"coop": "CoOp", "maple": "MaPLe", "promptsrc": "PromptSRC", "promptkd": "PromptKD"}


class Accuracy(NamedTuple):
    """Base, new and their harmonic mean, in percent, as printed."""

    base: float
    new: float
    h: float


@cache
def base_to_new() -> Mapping[tuple[str, str], Accuracy]:
    """(method, data set or ``AVERAGE``) -> the paper's numbers; ``coop``, ``coop+dpc``, …"""
    return {(row["method"], row["dataset"]): _accuracy(row) for row in _rows("base_to_new")}


@cache
def ablation() -> Mapping[str, Accuracy]:
    """Rung (``backbone``, ``ts``, ``dhno``, ``we``, ``we+de``, ``de``) -> CoOp's averages."""
    return {row["rung"]: _accuracy(row) for row in _rows("ablation")}


@cache
def published() -> Mapping[str, tuple[Accuracy, str]]:
    """Backbone -> the averages that its own paper (for CoOp: CoCoOp's) prints, and that paper."""
    return {row["method"]: (_accuracy(row), row["source"]) for row in _rows("published")}


def _rows(name: str) -> list[dict[str, str]]:
    text = files("dpc.report").joinpath(f"paper/{name}.csv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def _accuracy(row: Mapping[str, str]) -> Accuracy:
    return Accuracy(*(float(row[metric]) for metric in Accuracy._fields))
