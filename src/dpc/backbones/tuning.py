"""Stage one: the tuned prompt."""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

from torch import Tensor

from dpc.backbones.base import Backbone, Task
from dpc.backbones.fitting import History, Lesson, Progress, fit
from dpc.backbones.recipe import Recipe
from dpc.clip.views import Bank, Views
from dpc.training import shuffled_batches


class Tuning(NamedTuple):
    """One training of stage one.

    Attributes:
        task: the classes, all of the bank's labels among them.
        backbone: trained in place, left in eval mode.
        bank: training images.
        seed: decides the order of the images, epoch by epoch.
    """

    task: Task
    backbone: Backbone
    bank: Bank
    seed: int


def tune(
    task: Task,
    backbone: Backbone,
    bank: Bank,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> History:
    """Train ``backbone`` in place on ``bank``: `tune_together` of one.

    Returns:
        The mean of each named loss in each epoch; empty if the backbone learns nothing.
    """
    return tune_together([Tuning(task, backbone, bank, seed)], recipe, on_epoch, resume)[0]


def tune_together(
    tunings: Sequence[Tuning],
    recipe: Recipe,
    on_epoch: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> list[History]:
    """Train backbones of one kind on several draws, by one forward pass a step.

    An epoch's view of every image is its number, modulo the views there are.

    Args:
        tunings: of different seeds, with equally many images.
        recipe: learning rate, epochs, batch.
        on_epoch, resume: as in ``dpc.backbones.fitting.fit``.

    Returns:
        For each the mean of each named loss in each epoch; empty if the backbone learns nothing.
    """
    for tuning in tunings:
        tuning.backbone.to(tuning.task.clip.device)
    if not any(value.requires_grad for value in tunings[0].backbone.parameters()):
        return [{} for _ in tunings]
    found = fit([_lesson(tuning, recipe) for tuning in tunings], recipe, on_epoch, resume)
    for tuning in tunings:
        tuning.backbone.eval()
    return found


def _lesson(tuning: Tuning, recipe: Recipe) -> Lesson:
    task, backbone, bank, seed = tuning
    device = task.clip.device
    indices = shuffled_batches(len(bank.labels), recipe.batch, seed)

    def batches(epoch: int) -> Generator[tuple[Views, Tensor]]:
        for index in indices(epoch):
            yield bank.views(index, epoch).to(device), bank.labels[index].to(device)

    return Lesson(f"seed{seed}", task, backbone, batches, backbone.losses)
