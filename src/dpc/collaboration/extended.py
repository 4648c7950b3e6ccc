"""The batches of stage two: images, and beside them images of the classes that P confuses."""

import copy
from collections.abc import Generator
from typing import NamedTuple

import torch
from torch import Tensor

from dpc.backbones.base import Backbone, Task
from dpc.clip.model import similarity
from dpc.clip.views import Bank, Views, join
from dpc.collaboration.negatives import Extended, Pool, extend, hard_negatives, rank
from dpc.collaboration.recipe import Finetuning
from dpc.errors import DpcError
from dpc.training import epoch_generator, shuffled_batches

# Draws of negatives must not repeat the stream that shuffles the images of the same epoch.
DRAW_STREAM = 0x5DEECE66D
RANKED = 64  # images of a forward pass that ranks their negatives; it keeps no gradient


class Choice(NamedTuple):
    """What a batch holds before any image is looked at."""

    images: Tensor  # (B,) of the batch, rows of the bank
    rows: Extended
    drawn: Tensor  # (n − B,) images of the negatives, rows of the pool

    @property
    def anchors(self) -> Tensor:
        """(n − B,) for each negative the image that it was taken for, a row of the bank."""
        return self.images[self.rows.own.cumsum(0)[~self.rows.own] - 1]


class Drawn(NamedTuple):
    """How often images of one class drew a hard negative of another."""

    label: int
    negative: int  # its class
    times: int
    anchor: int  # row of the bank: the image that drew it the last time
    drawn: int  # row of the pool: what was drawn then


class Sampler:
    """The batches of an epoch, and the size of those of the last epoch.

    P never changes, so that the negatives of an image follow from its view alone: they are ranked
    once for each view, many images at a time, before the epoch that first shows it.

    Args:
        task: the base classes.
        tuned: P, which ranks.
        bank: training images.
        pool: images that negatives are drawn from.
        recipe: B, K and how they are used.
        seed: decides the order of images and the draws of negatives, epoch by epoch.

    Raises:
        DpcError: a class without an image in the pool.
    """

    def __init__(
        self, task: Task, tuned: Backbone, bank: Bank, pool: Bank, recipe: Finetuning, seed: int
    ):
        self.task, self.bank, self.pool_bank = task, bank, pool
        self.device = task.clip.device
        # In eval mode, and a copy: mining must not move the statistics of a BatchNorm in P.
        self.tuned = copy.deepcopy(tuned).to(self.device).eval()
        self.recipe, self.seed = recipe, seed
        self._check_pool(pool.labels)
        self.pool = Pool(pool.labels)
        self.indices = shuffled_batches(len(bank.labels), recipe.batch, seed)
        self.pairs = self.steps = 0
        self._rankings: dict[int, Tensor] = {}
        if recipe.objective == "contrastive":
            with torch.no_grad():
                self.guide = self.tuned.text_features(task)  # (C, d)

    def _check_pool(self, labels: Tensor) -> None:
        counts = labels.cpu().bincount(minlength=len(self.task.classnames)).tolist()
        for name, count in zip(self.task.classnames, counts, strict=False):
            if count == 0 and self.recipe.objective == "contrastive":
                raise DpcError(
                    f"class {name!r} has no training image, so that it cannot be a hard negative; "
                    "take dpc.objective cross_entropy, or give the class images"
                )

    def plain(self, epoch: int) -> Generator[tuple[Views, Tensor]]:
        """Images alone, B at a time."""
        self.pairs = self.steps = 0
        for index in self.indices(epoch):
            self._count(len(index))
            labels = self.bank.labels[index].to(self.device)
            yield self.bank.views(index, epoch).to(self.device), labels

    def extended(self, epoch: int) -> Generator[tuple[Views, Tensor]]:
        """Images and their hard negatives; all of them show the epoch's view."""
        self.pairs = self.steps = 0
        for index, rows, drawn in self.chosen(epoch):
            self._count(len(rows.labels))
            batch = self.bank.views(index, epoch).to(self.device)
            negative = self.pool_bank.views(drawn, epoch).to(self.device)
            yield _placed(batch, negative, rows.own), rows.labels.to(self.device)

    def chosen(self, epoch: int) -> Generator[Choice]:
        """The extended batches of an epoch, as often as it is asked the same ones."""
        generator = epoch_generator(self.seed ^ DRAW_STREAM, epoch)
        labels, ranking = self.bank.labels.cpu(), self.ranking(epoch % self.bank.count)
        for index in self.indices(epoch):
            negatives = hard_negatives(
                ranking[index], labels[index], self.recipe.k, self.recipe.refill
            )
            rows = extend(labels[index], negatives)
            yield Choice(index, rows, self.pool.draw(rows.labels[~rows.own], generator))

    def record(self, epochs: int) -> tuple[Drawn, ...]:
        """The hard negatives of the first epochs, whether they were trained here or before a
        checkpoint; by class and negative class, in their order."""
        labels, pool = self.bank.labels.tolist(), self.pool_bank.labels.tolist()
        found: dict[tuple[int, int], Drawn] = {}
        for choice in (choice for epoch in range(epochs) for choice in self.chosen(epoch)):
            for anchor, drawn in zip(choice.anchors.tolist(), choice.drawn.tolist(), strict=True):
                pair = labels[anchor], pool[drawn]
                times = found[pair].times if pair in found else 0
                found[pair] = Drawn(*pair, times + 1, anchor, drawn)
        return tuple(found[pair] for pair in sorted(found))

    def ranking(self, view: int) -> Tensor:
        """(N, K−1) classes that P finds most similar to a view of each image, its own left out;
        with refill all C−1 of them."""
        if view not in self._rankings:
            images = torch.arange(len(self.bank.labels)).split(RANKED)
            self._rankings[view] = torch.cat([self._rank(index, view) for index in images])
        return self._rankings[view]

    @torch.no_grad()
    def _rank(self, index: Tensor, view: int) -> Tensor:
        views = self.bank.views(index, view).to(self.device)
        features = self.tuned.image_features(self.task.clip, views)
        ranked = rank(similarity(features, self.guide), self.bank.labels[index].cpu()).cpu()
        return ranked if self.recipe.refill else ranked[:, : self.recipe.k - 1]

    def _count(self, pairs: int) -> None:
        self.pairs += pairs
        self.steps += 1


def _placed(batch: Views, negatives: Views, own: Tensor) -> Views:
    """Rows of the batch and of the pool, in the order of the extended batch; ``own`` (n,) says
    which are the batch's."""
    place = torch.where(own, own.cumsum(0) - 1, own.sum() + (~own).cumsum(0) - 1)
    device = next(part.device for part in batch if part is not None)
    return join(batch, negatives, place.to(device))
