"""A small dataset on disk: six classes of simple drawings, and their split file."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("cloud", "heart", "house", "star", "tree", "bell")
BLOCK = "{split: shapes/split.json, images: shapes/images, template: 'an icon of a {}.'}"
OVERRIDES = (f"+data.on_disk.shapes={BLOCK}", "run.datasets=[shapes]", "run.seeds=[1]")


def write_dataset(root: Path) -> None:
    """Eight images a class below ``root``/data/shapes: four train, two validate, two test."""
    split: dict[str, list] = {"train": [], "val": [], "test": []}
    noise = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        for number in range(8):
            image = Image.new("RGB", (64, 64), "white")
            corners = [tuple(noise.integers(4, 60, 2)) for _ in range(3 + label)]
            ImageDraw.Draw(image).polygon([(int(x), int(y)) for x, y in corners], fill="black")
            path = root / "data" / "shapes" / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
            place = "train" if number < 4 else "val" if number < 6 else "test"
            split[place].append([f"{name}/{number}.png", label, name])
    (root / "data" / "shapes" / "split.json").write_text(json.dumps(split))
