"""One training, or several of one kind in one loop: what stages one and two have in common."""

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from dpc.backbones.averaging import Average, gaussian_weights
from dpc.backbones.base import Task
from dpc.clip.gathered import gathered
from dpc.clip.model import Clip
from dpc.prefetch import ahead
from dpc.training import Batch, sgd, train, warmup_cosine

History = dict[str, list[float]]


class Progress(NamedTuple):
    """A run after some epochs: all that is needed to go on exactly; tensors and numbers only."""

    epoch: int  # epochs done
    tensors: dict[str, Tensor]  # what is trained, by name
    momentum: dict[str, Tensor]  # the optimizer's buffers, by the same names
    history: History  # mean of each named loss, an entry an epoch
    average: Mapping[str, Tensor] = {}  # weighted sum of the states so far, where one is kept


class Rates(Protocol):
    """The numbers that the recipes of both stages share."""

    @property
    def lr(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warmup_lr(self) -> float: ...
    @property
    def average(self) -> tuple[float, float] | None: ...


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What one module learns, and from what.

    Attributes:
        name: tells the lessons of one loop apart; without dots.
        task: the classes; its CLIP may be exchanged for one that answers several lessons at once.
        module: what is learned.
        batches: as in ``dpc.training.train``.
        objective: (task, *batch) -> named scalar losses.
        beside: further numbers of the epoch that has just ended.
    """

    name: str
    task: Task
    module: nn.Module
    batches: Callable[[int], Generator[Batch]]
    objective: Callable[..., Mapping[str, Tensor]]
    beside: Callable[[], Mapping[str, float]] = dict


def fit(
    lessons: Sequence[Lesson],
    rates: Rates,
    on_epoch: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> list[History]:
    """Train the module of every lesson in place; the modules share nothing that is learned.

    Several lessons take their steps side by side: in each, CLIP reads the images and sentences of
    all of them in one forward pass. What each learns is what it learns alone, up to the last digits
    of larger sums.

    Args:
        lessons: of equally many batches an epoch.
        rates: learning rate, epochs, averaging.
        on_epoch: called after each epoch with what `resume` takes.
        resume: go on from there; the result is that of an unbroken run, to the bit.

    Returns:
        For each lesson the mean of each named loss in each epoch.

    Raises:
        ValueError: an epoch of one lesson has more batches than that of another.
    """
    class_ = _Alone if len(lessons) == 1 else _SideBySide
    run = class_(lessons)
    learned = [value for value in run.module.parameters() if value.requires_grad]
    optimizer = sgd(learned, rates.momentum, rates.weight_decay)
    history = _restore(resume, run.module, optimizer)
    average = _averaging(rates, resume)
    record = _recorder(history, run.module, optimizer, on_epoch, average)
    train(
        run.module,
        _early(run.batches) if _decodes_beside(lessons[0].task) else run.batches,
        run.objective,
        optimizer,
        warmup_cosine(rates.lr, rates.epochs, rates.warmup_lr),
        lambda epoch, losses: record(epoch, {**losses, **run.beside()}),
        start=0 if resume is None else resume.epoch,
    )
    if average is not None:
        average.replace(run.module)
    return run.apart(history)


class _Alone:
    """One lesson as it is."""

    def __init__(self, lessons: Sequence[Lesson]):
        (self._lesson,) = lessons
        self.module = self._lesson.module
        self.batches, self.beside = self._lesson.batches, self._lesson.beside

    def objective(self, *batch: object) -> Mapping[str, Tensor]:
        return self._lesson.objective(self._lesson.task, *batch)

    def apart(self, history: History) -> list[History]:
        return [history]


class _SideBySide:
    """Lessons as one: the module holds theirs, a batch one of each, names begin with theirs."""

    def __init__(self, lessons: Sequence[Lesson]):
        self._lessons = {lesson.name: lesson for lesson in lessons}
        self.module = nn.ModuleDict({lesson.name: lesson.module for lesson in lessons})

    def batches(self, epoch: int) -> Generator[Batch]:
        yield from zip(*(one.batches(epoch) for one in self._lessons.values()), strict=True)

    def objective(self, *batches: Batch) -> Mapping[str, Tensor]:
        lessons = list(self._lessons.values())
        calls = [_asking(*each) for each in zip(lessons, batches, strict=True)]
        return self._joined(gathered([one.task.clip for one in lessons], calls))

    def beside(self) -> Mapping[str, float]:
        return self._joined([one.beside() for one in self._lessons.values()])

    def apart(self, history: History) -> list[History]:
        return [
            {
                name.removeprefix(f"{lesson}."): values
                for name, values in history.items()
                if name.startswith(f"{lesson}.")
            }
            for lesson in self._lessons
        ]

    def _joined(self, each: Sequence[Mapping]) -> dict:
        return {
            f"{lesson}.{name}": value
            for lesson, numbers in zip(self._lessons, each, strict=True)
            for name, value in numbers.items()
        }


def _decodes_beside(task: Task) -> bool:
    """Whether the processor is free to make the next batch while a step runs."""
    return task.clip.device.type != "cpu"


def _early(batches: Callable[[int], Generator[Batch]]) -> Callable[[int], Generator[Batch]]:
    return lambda epoch: ahead(batches(epoch))


def _asking(lesson: Lesson, batch: Batch) -> Callable[[Clip], Mapping[str, Tensor]]:
    """The losses of a batch, with the CLIP as an argument."""
    return lambda clip: lesson.objective(dataclasses.replace(lesson.task, clip=clip), *batch)


def _averaging(rates: Rates, resume: Progress | None) -> Average | None:
    """The average over epochs, at the start or as far as ``resume`` got; None without one."""
    if rates.average is None:
        return None
    weights = gaussian_weights(rates.epochs, *rates.average)
    return Average(weights, {} if resume is None else resume.average)


def _restore(
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


def _recorder(
    history: History,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    on_epoch: Callable[[Progress], None] | None,
    average: Average | None,
) -> Callable[[int, Mapping[str, float]], None]:
    """A callback for ``train`` that fills ``history`` and ``average`` and hands a
    `Progress` on."""

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
