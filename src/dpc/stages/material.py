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
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages.features import items_of
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures, PixelBank
from dpc.stages.states import tensors


class Material:
    """Banks of one data set for one backbone: features where it leaves images frozen, else pixels.

    A teacher's features stay on the CPU: those of a large training split fill a GPU by themselves.

    Args:
        pictures: where pixels come from; None for a backbone that needs none.
        taught: the teacher's image features, or None.
        device: where features are kept.
    """

    def __init__(self, pictures: Pictures | None, taught: Artifact | None, device: torch.device):
        self._pictures, self._taught, self._device = pictures, taught, device

    def labelled(self, shots: Artifact, part: str = "train") -> Bank:
        """Few-shot images of the tuned classes ("train"), or those for negatives ("pool")."""
        found = tensors(shots, f"{part}.")
        frozen, items = found["features"].to(self._device), items_of(shots, part)
        teacher = self._features_of(items)
        if self._pictures is None:
            return FrozenBank(frozen, found["labels"], teacher)
        return PixelBank(self._pictures, items, found["labels"], frozen, teacher)

    def unlabelled(self) -> Bank:
        """All training images of all classes, with the teacher's features; nobody reads labels.

        Raises:
            DpcError: a backbone that is no student with image prompts.
        """
        if self._pictures is None or self._taught is None:
            raise DpcError(
                "a transductive backbone prompts the image tower and learns from a teacher; this "
                "one does not: set transductive to False in its class"
            )
        items = items_of(self._taught, "image")
        labels = torch.tensor([item.label for item in items])
        features = torch.from_numpy(self._taught.tensors["image.features"])
        return PixelBank(self._pictures, items, labels, None, features)

    def _features_of(self, items: Sequence[Item]) -> Tensor | None:
        """(N, V', d_T) of the teacher; None without one."""
        if self._taught is None:
            return None
        place = {item.image: row for row, item in enumerate(items_of(self._taught, "image"))}
        rows = torch.tensor([place[item.image] for item in items])
        return torch.from_numpy(self._taught.tensors["image.features"])[rows]


@contextmanager
def material(
    params: Params,
    layout: Layout,
    dataset: str,
    clip: Clip,
    backbone: Backbone,
    taught: Artifact | None,
) -> Iterator[Material]:
    """The material of ``backbone``; closes the images at the end."""
    if not backbone.needs_images:
        yield Material(None, taught, clip.device)
        return
    with Pictures(params, layout, dataset, clip) as pictures:
        yield Material(pictures, taught, clip.device)
