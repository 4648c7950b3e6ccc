"""What a benchmark of stage two runs over: a task, a start, and images as tensors."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dpc.backbones import resolve
from dpc.backbones.base import Backbone, Task, make_task
from dpc.clip.features import encode_images
from dpc.clip.model import Clip
from dpc.clip.views import Views

SEED = 1
ENCODED = 32  # images of a pass without gradient
TEMPLATES = 2  # of those that a backbone has
COLOURS = "amber black blue brown green grey orange purple red white"
THINGS = "anchor badger candle dolphin falcon garden helmet island kettle lantern"


@dataclasses.dataclass(frozen=True)
class AtHand:
    """A bank of tensors: (N, V, d) features and, for backbones that prompt images, (N, V, 3, S, S)
    pixels of V views of N images with ``labels`` (N,)."""

    features: Tensor
    images: Tensor | None
    labels: Tensor

    @property
    def count(self) -> int:
        return self.features.shape[1]

    def views(self, indices: Tensor, view: int) -> Views:
        view %= self.count
        images = None if self.images is None else self.images[indices, view]
        return Views(self.features[indices, view], images)


@dataclasses.dataclass(frozen=True)
class Course:
    """What both sides run over.

    Attributes:
        images: (B, V, 3, S, S) of the batch, another view in every step.
        pool: (C, 3, S, S), the image that each class brings as a negative.
        labels: (B,) classes of the batch.
        bank, negatives: the same for our side.
        image_seconds: of the frozen features, an image: by the clock, and of all cores.
    """

    task: Task
    tuned: Backbone
    name: str
    k: int
    images: Tensor
    pool: Tensor
    labels: Tensor
    bank: AtHand
    negatives: AtHand
    image_seconds: tuple[float, float]


def prepare(
    clip: Clip,
    name: str,
    params: Any,
    classnames: Sequence[str],
    labels: Tensor,
    k: int,
    views: int,
    encode: bool = True,
) -> Course:
    """A course; without ``encode`` the features are noise, which is as large and as fast."""
    generator = torch.Generator().manual_seed(SEED)
    kind: Any = resolve(name)
    tuned = kind.from_clip(clip, params, generator)
    task = make_task(clip, tuned, classnames, "a photo of a {}.")
    if templates := getattr(tuned, "templates", ()):  # once a run on both sides: before the clock
        tuned.templates = templates[:TEMPLATES]
        task.frozen_text_features(tuned.templates)
    count, size = len(labels) * views + len(classnames), clip.image_size
    coarse = 2 * torch.randn(count, 3, 8, 8, generator=generator)
    pixels = F.interpolate(coarse, size=(size, size)).to(clip.device)
    begin = now(), time.process_time()
    if encode:
        features = encode_images(clip, pixels.split(ENCODED)).to(clip.device)
    else:
        features = torch.randn(count, clip.embed_dim, generator=generator).to(clip.device)
    seconds = (now() - begin[0]) / count, (time.process_time() - begin[1]) / count
    images = pixels[len(classnames) :].unflatten(0, (len(labels), views))
    pool = pixels[: len(classnames)]
    own, others = features[len(classnames) :], features[: len(classnames)]
    seen = tuned.needs_images
    bank = AtHand(own.unflatten(0, images.shape[:2]), images if seen else None, labels)
    classes = torch.arange(len(classnames))
    negatives = AtHand(others[:, None], pool[:, None] if seen else None, classes)
    return Course(task, tuned, name, k, images, pool, labels, bank, negatives, seconds)


def class_names(count: int) -> list[str]:
    """Made-up names of two or three words."""
    names = [f"{colour} {thing}" for thing in THINGS.split() for colour in COLOURS.split()]
    return [names[n % 100] + (f" {n // 100}" if n >= 100 else "") for n in range(count)]


def now() -> float:
    """Seconds, when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
