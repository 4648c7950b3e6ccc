"""What the grid would run on: device, memory, processors, disks."""

import os
import shutil
from pathlib import Path

from dpc.devices import device_kind
from dpc.doctor.findings import MachineReport, Problem
from dpc.errors import DpcError
from dpc.params.sections import Params


def examine(params: Params, results: Path, cache: Path) -> MachineReport:
    """This machine, as torch, the driver and the file systems see it.

    Args:
        params: what device, precision and threads are asked for.
        results, cache: folders that are written to; they need not exist yet.
    """
    import torch

    from dpc.clip.load import resolve_device
    from dpc.stages.machine import available_memory
    from dpc.stages.side_by_side import processors

    problems = []
    asked = params.clip.device
    try:
        device = resolve_device(asked)
    except DpcError as problem:
        problems.append(Problem("machine", str(problem)))
        device = torch.device("cpu")
    gpu = memory = None
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        gpu, memory = about.name, about.total_memory
    for folder in (results, cache):
        if not os.access(_there(folder), os.W_OK):
            fix = "give yourself write permission, or work in another folder"
            problems.append(Problem("disk", f"{folder.absolute()} cannot be written to", fix))
    return MachineReport(
        device=device.type,
        precision=params.clip.precision,
        torch=torch.__version__,
        torch_sees=torch.cuda.device_count(),
        driver_sees=int(device_kind("auto") == "cuda"),
        gpu=gpu,
        gpu_bytes=memory,
        free_bytes=available_memory(device),
        processors=processors(),
        threads=params.run.threads,
        disks={"results": free(results), "cache": free(cache)},
        problems=tuple(problems),
    )


def free(folder: Path) -> int:
    """Free bytes of the disk that ``folder`` lies on, or would lie on."""
    return shutil.disk_usage(_there(folder)).free


def _there(folder: Path) -> Path:
    """The nearest folder upwards that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
