"""Stage two: the parallel prompt, trained on the classes that the tuned prompt confuses."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.backbones.base import Backbone, Task
from dpc.backbones.fitting import History, Lesson, Progress, fit
from dpc.clip.model import logits
from dpc.clip.views import Bank, Views
from dpc.collaboration.extended import Drawn, Sampler
from dpc.collaboration.loss import contrastive_loss
from dpc.collaboration.parametrization import parametrize_parallel, restore_parallel
from dpc.collaboration.recipe import OBJECTIVES, Finetuning
from dpc.errors import DpcError
from dpc.training import steps_an_epoch

PAIRS = "pairs"


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What stage two saw.

    Attributes:
        history: mean of each named loss in each epoch.
        steps: optimizer steps.
        images_seen: images in all batches, negatives counted.
        pairs_per_step: mean size of the extended batch; None without hard negatives.
        negatives: which were drawn, see ``Sampler.record``; None without any.
    """

    history: History
    steps: int
    images_seen: int
    pairs_per_step: float | None
    negatives: tuple[Drawn, ...] | None


class Pair(NamedTuple):
    """One training of stage two.

    Attributes:
        task: the base classes.
        tuned: the result of stage one; left as it is, to the bit.
        bank: training images.
        seed: decides the order of images and the draws of negatives, epoch by epoch.
        pool: images that negatives are drawn from; None: the bank.
    """

    task: Task
    tuned: Backbone
    bank: Bank
    seed: int
    pool: Bank | None = None


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
    """The parallel prompt: a copy of ``tuned``, trained; `finetune_together` of one."""
    pairs = [Pair(task, tuned, bank, seed, pool)]
    return finetune_together(pairs, recipe, on_epoch, resume)[0]


def finetune_together(
    pairs: Sequence[Pair],
    recipe: Finetuning,
    on_epoch: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> list[tuple[Backbone, Statistics]]:
    """The parallel prompts of several tuned ones of a kind, by one forward pass a step.

    An epoch's view of every image is its number, modulo the views there are.

    Args:
        pairs: of different seeds, with equally many images.
        recipe: how to train.
        on_epoch, resume: as in ``dpc.backbones.fitting.fit``.

    Raises:
        DpcError: a recipe that cannot be used, or a class without an image in the pool.
    """
    if recipe.objective not in OBJECTIVES:
        raise DpcError(
            f"dpc.objective is {recipe.objective!r}: allowed are {', '.join(OBJECTIVES)}"
        )
    copies = [_start(pair, recipe) for pair in pairs]
    samplers = [_sampler(pair, recipe) for pair in pairs]
    given = zip(pairs, samplers, copies, strict=True)
    lessons = [_lesson(*each, recipe) for each in given]
    frozen = copies if recipe.couplings == "frozen" else []
    pins = [pin for parallel in frozen for pin in _pin_batch_norm(parallel)]
    histories = fit(lessons, recipe, on_epoch, resume)
    for pin in pins:
        pin.remove()
    return [
        (_finished(parallel, pair.tuned, recipe), _statistics(history, sampler))
        for pair, sampler, parallel, history in zip(pairs, samplers, copies, histories, strict=True)
    ]


def _start(pair: Pair, recipe: Finetuning) -> Backbone:
    """The parallel prompt before training, stored as the optimizer is to step on it."""
    parallel = _copy_of(pair.tuned, recipe.couplings == "trained").to(pair.task.clip.device)
    names = pair.tuned.parallel_parameters()
    parametrize_parallel(parallel, names, recipe.parametrization, recipe.weight)
    return parallel


def _sampler(pair: Pair, recipe: Finetuning) -> Sampler:
    task, tuned, bank, seed, pool = pair
    return Sampler(task, tuned, bank, bank if pool is None else pool, recipe, seed)


def _lesson(pair: Pair, sampler: Sampler, parallel: Backbone, recipe: Finetuning) -> Lesson:
    return Lesson(
        f"seed{pair.seed}",
        pair.task,
        parallel,
        sampler.extended if recipe.objective == "contrastive" else sampler.plain,
        _objective(parallel, recipe),
        lambda: {PAIRS: sampler.pairs / sampler.steps},
    )


def _finished(parallel: Backbone, tuned: Backbone, recipe: Finetuning) -> Backbone:
    restore_parallel(parallel)
    _carry_along(parallel, tuned, recipe.couplings == "trained")
    return parallel.eval().requires_grad_(False)


def _objective(
    parallel: Backbone, recipe: Finetuning
) -> Callable[[Task, Views, Tensor], Mapping[str, Tensor]]:
    loss = _contrastive if recipe.objective == "contrastive" else _cross_entropy
    keep = parallel.kept_losses if recipe.keep_losses is None else recipe.keep_losses
    return lambda task, views, labels: loss(
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


def _statistics(history: History, sampler: Sampler) -> Statistics:
    steps = steps_an_epoch(len(sampler.bank.labels), sampler.recipe.batch)
    pairs = history.get(PAIRS, [])
    mined = sampler.recipe.objective == "contrastive"
    return Statistics(
        history={name: values for name, values in history.items() if name != PAIRS},
        steps=steps * len(pairs),
        images_seen=round(sum(pairs) * steps),
        pairs_per_step=sum(pairs) / len(pairs) if pairs and mined else None,
        negatives=sampler.record(len(pairs)) if mined else None,
    )
