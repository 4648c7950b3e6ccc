"""The next batch while this one is in use."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
END = object()


def ahead(items: Generator[T]) -> Generator[T]:
    """Pass ``items`` on, each made by another thread while the caller works with the one before.

    One thread and one item: they come in their order, and what raises does so in its place. They
    may not depend on what the caller does with them. In the thread torch records gradients, as in
    any new one, and its current CUDA device is the first: name devices by number.

    Who takes no more closes it: what is in the making is made, then ``items`` is closed as well.
    """
    try:
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, items, END)
            while (item := coming.result()) is not END:
                coming = thread.submit(next, items, END)
                yield item  # type: ignore[misc]
    finally:
        items.close()
