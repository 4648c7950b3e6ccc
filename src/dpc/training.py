"""The one training loop, its optimizer and its schedule; it knows no CLIP, prompts or files."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from dpc.errors import TrainingError

Batch = tuple  # what the objective takes, in order
Objective = Callable[..., Mapping[str, Tensor]]


def train(
    module: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    schedule: Sequence[float],
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    start: int = 0,
) -> None:
    """Train ``module`` in place: one learning rate an epoch, the sum of the named losses a step.

    Args:
        module: what is learned; put into train mode here, modules inside it may pin themselves.
        batches: epoch -> its batches, a pure function of the epoch, so that a run that starts
            at ``start`` continues exactly where an earlier one stopped.
        objective: a batch -> named scalar losses; they are summed.
        optimizer: clipping and averaging belong here, as step hooks.
        schedule: learning rate of each epoch.
        on_epoch: called after each epoch with the epoch and the mean of each named loss.
        start: first epoch to run; 0 trains from the beginning.

    Raises:
        TrainingError: a loss is not finite (nothing of that step is applied), or a tensor of
            ``module`` is not at the end of an epoch (``on_epoch`` never sees it).
    """
    module.train()
    for epoch in range(start, len(schedule)):
        for group in optimizer.param_groups:
            group["lr"] = schedule[epoch]
        sums: dict[str, float] = {}
        steps = 0
        for batch in batches(epoch):
            losses = objective(*batch)
            for name, value in losses.items():
                number = float(value.detach())
                if not math.isfinite(number):
                    raise _diverged(f"loss {name!r} is {number}", epoch, steps, schedule)
                sums[name] = sums.get(name, 0.0) + number
            optimizer.zero_grad(set_to_none=True)
            total = torch.stack([value.float() for value in losses.values()]).sum()
            total.backward()
            optimizer.step()
            steps += 1
        # The last step of all has no loss behind it that would tell.
        for name, value in module.state_dict().items():
            if not value.isfinite().all():
                raise _diverged(f"{name!r} is no longer finite", epoch, steps - 1, schedule)
        if on_epoch is not None:
            on_epoch(epoch, {name: value / steps for name, value in sums.items()})


def _diverged(what: str, epoch: int, step: int, schedule: Sequence[float]) -> TrainingError:
    return TrainingError(
        f"{what} in epoch {epoch + 1}, step {step + 1}, learning rate {schedule[epoch]:g}; "
        "lower the learning rate"
    )


def sgd(
    parameters: Iterable[nn.Parameter], momentum: float = 0.9, weight_decay: float = 5e-4
) -> torch.optim.SGD:
    """SGD of the common recipe: no dampening, no Nesterov, decay on every learned tensor.

    The learning rate is set by `train`, once an epoch.
    """
    return torch.optim.SGD(parameters, lr=0.0, momentum=momentum, weight_decay=weight_decay)


def warmup_cosine(lr: float, epochs: int, first: float = 1e-5) -> list[float]:
    """Learning rate of each epoch: ``first``, then a cosine that is counted from the second.

    lr(e) = lr/2 · (1 + cos(π (e − 1) / E)): the second epoch runs at the full rate, the period
    is all E epochs, so the last value is above 0 (the released schedule of all four backbones).
    """
    return [
        first if epoch == 0 else lr / 2 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        for epoch in range(epochs)
    ]


def shuffled_batches(n: int, size: int, seed: int) -> Callable[[int], Iterator[Tensor]]:
    """Index batches (≤ size,) of ``n`` items, shuffled every epoch by a function of (seed, epoch).

    The last incomplete batch is dropped, unless all items together are fewer than ``size``.
    """

    def of_epoch(epoch: int) -> Iterator[Tensor]:
        generator = epoch_generator(seed, epoch)
        order = torch.randperm(n, generator=generator)
        for step in range(steps_an_epoch(n, size)):
            yield order[step * size : (step + 1) * size]

    return of_epoch


def steps_an_epoch(n: int, size: int) -> int:
    """Batches of an epoch of `shuffled_batches`."""
    return max(1, n // size)


def items_an_epoch(n: int, size: int) -> int:
    """Items that those batches hold together."""
    return steps_an_epoch(n, size) * min(n, size)


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator that depends on (seed, epoch) alone: an epoch can be repeated on its own."""
    # SplitMix-like spread, so that neighbouring (seed, epoch) pairs share no stream.
    mixed = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xBF58476D1CE4E5B9) % (1 << 63)
    return torch.Generator().manual_seed(mixed)
