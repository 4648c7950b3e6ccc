"""What this machine has: memory that is free, and how fast it multiplies matrices."""

import time
from functools import cache
from pathlib import Path

import torch

from dpc.clip.model import Clip

MEASURE = 0.2  # seconds
ROWS = 256  # tokens of the product that is timed
UNLIMITED = "max"


def available_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that can still be allocated on ``device``; None where nobody tells.

    On the CPU what the kernel calls available, or what is left of the control group's limit, if
    that is less; pages of files that are only cached count as free in both.

    Args:
        root: where proc/ and sys/ lie.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [value for value in (_of_system(root), _of_group(root)) if value is not None]
    return min(found) if found else None


def _of_system(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kibibytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kibibytes[0]) * 1024 if kibibytes else None


def _of_group(root: Path) -> int | None:
    """Of the control group (version 2) whose files a container finds at the top."""
    folder = root / "sys/fs/cgroup"
    try:
        limit = (folder / "memory.max").read_text().strip()
        if limit == UNLIMITED:
            return None
        used = int((folder / "memory.current").read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return max(0, int(limit) - used + int(counts.get("inactive_file", 0)))


def matmul_rate(clip: Clip, width: int) -> float:
    """Floating-point operations a second of a tower's largest product, in its precision; measured
    once a process, so that the plans of a grid agree and cost a moment together.

    Args:
        width: of the tower, in numbers a token.
    """
    kind = torch.bfloat16 if clip.precision == "bf16" else torch.float32
    return _measured(kind, clip.device, width)


@cache
def _measured(kind: torch.dtype, device: torch.device, width: int) -> float:
    tokens = torch.ones(ROWS, width, dtype=kind, device=device)
    weight = torch.ones(width, 4 * width, dtype=kind, device=device)
    _product(tokens, weight)  # the first call sets the library up
    begin, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < MEASURE:
        _product(tokens, weight)
        count += 1
    return 2 * ROWS * 4 * width**2 * count / passed


def _product(tokens: torch.Tensor, weight: torch.Tensor) -> None:
    _ = tokens @ weight
    if tokens.is_cuda:
        torch.cuda.synchronize()
