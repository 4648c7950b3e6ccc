"""Where the time of our training step goes: by part of the step, and by kind of operation."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from course import now
from torch.profiler import ProfilerActivity, profile

from dpc.clip.model import Clip

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "convolution", "linear"),
    "attention": ("scaled_dot_product", "attention"),
    "norms": ("layer_norm",),
    "activations": ("silu", "sigmoid", "gelu"),
    "copies and joins": ("copy_", "cat", "index", "fill_", "zero_", "clone", "embedding"),
    "sums and products": ("add", "mul", "sub", "div", "sum", "neg"),
}


class Parts:
    """Seconds of each part; a part that begins inside another is not counted in that one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = ["the rest: loss, ranks, bookkeeping"]
        self._since = now()

    def count(self) -> None:
        """Up to now it was the open part."""
        time = now()
        self.seconds[self._open[-1]] += time - self._since
        self._since = time

    def switch(self, part: str) -> None:
        """From now on it is ``part``."""
        self.count()
        self._open[-1] = part

    @contextmanager
    def inside(self, part: str) -> Iterator[None]:
        self.count()
        self._open.append(part)
        yield
        self.count()
        self._open.pop()

    def wrapped(self, function: Callable, part: str) -> Callable:
        """``function``, its time counted as ``part``, or as mining where no gradient is kept; what
        comes back says when its own backward pass begins."""

        def call(*arguments: Any, **named: Any) -> Any:
            with self.inside(part if torch.is_grad_enabled() else "mining"):
                result = function(*arguments, **named)
            if isinstance(result, torch.Tensor) and result.requires_grad:
                result.register_hook(lambda _: self.switch(f"{part}, backward"))
            return result

        return call


@contextmanager
def watched(parts: Parts) -> Iterator[None]:
    """Count the time of the towers, of the backward pass and of the optimizer."""
    # The engine goes through the graph from its end: the tower that was encoded last comes first.
    with ExitStack() as stack:
        for owner, name, part in (
            (Clip, "encode_text", "text tower"),
            (Clip, "encode_image", "image tower"),
            (torch.Tensor, "backward", "loss, backward"),
            (torch.optim.SGD, "step", "optimizer"),
        ):
            function = parts.wrapped(getattr(owner, name), part)
            stack.enter_context(patch.object(owner, name, lambda *a, f=function, **k: f(*a, **k)))
        yield


def by_kind(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds by kind of operation while ``run`` runs."""
    cuda = torch.cuda.is_available()
    watching = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=watching) as found:
        run()
    seconds: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        own = event.self_device_time_total if cuda else event.self_cpu_time_total
        name = event.key if event.key.startswith("aten::") else ""
        kinds = (kind for kind, words in KINDS.items() if any(word in name for word in words))
        seconds[next(kinds, "others")] += own / 1e6
    return seconds


def print_regions(name: str, run: Callable[[int], Any], steps: int) -> None:
    """Two tables of the steps that ``run`` takes, and what comes once with them.

    Args:
        run: takes one step and as many more as it is told.
    """
    run(0)
    parts = Parts()
    with watched(parts):
        run(steps)
        parts.count()
    for title, seconds in (("part", parts.seconds), ("operation", by_kind(lambda: run(steps)))):
        total = sum(seconds.values())
        print(f"\n{name}, by {title}: {total / (steps + 1):.3f} s a step")
        for what, spent in sorted(seconds.items(), key=lambda item: -item[1]):
            print(f"  {what:<36}{spent / (steps + 1):>9.4f} s{spent / total:>7.1%}")
