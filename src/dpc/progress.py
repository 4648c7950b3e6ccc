"""What a person sees while a stage works: a bar on a terminal, now and then a line elsewhere, and
in any case a log file for each job."""

import logging
import multiprocessing
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
LOG = logging.getLogger("dpc")
SECONDS = 10.0  # between plain lines


class _ToPeople(logging.Handler):
    """Messages on stderr; above a bar, where one is on the screen."""

    console: "Console | None" = None  # of the bar that is on the screen

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.console is None:
                print(self.format(record), file=sys.stderr, flush=True)
            else:
                self.console.print(self.format(record), markup=False, highlight=False, emoji=False)
        except BrokenPipeError:  # nobody reads any more; the work goes on
            self.handleError(record)


def setup(verbosity: int) -> None:
    """Messages go to stderr: -1 warnings only, 0 what was written, 1 every detail.

    Log files of jobs hold every detail in any case.
    """
    handler = _ToPeople({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))
    if verbosity < -1:
        handler.setLevel(logging.ERROR)
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write a copy of all messages to a file, with the time of each, until the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        handler.close()


def duration(seconds: float) -> str:
    """``8.1 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def shots_in_words(shots: int) -> str:
    """``1 shot``, ``16 shots`` or, of 0, ``all shots``."""
    return f"{shots or 'all'} shot{'' if shots == 1 else 's'}"


def escaped(text: str) -> str:
    """A text on one line of a terminal: control characters as ``\\x1b`` or ``\\n``, so that a file
    name cannot move its cursor."""
    control = ("Cc", "Zl", "Zp")
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in control else letter for letter in text
    )


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
    meter, done = Meter(what, total, unit), 0
    try:
        for item in items:
            yield item
            done += size(item)
            meter.show(done)
    finally:
        meter.close()


class Meter:
    """How far a work is: a bar on a terminal, a plain line now and then elsewhere.

    Args:
        what: the work.
        total: units of all of it; None: nobody knows.
        unit: what is counted.
    """

    def __init__(self, what: str, total: int | None, unit: str):
        self._what, self._total, self._unit = what, total, unit
        self._begin = self._last = time.monotonic()
        self._bar: Progress | None = None
        if _on_screen():
            self._bar = _bar(unit)
            self._task = self._bar.add_task(what, total=total, numbers="")
            self._bar.start()
            _people().console = self._bar.console

    def show(self, done: int, numbers: Mapping[str, float] | None = None) -> None:
        """``done`` units are finished; ``numbers`` describe the last one."""
        text = ", ".join(f"{name} {value:.3g}" for name, value in (numbers or {}).items())
        if self._bar is not None:
            self._bar.update(self._task, completed=done, numbers=text)
        now = time.monotonic()
        if now - self._last < SECONDS:
            return
        self._last = now
        of = f" of {self._total}" if self._total else ""
        share = f" ({100 * done / self._total:.0f} %)" if self._total else ""
        rate = f"{done / (now - self._begin):.3g} {self._unit}/s"
        line = f"{self._what}: {done}{of} {self._unit}{share}, {text or rate}"
        LOG.log(logging.DEBUG if self._bar is not None else logging.INFO, line)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            _people().console = None
            self._bar = None


def _people() -> _ToPeople:
    return next(each for each in LOG.handlers if isinstance(each, _ToPeople))


def _on_screen() -> bool:
    """Whether a bar may be drawn: one at a time, on a terminal, by the process that a person
    started. Those beside it would draw over each other and write lines."""
    if multiprocessing.parent_process() is not None or not sys.stderr.isatty():
        return False
    found = [each for each in LOG.handlers if isinstance(each, _ToPeople)]
    return bool(found) and found[0].level <= logging.INFO and found[0].console is None


def _bar(unit: str) -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}", markup=False),
        console=Console(stderr=True, emoji=False),
        transient=True,
    )
