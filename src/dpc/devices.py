"""Is there a CUDA device? Asked of the driver, since importing torch costs a second."""

import ctypes
import os
from functools import cache


def device_kind(wanted: str) -> str:
    """``cpu`` or ``cuda``: what ``clip.device`` means on this machine.

    The kind is part of a result's key: the same images give other bytes on another kind of device.
    """
    if wanted != "auto":
        return wanted
    return "cuda" if _cuda_devices() > 0 else "cpu"


@cache
def _cuda_devices() -> int:
    """Number of CUDA devices that the driver shows to this process."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
