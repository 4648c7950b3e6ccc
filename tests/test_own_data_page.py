"""The commands of docs/own-data.md, as they stand there, in a project with small drawings."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from doc_blocks import run_by
from PIL import Image, ImageDraw
from tree import Tree

CLASSES = ("barn_owl", "kestrel", "red_kite", "sparrowhawk")
# What makes it short, and spares the download.
SMALL = (
    "clip.model=icons clip.pretrained=embedded run.seeds=[1] run.shots=[2] data.views.count=1 "
    "backbones.coop.epochs=1 dpc.epochs=1 dpc.batch=2 dpc.sweep=[0.0,1.0] dpc.sweep_new=[0.0]"
)


def draw(folder: Path) -> None:
    noise = np.random.default_rng(0)
    for corners, key in enumerate(CLASSES, 3):
        for number in range(8):
            image = Image.new("RGB", (48, 40), "white")
            points = [(int(x), int(y)) for x, y in noise.integers(2, 38, (corners, 2))]
            ImageDraw.Draw(image).polygon(points, fill="black")
            path = folder / key / f"{number:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


def write_table(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "split"])
        for key in CLASSES:
            for number in range(8):
                split = ("train", "val", "test")[number % 3]
                rows.writerow([f"{key}/{number:04}.jpg", key.replace("_", " "), split])


@pytest.mark.engine
@pytest.mark.slow
def test_the_page_works_as_it_is_typed(tmp_path):
    tree = Tree(tmp_path / "tree")
    draw(tree.root / "data" / "own")
    write_table(tree.root / "data" / "own.csv")
    seen = []
    for block in run_by(__file__):
        for line in block.lines:
            typed = f"{line} {SMALL}" if line.startswith("dpc params ") else line
            tree.run("bash", "-c", typed)
            if line == "dpc prepare":
                manifest = tree.root / "results" / "prepare" / "own" / "manifest.json"
                seen.append(json.loads(manifest.read_text()))
            if line.startswith("snakemake"):
                assert (tree.root / "results" / "report" / "index.html").is_file()
                assert tree.run("dpc", "verify").returncode == 0
    folders, named, table = (manifest["results"] for manifest in seen)
    assert folders["classnames"] == list(CLASSES)
    assert named["classnames"] == ["barn_owl", "common kestrel", "red_kite", "sparrowhawk"]
    assert named["template"] == "a photo of a {}, a bird of prey."
    assert table["classnames"] == ["barn owl", "kestrel", "red kite", "sparrowhawk"]
    assert [len(table["splits"][split]) for split in ("train", "val", "test")] == [12, 12, 8]
