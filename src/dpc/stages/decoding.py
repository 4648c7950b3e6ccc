"""Batches of pixels, decoded by processes beside the one that computes: same bytes, same order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dpc.devices import visible_gpus
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages.side_by_side import processors

BATCH = 256  # images of a forward pass without gradient
MOST = 8  # processes, unless run.workers asks for more
T = TypeVar("T")


def workers(params: Params, device: torch.device) -> int:
    """Processes that decode for one that computes on ``device``; 0: it decodes by itself."""
    if params.run.workers is not None:
        return params.run.workers
    if device.type == "cpu":
        return 0
    return max(1, min(MOST, processors() // max(1, len(visible_gpus()))))


def batches(
    render: Callable[[T], np.ndarray],
    wanted: Sequence[T],
    processes: int = 0,
    reopen: Callable[[], None] = lambda: None,
    pin: bool = False,
) -> Iterator[Tensor]:
    """``render`` of each of ``wanted``, as batches (≤ BATCH, ...) in their order.

    Args:
        render: (3, S, S) float32 of one image; a pure function.
        processes: that render; each is a fork and makes whole batches. 0: none is started.
        reopen: called in each of them first: an open archive has one place to read at, which a
            fork shares.
        pin: whether a batch lies where a GPU can fetch it by itself.

    Raises:
        DpcError: what ``render`` refuses, or a process that was stopped.
    """
    parts = _Parts(render, wanted)
    processes = min(processes, len(parts))
    loader = DataLoader(
        parts,
        batch_size=None,  # a part is a batch already
        num_workers=processes,
        pin_memory=pin,
        generator=torch.Generator(),  # without one it would draw from the global generator
        worker_init_fn=lambda _: reopen(),
        multiprocessing_context="fork" if processes else None,
        prefetch_factor=1 if processes else None,  # a batch of large images is 150 MB
    )
    try:
        for batch in loader:
            if isinstance(batch, str):
                raise DpcError(batch)
            yield batch
    except RuntimeError as problem:
        if "DataLoader worker" not in str(problem):
            raise
        raise DpcError(
            "a process that decodes images was stopped (most likely memory or /dev/shm is full); "
            "write run.workers: 0, or a smaller number"
        ) from None


class _Parts(torch.utils.data.Dataset, Generic[T]):
    """The batches by number; in place of one that cannot be made, the line that says why, since
    an error that crosses processes loses its type."""

    def __init__(self, render: Callable[[T], np.ndarray], wanted: Sequence[T]):
        self._render, self._wanted = render, wanted

    def __len__(self) -> int:
        return -(-len(self._wanted) // BATCH)

    def __getitem__(self, index: int) -> Tensor | str:
        if index >= len(self):
            raise IndexError(index)
        part = self._wanted[index * BATCH : (index + 1) * BATCH]
        try:
            return torch.from_numpy(np.stack([self._render(each) for each in part]))
        except DpcError as problem:
            return str(problem)
