"""What a training will take, before it runs: tensors, steps, memory and time.

Both numbers are meant to a factor, memory 2 and time 3: ``benchmarks/estimate.py`` compares them
with what is measured. Reading images and what is computed once a run are not counted.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dpc.backbones.base import Backbone, Task
from dpc.backbones.recipe import Recipe
from dpc.clip.model import Clip
from dpc.collaboration.recipe import Finetuning
from dpc.stages.activations import Tower, image_tower, text_tower
from dpc.stages.machine import matmul_rate
from dpc.training import steps_an_epoch

ALLOCATOR = 1.4  # peak over what the graph holds: gradients in flight, gaps between blocks
FLOOR = 4 * 2**20  # bytes that a first step takes however small it is
# A step over its matrix products: what is no product (norms, activations) gains less from bf16.
SLOWDOWN = {"fp32": 1.2, "bf16": 2.5}
# Seconds for the calls of one block, forward and backward, however few the tokens.
BLOCK = {"fp32": 1e-3, "bf16": 2e-3}


@dataclass(frozen=True)
class Learned:
    """A tensor of a backbone; not ``trained``: carried along as it is."""

    name: str
    shape: tuple[int, ...]
    trained: bool

    @property
    def count(self) -> int:
        """Its numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """One training.

    Attributes:
        title: the cell in words.
        learned: every tensor of the backbone.
        epochs, steps: how many; ``steps`` are those of an epoch.
        images: pixels that go through the image tower a step; 0: it is frozen.
        classes: sentences that go through the text tower a step; 0: none does.
        context: tokens of the longest sentence, up to EOT.
        image, text: the towers.
        state: bytes of the learned tensors, their gradients and momenta.
        seconds: all steps.
        parameter, batch: what sets the images of a step, and its value.
        classes_follow: whether ``classes`` grow with the batch.
        leaner: the same training with ``clip.precision`` bf16; None if it is that already.
        alone: of several trainings that take their steps together, one of them.
    """

    title: str
    learned: tuple[Learned, ...]
    epochs: int
    steps: int
    images: int
    classes: int
    context: int
    image: Tower
    text: Tower
    state: int
    seconds: float
    parameter: str
    batch: int
    classes_follow: bool
    leaner: "Plan | None" = None
    alone: "Plan | None" = None

    @property
    def memory(self) -> int:
        """Bytes that a step takes at its peak, beside the weights of CLIP."""
        return self.memory_of(self.batch)

    def memory_of(self, batch: int) -> int:
        """As `memory`, with another batch."""
        share = batch / self.batch
        kept = self.images * share * self.image.each + self.image.fixed + self.text.fixed
        kept += self.classes * (share if self.classes_follow else 1.0) * self.text.each
        return round(FLOOR + self.state + ALLOCATOR * kept)


def tuning(
    title: str, task: Task, backbone: Backbone, images: int, recipe: Recipe, parameter: str
) -> Plan:
    """The plan of stage one.

    Args:
        title: the cell in words.
        task: the classes.
        backbone: at its start.
        images: N of the bank.
        recipe: how to train.
        parameter: that sets the batch, in full: ``backbones.maple.batch``.
    """
    trained = [name for name, value in backbone.named_parameters() if value.requires_grad]
    return estimate(
        task.clip,
        backbone,
        trained,
        images=_pixels(backbone, min(recipe.batch, images)),
        # With a teacher, classes are its features; its text tower does not run in stage one.
        classes=0 if task.teacher else _sentences(backbone, len(task.classnames)),
        context=sentence_tokens(task),
        steps=steps_an_epoch(images, recipe.batch),
        title=title,
        epochs=recipe.epochs,
        batch=min(recipe.batch, images),
        parameter=parameter,
    )


