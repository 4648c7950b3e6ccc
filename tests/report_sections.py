"""Made-up predictions, bins and origins of rows, for the sections that need more than numbers."""

import csv
import io
from dataclasses import replace

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


NULL = {"mean": 0.1, "low": 0.0, "high": 0.2, "p": 0.01}
CHANNELS = {
    "layers": 1,
    "width": 64,
    "step": 0.5,
    "by_layer": [0.8],
    "start": None,
    "statistics": {
        name: {"value": 0.8, "permuted": NULL, "step": NULL}
        for name in ("pearson", "spearman", "top32")
    },
}
PIXEL = (  # a picture of one
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


def every_section(nine: list[dict]) -> tuple[list[dict], ReportContext]:
    """Rows of four backbones that say all that a row can say, and a context to match.

    Args:
        nine: of ``make_nine`` on these sets and seeds.
    """
    mine = {(row["dataset"], row["method"], row["seed"]): row for row in rows()}
    found, points = [], {"k2": {"dpc.negatives.k": 2}, "k4": {"dpc.negatives.k": 4}}
    for row in nine:
        more = {} if row.get("rung") else mine.get((row["dataset"], row["method"], row["seed"]), {})
        row = row | {k: more[k] for k in ("shots", "reliability", "negatives") if k in more}
        if row["method"] == "coop+dpc":
            beyond = [{"weight": 1.2, "test": row["base"] - 1}]
            row["channels"] = {"groups": {"text_prompts": CHANNELS}, "beyond": beyond}
        found.append(row)
        if row["method"] == "zero_shot":
            probe = {"method": "linear_probe", "backbone": "linear_probe", "label": "Probe"}
            probe |= {"baseline": {"lr": 0.1}, "images_seen": 900, "base": row["base"] + 5}
            found += [row | probe | {"seed": n, "source": row["dataset"]} for n in SEEDS]
    profiles = {"text_prompts.profiles": np.linspace(0, 1, 128, dtype="float32").reshape(2, 1, 64)}
    held = {
        key: arrays | (profiles if key[1] == "coop+dpc" else {})
        for key, arrays in CONTEXT.predictions.items()
    }
    own = [row for row in nine if row["backbone"] == "coop" and not row.get("rung")]
    cells = [
        {"dataset": name, "backbone": "coop", "label": "CoOp", "transductive": False, "lacking": ""}
        | {"rows": [r | {"point": p} for p in points for r in own if r["dataset"] == name]}
        for name in SETS
    ]
    cells = [cell | {"rows": [row for row in cell["rows"] if not row["budget"]]} for cell in cells]
    sweep = {"name": "k", "title": "K × B", "points": points, "own": {"coop": "k4"}, "cells": cells}
    return found, replace(
        CONTEXT,
        predictions=held,
        sweeps=(sweep,),
        thumbnail=lambda _, image: "" if image == "bell/1.png" else PIXEL,
        params=CONTEXT.params | {"seed": 1},
        versions={"torch": "2"},
        inputs={"clip": "0123456789abcdef" * 4},
        commands=("snakemake --cores all",),
    )


def table(section, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(section.files[name])))
