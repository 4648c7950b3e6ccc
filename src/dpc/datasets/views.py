"""From a picture to a model's input: the test transform, and augmented training views.

A training view is a pure function of (view seed, content of the image, view index): it does not
depend on the order of images, on the run's seed or on how many processes decode.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from dpc.params.data import View

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class InputFormat:
    """What a CLIP's image tower takes: S × S pixels, normalised by channel."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"  # of test views; "squash": both sides, whatever the ratio


class Crop(NamedTuple):
    """A box in pixels of the original image, and whether it is mirrored."""

    left: int
    top: int
    width: int
    height: int
    flip: bool


def test_view(image: Image.Image, form: InputFormat) -> np.ndarray:
    """The shorter side to S, then the central S × S; (3, S, S) float32, normalised.

    With ``resize_mode`` "squash" both sides become S, and nothing is cut off.
    """
    width, height = image.size
    sides = (width, height) if form.resize_mode == "squash" else (min(width, height),) * 2
    resized = (int(form.size * width / sides[0]), int(form.size * height / sides[1]))
    if resized != image.size:
        image = image.resize(resized, RESAMPLING[form.interpolation])
    left = round((resized[0] - form.size) / 2)
    top = round((resized[1] - form.size) / 2)
    return _normalised(image.crop((left, top, left + form.size, top + form.size)), form)


def train_view(image: Image.Image, crop: Crop, form: InputFormat) -> np.ndarray:
    """A crop resized to S × S, mirrored if asked; (3, S, S) float32, normalised."""
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    view = image.crop(box).resize((form.size, form.size), RESAMPLING[form.interpolation])
    if crop.flip:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _normalised(view, form)


def draw_crop(size: tuple[int, int], sha256: str, index: int, params: View) -> Crop:
    """The crop of view ``index``: a random share of the area at a random ratio, as in training
    ImageNet models; after ten boxes that do not fit, the largest central one.
    """
    stream = np.random.SeedSequence([params.seed, index, int(sha256, 16)])
    generator = np.random.Generator(np.random.Philox(stream))
    width, height = size
    low, high = -math.log(params.ratio_max), math.log(params.ratio_max)
    for _ in range(10):
        area = width * height * generator.uniform(params.scale_min, 1.0)
        ratio = math.exp(generator.uniform(low, high))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(generator.integers(0, width - w + 1))
            top = int(generator.integers(0, height - h + 1))
            return Crop(left, top, w, h, bool(generator.random() < params.flip))
    w = min(width, max(1, round(height * params.ratio_max)))
    h = min(height, max(1, round(width * params.ratio_max)))
    flip = bool(generator.random() < params.flip)
    return Crop((width - w) // 2, (height - h) // 2, w, h, flip)


def _normalised(image: Image.Image, form: InputFormat) -> np.ndarray:
    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    mean, std = np.array(form.mean, np.float32), np.array(form.std, np.float32)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))
