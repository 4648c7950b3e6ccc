"""What a training works on: images of the shots, of their pool, or of the whole training split."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from dpc.artifacts import Artifact
from dpc.backbones.base import Backbone
from dpc.clip.model import Clip
from dpc.clip.views import Bank, FrozenBank
from dpc.datasets.base import Item
from dpc.params.sections import Params
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures, PixelBank
from dpc.stages.states import tensors


class Material:
    """Banks of one data set for one backbone: features where it leaves images frozen, else pixels.

    Args:
        pictures: where pixels come from; None for a backbone that needs none.
        teacher: what `dpc teacher` made, or None.
        device: where features are kept.
    """

    def __init__(self, pictures: Pictures | None, teacher: Artifact | None, device: torch.device):
        self._pictures, self._teacher, self._device = pictures, teacher, device

    def labelled(self, shots: Artifact, part: str = "train") -> Bank:
        """Base classes' few-shot images ("train"), or those that negatives come from ("pool")."""
        found = tensors(shots, f"{part}.")
        frozen = found["features"].to(self._device)
        if self._pictures is None:
            return FrozenBank(frozen, found["labels"])
        items = items_of(shots, part)
        return PixelBank(self._pictures, items, found["labels"], frozen, self._taught(items))

    def unlabelled(self) -> Bank:
        """All training images of all classes, with the teacher's features; nobody reads labels."""
        assert self._pictures is not None and self._teacher is not None
        items = items_of(self._teacher, "train")
        labels = torch.tensor([item.label for item in items])
        return PixelBank(self._pictures, items, labels, None, self._taught(items))

    def _taught(self, items: Sequence[Item]) -> Tensor | None:
        if self._teacher is None:
            return None
        place = {item.image: row for row, item in enumerate(items_of(self._teacher, "train"))}
        rows = torch.tensor([place[item.image] for item in items])
        return torch.from_numpy(self._teacher.tensors["image.features"])[rows].to(self._device)


@contextmanager
def material(
    params: Params,
    layout: Layout,
    dataset: str,
    clip: Clip,
    backbone: Backbone,
    teacher: Artifact | None,
) -> Iterator[Material]:
    """The material of ``backbone``; closes the images at the end."""
    if not backbone.needs_images:
        yield Material(None, teacher, clip.device)
        return
    with Pictures(params, layout, dataset, clip) as pictures:
        yield Material(pictures, teacher, clip.device)


def items_of(artifact: Artifact, part: str) -> list[Item]:
    """The images that a part of an artefact's tensors belongs to, row by row."""
    return [Item(*item) for item in artifact.results["items"][part]]
