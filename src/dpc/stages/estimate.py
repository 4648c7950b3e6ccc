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
from dpc.errors import DpcError
from dpc.stages.activations import Tower, image_tower, text_tower
from dpc.stages.machine import matmul_rate
from dpc.training import steps_an_epoch

ALLOCATOR = 1.4  # peak over what the graph holds: gradients in flight, gaps between blocks
FLOOR = 4 * 2**20  # bytes that a first step takes however small it is
# A step over its matrix products: what is no product (norms, activations) gains less from bf16.
SLOWDOWN = {"fp32": 1.2, "bf16": 2.5}
# Seconds for the calls of one block, forward and backward, however few the tokens.
BLOCK = {"fp32": 1e-3, "bf16": 2e-3}
UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
CLOCK = (("hours", 3600), ("minutes", 60))


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

    @property
    def memory(self) -> int:
        """Bytes that a step takes at its peak, beside the weights of CLIP."""
        return self.memory_of(self.batch)

    def memory_of(self, batch: int) -> int:
        """As :attr:`memory`, with another batch."""
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
    """The plan of stage two; arguments as :func:`tuning`, ``parameter`` is ``dpc.batch``.

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


def describe(plan: Plan) -> str:
    """Several lines for people."""
    trained = sum(value.count for value in plan.learned if value.trained)
    total = sum(value.count for value in plan.learned)
    carried = f", {total - trained:,} carried along" if total > trained else ""
    lines = [plan.title, f"  {trained:,} numbers are trained{carried}"]
    wide = max((len(value.name) for value in plan.learned), default=0)
    for value in plan.learned:
        shape = " × ".join(map(str, value.shape))
        lines.append(
            f"    {value.name:<{wide}}  {value.count:>9,}  {shape}"
            f"{'' if value.trained else '  (carried along)'}"
        )
    seen = f"{plan.images} images" if plan.images else "frozen image features"
    read = f"{plan.classes} sentences of up to {plan.context} tokens"
    lines += [
        f"  {plan.epochs} epochs of {plan.steps} steps",
        f"  a step: {seen}, {read if plan.classes else 'fixed text features'}",
        f"  memory: about {_bytes(plan.memory)} at the peak, beside the weights",
        f"  time: about {_time(plan.seconds)}",
    ]
    return "\n".join(lines)


def refuse(plan: Plan, available: int | None) -> None:
    """Stop before memory runs out.

    Args:
        available: bytes that are free with CLIP already loaded; None: not known, nothing happens.

    Raises:
        DpcError: with the parameter and the largest value that fits.
    """
    if available is None or plan.memory <= available:
        return
    ways = [(plan, "")]
    if plan.leaner is not None:
        ways.append((plan.leaner, "clip.precision=bf16"))
    advice = "nothing smaller fits: take a smaller clip.model, or a larger machine"
    for candidate, setting in ways:
        batch = _largest_batch(candidate, available)
        if batch:
            smaller = f"{plan.parameter}={batch}" if batch < plan.batch else ""
            advice = "take " + " and ".join(part for part in (setting, smaller) if part)
            break
    raise DpcError(
        f"{plan.title}: a step takes about {_bytes(plan.memory)} beside the weights and "
        f"{_bytes(available)} are free; {advice}"
    )


def sentence_tokens(task: Task) -> int:
    """Tokens of the longest sentence of a task, SOT and EOT among them."""
    return int(task.tokens.argmax(dim=-1).max()) + 1


def _largest_batch(plan: Plan, available: int) -> int:
    """The largest batch up to the plan's that fits; 0: none does."""
    base = plan.memory_of(0)
    each = plan.memory_of(1) - base
    if each <= 0:  # neither images nor sentences go by the batch
        return plan.batch if base <= available else 0
    batch = min(plan.batch, max(0, (available - base) // each))
    while batch and plan.memory_of(batch) > available:  # numbers are rounded
        batch -= 1
    return batch


def _pixels(backbone: Backbone, images: int) -> int:
    return images if backbone.prompts().image else 0


def _sentences(backbone: Backbone, classes: int) -> int:
    return classes if backbone.prompts().text else 0


def _bytes(number: int) -> str:
    for word, size in UNITS:
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number} bytes"


def _time(seconds: float) -> str:
    for word, size in CLOCK:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{math.ceil(seconds)} s"
