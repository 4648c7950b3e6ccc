"""What a person sees while a stage works: a bar on a terminal, now and then a line in a log."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG = logging.getLogger("dpc")
SECONDS = 10.0  # between plain lines


def setup(verbosity: int) -> None:
    """Messages go to stderr: -1 warnings only, 0 what was written, 1 every detail."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.handlers[:] = [handler]
    LOG.setLevel(level)
    LOG.propagate = False


def track(
    items: Iterable[T],
    what: str,
    total: int | None = None,
    unit: str = "it",
    size: Callable[[T], int] = lambda _: 1,
) -> Iterator[T]:
    """Pass ``items`` on and show how far they are: percent, rate, time left.

    Args:
        total: units of all items together; None: as many as there are items.
        size: units of an item.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not LOG.isEnabledFor(logging.INFO):
        yield from items
        return
    if sys.stderr.isatty():
        with tqdm(desc=what, total=total, unit=unit, leave=False) as bar:
            for item in items:
                yield item
                bar.update(size(item))
        return
    begin = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= SECONDS:
            last = now
            share = f" of {total} ({100 * done / total:.0f} %)" if total else ""
            LOG.info("%s: %d%s, %.1f %s/s", what, done, share, done / (now - begin), unit)


class Meter:
    """How far a training is: a bar on a terminal, a plain line now and then in a log."""

    def __init__(self, what: str, total: int, unit: str):
        self._what, self._total, self._unit = what, total, unit
        self._last = time.monotonic()
        self._bar: tqdm | None = None
        if LOG.isEnabledFor(logging.INFO) and sys.stderr.isatty():
            self._bar = tqdm(desc=what, total=total, unit=unit, leave=False)

    def show(self, done: int, numbers: Mapping[str, float]) -> None:
        """``done`` units are finished; ``numbers`` describe the last one."""
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.3g}" for name, value in numbers.items()})
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last >= SECONDS:
            self._last = now
            text = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
            LOG.info("%s: %d of %d %s, %s", self._what, done, self._total, self._unit, text)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