def finetuning(
    title: str, task: Task, tuned: Backbone, images: int, recipe: Finetuning, parameter: str
) -> Plan:
    """The plan of stage two; arguments as `tuning`, ``parameter`` is ``dpc.batch``.

    A batch counts as extended to B·K images and as many classes, if there are so many.
    """
    classes, batch = len(task.classnames), min(recipe.batch, images)
    extended = recipe.objective == "contrastive"
    pairs = batch * min(recipe.k, classes) if extended else batch
    keep = tuned.kept_losses if recipe.keep_losses is None else recipe.keep_losses
    follow = extended and not (keep and recipe.regularize == "all") and pairs < classes
    everything = recipe.couplings == "trained"
    trained = [name for name, _ in tuned.named_parameters()]
    teacher = task.teacher if tuned.prompts().text else None  # its tower reads those prompts
    return estimate(
        task.clip,
        tuned,
        trained if everything else tuned.parallel_parameters(),
        images=_pixels(tuned, pairs),
        classes=_sentences(tuned, pairs if follow else classes),
        context=sentence_tokens(task),
        steps=steps_an_epoch(images, recipe.batch),
        title=title,
        epochs=recipe.epochs,
        batch=batch,
        parameter=parameter,
        classes_follow=follow,
        text_clip=teacher.load() if teacher and teacher.load else None,
    )


def estimate(
    clip: Clip,
    backbone: Backbone,
    trained: Sequence[str],
    images: int,
    classes: int,
    context: int,
    steps: int,
    title: str,
    epochs: int = 1,
    batch: int = 1,
    parameter: str = "",
    classes_follow: bool = False,
    text_clip: Clip | None = None,
    rate: float | None = None,
) -> Plan:
    """The plan of a training; its attributes say what the arguments are.

    Args:
        clip: loaded, on its device.
        backbone: whose prompts go in.
        trained: names of the parameters that the optimizer steps on.
        text_clip: the CLIP whose text tower runs; None: ``clip``.
        rate: operations a second; None: measured, for a moment.
    """
    learned = tuple(
        Learned(name, tuple(value.shape), name in trained)
        for name, value in backbone.named_parameters()
    )
    prompts, texts = backbone.prompts(), text_clip or clip
    width = clip.image_width if images else texts.text_width
    rate = matmul_rate(clip, width) if rate is None else rate

    # value, gradient and momentum of what is trained; the value of the rest
    state = sum(4 * value.count * (3 if value.trained else 1) for value in learned)

    def plan(bf16: bool) -> Plan:
        image = image_tower(clip, prompts.image, bf16) if images else Tower()
        text = text_tower(texts, prompts.text, context, bf16) if classes else Tower()
        products = (images * image.flops + classes * text.flops) / rate
        seconds = SLOWDOWN[clip.precision] * products
        seconds += BLOCK[clip.precision] * (image.layers + text.layers)
        return Plan(
            title, learned, epochs, steps, images, classes, context, image, text, state,
            seconds * steps * epochs, parameter, batch, classes_follow,
        )  # fmt: skip

    if clip.precision == "bf16":
        return plan(bf16=True)
    return dataclasses.replace(plan(bf16=False), leaner=plan(bf16=True))


def together(plan: Plan, count: int) -> Plan:
    """The plan of ``count`` such trainings that take their steps in one forward pass."""
    if count == 1:
        return plan
    return dataclasses.replace(
        plan,
        images=count * plan.images,
        classes=count * plan.classes,
        state=count * plan.state,
        seconds=count * plan.seconds,
        leaner=None if plan.leaner is None else together(plan.leaner, count),
        alone=plan,
    )


def sentence_tokens(task: Task) -> int:
    """Tokens of the longest sentence of a task, SOT and EOT among them."""
    return int(task.clip.tokenizer.ends(task.tokens).max()) + 1


def _pixels(backbone: Backbone, images: int) -> int:
    return images if backbone.prompts().image else 0


def _sentences(backbone: Backbone, classes: int) -> int:
    return classes if backbone.prompts().text else 0
