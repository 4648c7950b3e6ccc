"""What a person sees while a stage works: a bar on a terminal, now and then a line in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
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


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Pass ``items`` on and show how far they are: percent, rate, time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not LOG.isEnabledFor(logging.INFO):
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, unit=unit, leave=False)
        return
    begin = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS:
            last = now
            share = f" of {total} ({100 * done / total:.0f} %)" if total else ""
            LOG.info("%s: %d%s, %.1f %s/s", what, done, share, done / (now - begin), unit)
