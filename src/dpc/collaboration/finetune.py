"""Stage two: the parallel prompt, trained on the classes that the tuned prompt confuses."""

import copy
import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.backbones.base import Backbone, Task
from dpc.backbones.tuning import History, Progress, averaging, recorder, restore
from dpc.clip.model import logits, similarity
from dpc.clip.views import Bank, Views, join
from dpc.collaboration.loss import contrastive_loss
from dpc.collaboration.negatives import Pool, extend, hard_negatives, rank
from dpc.collaboration.parametrization import parametrize_parallel, restore_parallel
from dpc.collaboration.recipe import OBJECTIVES, Finetuning
from dpc.errors import DpcError
from dpc.training import (
    epoch_generator,
    sgd,
    shuffled_batches,
    steps_an_epoch,
    train,
    warmup_cosine,
)

# Draws of negatives must not repeat the stream that shuffles the images of the same epoch.
DRAW_STREAM = 0x5DEECE66D
PAIRS = "pairs"


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What stage two saw.

    Attributes:
        history: mean of each named loss in each epoch, and "pairs", the mean size of a batch.
        steps: optimizer steps.
        images_seen: images in all batches, negatives counted.
        pairs_per_step: mean size of the extended batch; None without hard negatives.
    """

    history: History
    steps: int
    images_seen: int
    pairs_per_step: float | None


def finetune(
    task: Task,
    tuned: Backbone,
    bank: Bank,
    recipe: Finetuning,
    seed: int,
    on_epoch: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
    pool: Bank | None = None,
) -> tuple[Backbone, Statistics]:
    """The parallel prompt: a copy of ``tuned``, trained; ``tuned`` is left as it is, to the bit.

    Args:
        task: the base classes.
        tuned: the result of stage one.
        bank: training images; an epoch's view is its number, modulo the views.
        recipe: how to train.
        seed: decides the order of images and the draws of negatives, epoch by epoch.
        on_epoch, resume: as in ``dpc.backbones.tuning.tune``.
        pool: images that negatives are drawn from; None: the bank.

    Raises:
        DpcError: a recipe that cannot be used, or a class without an image in the pool.
    """
    if recipe.objective not in OBJECTIVES:
        raise DpcError(
            f"dpc.objective is {recipe.objective!r}: allowed are {', '.join(OBJECTIVES)}"
        )
    parallel = _copy_of(tuned, recipe.couplings == "trained").to(task.clip.device)
    parametrize_parallel(
        parallel, tuned.parallel_parameters(), recipe.parametrization, recipe.weight
    )
    sampler = _Sampler(task, tuned, bank, bank if pool is None else pool, recipe, seed)
    learned = [value for value in parallel.parameters() if value.requires_grad]
    optimizer = sgd(learned, recipe.momentum, recipe.weight_decay)
    history = restore(resume, parallel, optimizer)
    average = averaging(recipe.average, recipe.epochs, resume)
    record = recorder(history, parallel, optimizer, on_epoch, average)

    def on_epoch_end(epoch: int, losses: dict[str, float]) -> None:
        record(epoch, {**losses, PAIRS: sampler.pairs / sampler.steps})

    pins = _pin_batch_norm(parallel) if recipe.couplings == "frozen" else []
    train(
        parallel,
        sampler.extended if recipe.objective == "contrastive" else sampler.plain,
        _objective(task, parallel, recipe),
        optimizer,
        warmup_cosine(recipe.lr, recipe.epochs, recipe.warmup_lr),
        on_epoch_end,
        start=0 if resume is None else resume.epoch,
    )
    for pin in pins:
        pin.remove()
    if average is not None:
        average.replace(parallel)
    restore_parallel(parallel)
    _carry_along(parallel, tuned, recipe.couplings == "trained")
    return parallel.eval().requires_grad_(False), _statistics(history, bank, recipe)


class _Sampler:
    """The batches of an epoch, and the size of those of the last epoch."""

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
        if recipe.objective == "contrastive":
            with torch.no_grad():  # P never changes: its text features are needed once
                self.guide = self.tuned.text_features(task)  # (C, d)

    def _check_pool(self, labels: Tensor) -> None:
        counts = labels.cpu().bincount(minlength=len(self.task.classnames)).tolist()
        for name, count in zip(self.task.classnames, counts, strict=False):
            if count == 0 and self.recipe.objective == "contrastive":
                raise DpcError(
                    f"class {name!r} has no training image, so that it cannot be a hard negative; "
                    "take dpc.objective cross_entropy, or give the class images"
                )

    def plain(self, epoch: int) -> Iterator[tuple[Views, Tensor]]:
        """Images alone, B at a time."""
        self.pairs = self.steps = 0
        for index in self.indices(epoch):
            self._count(len(index))
            labels = self.bank.labels[index].to(self.device)
            yield self.bank.views(index, epoch).to(self.device), labels

    def extended(self, epoch: int) -> Iterator[tuple[Views, Tensor]]:
        """Images and their hard negatives; all of them show the epoch's view."""
        self.pairs = self.steps = 0
        generator = epoch_generator(self.seed ^ DRAW_STREAM, epoch)
        labels = self.bank.labels.cpu()
        ready = None
        if not self.tuned.needs_images:  # one pass ranks the negatives of all images
            everything = self.bank.views(torch.arange(len(labels)), epoch).to(self.device)
            ready = self._rank(everything, labels)
        for index in self.indices(epoch):
            batch = self.bank.views(index, epoch).to(self.device)
            ranking = self._rank(batch, labels[index]) if ready is None else ready[index]
            negatives = hard_negatives(ranking, labels[index], self.recipe.k, self.recipe.refill)
            rows = extend(labels[index], negatives)
            drawn = self.pool.draw(rows.labels[~rows.own], generator)
            self._count(len(rows.labels))
            negative = self.pool_bank.views(drawn, epoch).to(self.device)
            yield _placed(batch, negative, rows.own), rows.labels.to(self.device)

    @torch.no_grad()
    def _rank(self, views: Views, labels: Tensor) -> Tensor:
        features = self.tuned.image_features(self.task.clip, views)
        ranking = rank(similarity(features, self.guide), labels).cpu()
        return ranking if self.recipe.refill else ranking[:, : self.recipe.k - 1]

    def _count(self, pairs: int) -> None:
        self.pairs += pairs
        self.steps += 1


