"""Made-up predictions, bins and origins of rows, for the sections that need more than numbers."""

import csv
import io

import numpy as np
from report_rows import make_rows

from dpc.evaluation.calibration import BINS
from dpc.report import provenance
from dpc.report.context import ReportContext

SETS, SEEDS = ("icons-tabler", "icons-remix"), (1, 2)
NAMES = ["bell", "cat & dog", "cloud", "star", "gear", "hat"]  # the first four are base classes
METHODS = ("coop", "coop+dpc", "zero_shot")
NEGATIVES = [
    {"label": 1, "negative": 2, "times": 7, "image": "cat/1.png", "drawn": "cloud/2.png"},
    {"label": 0, "negative": 3, "times": 4, "image": "bell/1.png", "drawn": "star/2.png"},
]


def bins(images: int, sure: float, right: float) -> list[list[float]]:
    """All images in one bin."""
    return [[images, sure, right] if n == 9 else [0, 0.0, 0.0] for n in range(BINS)]


def predictions() -> dict:
    """Random ones; DPC reads new classes as the backbone does."""
    draw, found = np.random.default_rng(0), {}
    labels = {"base": draw.integers(0, 4, 60), "new": draw.integers(0, 2, 30)}
    for dataset in SETS:
        for method in METHODS:
            for seed in ("all",) if method == "zero_shot" else [f"shots16-seed{s}" for s in SEEDS]:
                held = {}
                for part, true in labels.items():
                    guess = draw.integers(0, true.max() + 1, len(true))
                    held[f"{part}.predictions"] = np.where(
                        draw.random(len(true)) < 0.5, true, guess
                    )
                    held[f"{part}.labels"] = true
                found[dataset, method, seed] = held
        for seed in SEEDS:
            alone, mixed = (found[dataset, m, f"shots16-seed{seed}"] for m in METHODS[:2])
            mixed["new.predictions"] = alone["new.predictions"]
            mixed["record/negatives"] = np.array([[1, 2, 7], [0, 3, 4]], np.int32)
    return found


CONTEXT = ReportContext(
    params={"run": {"datasets": list(SETS), "backbones": ["coop"]}},
    clip="icons",
    datasets=[{"name": name, "classnames": NAMES, "classes_base": 4} for name in SETS],
    predictions=predictions(),
    made=[
        {name: f"{name} of {n}" for name in provenance.COLUMNS} | {"dataset": SETS[n % 2]}
        for n in range(4)
    ],
)
# confidence minus accuracy: 10 points and −5 for zero-shot CLIP, …
SURE = {"zero_shot": (60, -5), "coop": (-3, 12), "coop+dpc": (-3, 12)}


def rows() -> list[dict]:
    found = []
    for row in make_rows(SETS, SEEDS):
        more = {"shots": 16 if row["seed"] else None}
        if row["method"] in SURE:
            base, new = SURE[row["method"]]
            more["reliability"] = {"base": bins(60, 62, 62 - base), "new": bins(30, 62, 62 - new)}
        if row["dpc"]:
            more["negatives"] = NEGATIVES
        found.append(row | more)
    return found


def table(section, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(section.files[name])))
