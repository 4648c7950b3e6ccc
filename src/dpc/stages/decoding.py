"""Batches of pixels, decoded by processes beside the one that computes: same bytes, same order."""

import math
import os
from collections.abc import Callable, Iterator

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


def workers(params: Params, device: torch.device) -> int:
    """Processes that decode for one that computes on ``device``; 0: it decodes by itself."""
    if params.run.workers is not None:
        return params.run.workers
    if device.type == "cpu":
        return 0
    computing = max(1, len(visible_gpus())) * params.run.gpu_share
    return max(1, min(MOST, processors() // computing))


def batches(
    render: Callable[[int], np.ndarray],
    total: int,
    processes: int = 0,
    reopen: Callable[[], None] = lambda: None,
    pin: bool = False,
) -> Iterator[Tensor]:
    """``render`` of 0, 1, … ``total`` - 1, as batches (≤ BATCH, 3, S, S) in that order.

    Args:
        render: (3, S, S) float32 of an image by its number; a pure function.
        processes: that render; each is a fork and makes whole batches. 0: none is started.
        reopen: called in each of them before it renders: an open archive has one place to read
            at, which a fork shares.
        pin: whether a batch lies where a GPU can fetch it by itself.

    Raises:
        DpcError: what ``render`` or ``reopen`` refuses.
        RuntimeError: a process was stopped, see `dpc.stages.memory.run_within`; it is
            raised wherever this process is then, not only in here.
    """
    parts = _Parts(render, total, reopen)
    processes = min(processes, len(parts))
    loader = DataLoader(
        parts,
        batch_size=None,  # a part is a batch already
        num_workers=processes,
        pin_memory=pin,
        generator=torch.Generator(),  # without one it would draw from the global generator
        multiprocessing_context="fork" if processes else None,
        prefetch_factor=1 if processes else None,  # a batch of large images is 150 MB
    )
    for batch in loader:
        if isinstance(batch, str):
            raise DpcError(batch)
        yield batch


class _Parts(torch.utils.data.Dataset):
    """The batches by number; in place of one that cannot be made, the line that says why, since
    an error that crosses processes loses its type."""

    def __init__(self, render: Callable[[int], np.ndarray], total: int, reopen: Callable[[], None]):
        self._render, self._total, self._reopen = render, total, reopen
        self._open_in = os.getpid()

    def __len__(self) -> int:
        return math.ceil(self._total / BATCH)

    def __getitem__(self, index: int) -> Tensor | str:
        first = index * BATCH
        try:
            if self._open_in != os.getpid():
                self._reopen()
                self._open_in = os.getpid()
            made = [self._render(n) for n in range(first, min(first + BATCH, self._total))]
        except DpcError as problem:
            return str(problem)
        return torch.from_numpy(np.stack(made))