def _placed(batch: Views, negatives: Views, own: Tensor) -> Views:
    """Rows of the batch and of the pool, in the order of the extended batch; ``own`` (n,) says
    which are the batch's."""
    place = torch.where(own, own.cumsum(0) - 1, own.sum() + (~own).cumsum(0) - 1)
    device = next(part.device for part in batch if part is not None)
    return join(batch, negatives, place.to(device))


def _objective(
    task: Task, parallel: Backbone, recipe: Finetuning
) -> Callable[[Views, Tensor], dict[str, Tensor]]:
    loss = _contrastive if recipe.objective == "contrastive" else _cross_entropy
    keep = parallel.kept_losses if recipe.keep_losses is None else recipe.keep_losses
    return lambda views, labels: loss(
        task, parallel, views, labels, keep, recipe.regularize == "all"
    )


def _contrastive(
    task: Task,
    parallel: Backbone,
    views: Views,
    labels: Tensor,
    keep: tuple[str, ...],
    everything: bool,
) -> dict[str, Tensor]:
    """L_CL over the extended batch; only its classes go through the text tower, each once, unless
    a kept loss is to see ``everything``."""
    classes, rows = labels.unique(return_inverse=True)
    seen = None if keep and everything else classes
    texts = parallel.text_features(task, seen)  # (U, d), or (C, d)
    images = parallel.image_features(task.clip, views)  # (n, d)
    filtered = texts if seen is not None else texts[classes]
    loss = contrastive_loss(images, filtered, rows, task.clip.logit_scale)
    if not keep:
        return {"contrastive": loss}
    beside = parallel.regularizers(task, views, images, texts, seen)
    return {"contrastive": loss, **_kept(beside, keep)}


def _cross_entropy(
    task: Task,
    parallel: Backbone,
    views: Views,
    labels: Tensor,
    keep: tuple[str, ...],
    everything: bool,
) -> dict[str, Tensor]:
    """Cross-entropy over all base classes: two-step tuning without DPC's optimizer."""
    texts = parallel.text_features(task)  # (C, d)
    images = parallel.image_features(task.clip, views)  # (B, d)
    scores = logits(task.clip.logit_scale, images, texts)
    losses = {"classification": F.cross_entropy(scores, labels)}
    if not keep:
        return losses
    return losses | _kept(parallel.regularizers(task, views, images, texts, None), keep)


def _kept(losses: dict[str, Tensor], keep: tuple[str, ...]) -> dict[str, Tensor]:
    unknown = [name for name in keep if name not in losses]
    if unknown:
        raise DpcError(
            f"dpc.keep_losses names {unknown[0]!r}: this backbone has "
            f"{', '.join(losses) or 'no losses of its own'}"
        )
    return {name: losses[name] for name in keep}


def _copy_of(tuned: Backbone, everything: bool) -> Backbone:
    """A copy that learns the tensors which DPC gives a parallel; with ``everything``, all that
    stage one learns."""
    parallel = copy.deepcopy(tuned).requires_grad_(False)
    names = tuned.parallel_parameters()
    if not names:
        raise DpcError(f"{type(tuned).__name__} learns nothing: there is no prompt to collaborate")
    for name, value in parallel.named_parameters():
        value.requires_grad_(everything or name in names)
    return parallel


def _carry_along(parallel: Backbone, tuned: Backbone, everything: bool) -> None:
    """What was not trained is P's, to the bit: an average over epochs moves its last digits.

    With ``everything`` trained, P's counters remain: they change no feature, and two different
    ones have no mix.
    """
    trained = set(tuned.parallel_parameters())
    carried = {
        name: value
        for name, value in tuned.state_dict().items()
        if not value.is_floating_point() or not (everything or name in trained)
    }
    parallel.load_state_dict(parallel.state_dict() | carried)


def _pin_batch_norm(module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
    """Keep BatchNorm in eval mode through training: its statistics are stage one's."""
    return [
        inner.register_forward_pre_hook(lambda norm, _: norm.eval() and None)
        for inner in module.modules()
        if isinstance(inner, nn.modules.batchnorm._BatchNorm)
    ]


def _statistics(history: History, bank: Bank, recipe: Finetuning) -> Statistics:
    steps = steps_an_epoch(len(bank.labels), recipe.batch)
    pairs = history.get(PAIRS, [])
    return Statistics(
        history={name: values for name, values in history.items() if name != PAIRS},
        steps=steps * len(pairs),
        images_seen=round(sum(pairs) * steps),
        pairs_per_step=sum(pairs) / len(pairs)
        if pairs and recipe.objective == "contrastive"
        else None,
    )
