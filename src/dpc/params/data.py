"""The sections of params.yaml about the grid and its images."""

from dataclasses import dataclass, field
from typing import Any

from dpc.baselines import BASELINES
from dpc.params.fields import SOURCE_COOP, SOURCE_DPC, param


@dataclass(frozen=True)
class Run:
    """The grid: every dataset with every backbone, with and without DPC, for every seed."""

    datasets: list[str] = param(
        lambda: ["icons-tabler"],
        "Datasets that prompts are tuned on: embedded or published ones, or names from "
        "data.on_disk (see `dpc list`).",
        unique=True,
    )
    targets: list[str] = param(
        list,
        "Further datasets that are only tested on: the targets of cross-dataset and "
        "domain-generalization, where datasets holds the one source.",
        unique=True,
    )
    backbones: list[str] = param(
        lambda: ["coop"],
        "Prompt learners to tune; each runs alone and with DPC. Zero-shot CLIP is always a row.",
        unique=True,
    )
    budget: list[str] = param(
        lambda: ["coop"],
        "Backbones tuned once more, for as many images as stages one and two see together.",
        unique=True,
    )
    ablations: list[str] = param(
        list,
        "Backbones whose ablation rungs are rows too: +TS (stage two with plain cross-entropy), "
        "+DHNO (its hard negatives and L_CL), +WE (one mix for base and new); the row with DPC "
        "adds decoupling.",
        unique=True,
        source=SOURCE_DPC,
    )
    baselines: list[str] = param(
        list,
        "Classifiers without prompts on the same shots and features, as further rows.",
        choices=tuple(BASELINES),
        unique=True,
    )
    sweeps: list[str] = param(
        list,
        "Names under sweeps: cells run again with some keys changed, for curves in the report.",
        unique=True,
    )
    seeds: list[int] = param(
        lambda: [1, 2, 3],
        "Seeds of the few-shot draw and of the training.",
        ge=0,
        le=2**31 - 1,
        unique=True,
        source=SOURCE_COOP,
    )
    shots: list[int] = param(
        lambda: [16],
        "Training images of each class, 0: all; several numbers in few-shot only.",
        ge=0,
        unique=True,
        source=SOURCE_COOP,
    )
    together: int = param(
        1,
        "Seeds of a cell that are trained in one forward pass; quicker on a GPU. Part of the "
        "result, since sums depend on it.",
        ge=1,
    )
    threads: int = param(
        1, "CPU threads of a stage; part of the result, since sums depend on it.", ge=1
    )
    workers: int | None = param(
        None,
        "Processes that decode images beside the one that computes; null: up to 8 for a GPU, none "
        "for the CPU.",
        ge=0,
    )
    gpu_share: int = param(1, "Processes that may compute on one GPU at a time.", ge=1)


@dataclass(frozen=True)
class OnDisk:
    """Own images: class folders, a table, or a split file in CoOp's form."""

    split: str = param(
        "",
        "A .json split file (train/val/test lists of [path, label, class name]), a .csv table, or "
        "nothing: class folders.",
        optional=True,
    )
    images: str = param("", "Folder of the images; paths of the split file or table start there.")
    template: str = param(
        "a photo of a {}.", "Sentence of zero-shot CLIP; {} is the class name.", optional=True
    )
    names: dict[str, str] = param(
        dict, "Class names by folder, or by label of the table: {n01440764: tench}.", optional=True
    )
    shares: list[float] = param(
        lambda: [0.5, 0.2, 0.3],
        "Shares of train, val and test where nothing says how images are split.",
        ge=0,
        le=1,
        optional=True,
    )


@dataclass(frozen=True)
class Departure:
    """Keys of a backbone's block that differ for some datasets or numbers of shots."""

    backbone: str = param("", "The prompt learner.")
    datasets: list[str] = param(list, "Datasets; empty: all.", unique=True, optional=True)
    shots: list[int] = param(list, "Numbers of shots; empty: all.", unique=True, optional=True)
    settings: dict[str, Any] = param(dict, "Its keys, as in its block.")


@dataclass(frozen=True)
class Imported:
    """Prompts of a backbone that were tuned elsewhere: files of `dpc import`."""

    tuned: str = param("", "File of P; {dataset}, {shots} and {seed} are put in.")
    parallel: str = param("", "File of P'; nothing: stage two makes it.", optional=True)


@dataclass(frozen=True)
class View:
    """Augmented training views: random resized crops, a pure function of (seed, image, index)."""

    count: int = param(
        8, "Augmented views of each training image; an epoch uses view (epoch mod count).", ge=1
    )
    seed: int = param(0, "Seed of the views, apart from the run's seeds.", ge=0)
    scale_min: float = param(
        0.08,
        "Smallest share of the image's area that a crop keeps.",
        gt=0,
        le=1,
        source="the four backbones' common recipe",
    )
    ratio_max: float = param(
        4 / 3, "Largest width-to-height ratio of a crop (the smallest is its inverse).", ge=1
    )
    flip: float = param(0.5, "Probability of a horizontal flip.", ge=0, le=1)


@dataclass(frozen=True)
class Data:
    """Where images come from and how base, new and few-shot sets are drawn."""

    root: str = param(
        "data", "Folder of the published datasets, and that paths of data.on_disk start from."
    )
    places: dict[str, str] = param(
        dict, "Folders of published datasets that lie elsewhere: {imagenet: /datasets/imagenet}."
    )
    on_disk: dict[str, OnDisk] = param(
        dict, "Own datasets by name: {name: {images: folder, template: sentence}}."
    )
    val_shots: int = param(
        4,
        "Most validation images of each class; they choose weights, their labels never train.",
        ge=1,
        source=SOURCE_COOP,
    )
    unlabelled: int = param(
        0, "Training images of each class that transductive backbones see; 0: all.", ge=0
    )
    split_by: str = param(
        "image",
        "Embedded icons: train/test split by image, or by drawing (all styles on one side).",
        choices=("image", "drawing"),
    )
    test_cap: int = param(
        20, "Embedded icons: most test images of one class, so that no class rules the test.", ge=1
    )
    views: View = field(default_factory=View, metadata={"doc": "Augmented training views."})
