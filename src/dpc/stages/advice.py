"""Plans in words, and what to change where one does not fit into memory."""

import math

from dpc.errors import DpcError
from dpc.stages.estimate import Plan

UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
CLOCK = (("hours", 3600), ("minutes", 60))


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
    raise DpcError(
        f"{plan.title}: a step takes about {_bytes(plan.memory)} beside the weights and "
        f"{_bytes(available)} are free; {fitting(plan, available)}"
    )


def fitting(plan: Plan, available: int) -> str:
    """What to change, so that a step takes ``available`` bytes beside the weights."""
    ways = [(plan, "")]
    if plan.alone is not None:
        ways.insert(0, (plan.alone, "run.together=1"))
    if plan.leaner is not None:
        ways.append((plan.leaner, "clip.precision=bf16"))
    for candidate, setting in ways:
        batch = _largest_batch(candidate, available)
        if batch:
            smaller = f"{plan.parameter}={batch}" if batch < plan.batch else ""
            return "take " + " and ".join(part for part in (setting, smaller) if part)
    return "nothing smaller fits: take a smaller clip.model, or a larger machine"


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
