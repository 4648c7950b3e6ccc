"""Stage one: the tuned prompt."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dpc.backbones.averaging import Average, gaussian_weights
from dpc.backbones.base import Backbone, Task
from dpc.backbones.recipe import Recipe
from dpc.clip.views import Bank, Views
from dpc.training import sgd, shuffled_batches, train, warmup_cosine

History = dict[str, list[float]]


class Progress(NamedTuple):
    """A run after some epochs: all that is needed to go on exactly; tensors and numbers only."""

    epoch: int  # epochs done
    tensors: dict[str, Tensor]  # what is trained, by name
    momentum: dict[str, Tensor]  # the optimizer's buffers, by the same names
    history: History  # mean of each named loss, an entry an epoch
    average: Mapping[str, Tensor] = {}  # weighted sum of the states so far, where one is kept


def tune(
    task: Task,
    backbone: Backbone,
    bank: Bank,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> History:
    """Train ``backbone`` in place on ``bank`` and leave it in eval mode.

    An epoch's view of every image is its number, modulo the views there are.

    Args:
        task: the classes, all of the bank's labels among them.
        recipe: learning rate, epochs, batch.
        seed: decides the order of the images, epoch by epoch.
        on_epoch: called after each epoch with what :attr:`resume` takes.
        resume: go on from there; the result is that of an unbroken run, to the bit.

    Returns:
        The mean of each named loss in each epoch; empty if the backbone learns nothing.
    """
    device = task.clip.device
    backbone.to(device)
    learned = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
    if not learned:
        return {}
    indices = shuffled_batches(len(bank.labels), recipe.batch, seed)

    def batches(epoch: int) -> Iterator[tuple[Views, Tensor]]:
        for index in indices(epoch):
            yield bank.views(index, epoch).to(device), bank.labels[index].to(device)

    optimizer = sgd(learned.values(), recipe.momentum, recipe.weight_decay)
    history = restore(resume, backbone, optimizer)
    average = averaging(recipe.average, recipe.epochs, resume)
    train(
        backbone,
        batches,
        lambda views, labels: backbone.losses(task, views, labels),
        optimizer,
        warmup_cosine(recipe.lr, recipe.epochs, recipe.warmup_lr),
        recorder(history, backbone, optimizer, on_epoch, average),
        start=0 if resume is None else resume.epoch,
    )
    if average is not None:
        average.replace(backbone)
    backbone.eval()
    return history


def averaging(
    fractions: tuple[float, float] | None, epochs: int, resume: Progress | None
) -> Average | None:
    """The average over ``epochs`` with that mean and deviation, at the start or as far as
    ``resume`` got; None without fractions."""
    if fractions is None:
        return None
    weights = gaussian_weights(epochs, *fractions)
    return Average(weights, {} if resume is None else resume.average)


def restore(
    resume: Progress | None, module: nn.Module, optimizer: torch.optim.Optimizer
) -> History:
    """Put ``resume`` back into the module and its optimizer; the history so far, a copy."""
    if resume is None:
        return {}
    module.load_state_dict(resume.tensors)
    for name, parameter in module.named_parameters():
        if name in resume.momentum:
            buffer = resume.momentum[name].to(parameter.device).clone()
            optimizer.state[parameter]["momentum_buffer"] = buffer
    return {name: list(values) for name, values in resume.history.items()}


def recorder(
    history: History,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    on_epoch: Callable[[Progress], None] | None,
    average: Average | None = None,
) -> Callable[[int, Mapping[str, float]], None]:
    """A callback for ``train`` that fills ``history`` and ``average`` and hands a
    :class:`Progress` on."""

    def record(epoch: int, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            history.setdefault(name, []).append(value)
        if average is not None:
            average.add(epoch, module)
        if on_epoch is None:
            return
        tensors = {name: value.detach().clone() for name, value in module.state_dict().items()}
        momentum = {
            name: optimizer.state[parameter]["momentum_buffer"].clone()
            for name, parameter in module.named_parameters()
            if optimizer.state[parameter].get("momentum_buffer") is not None
        }
        copied = {name: list(values) for name, values in history.items()}
        summed = {} if average is None else dict(average.sum)
        on_epoch(Progress(epoch + 1, tensors, momentum, copied, summed))

    return record
