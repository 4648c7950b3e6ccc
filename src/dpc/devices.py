"""Is there a CUDA device, and which? Asked of the driver, since importing torch costs a second."""

import ctypes
import os
import subprocess
import sys
import uuid
from functools import cache

DRIVER = "libcuda.so.1"


def device_kind(wanted: str) -> str:
    """``cpu`` or ``cuda``: what ``clip.device`` means on this machine.

    The kind is part of a result's key: the same images give other bytes on another kind of device.
    """
    if wanted != "auto":
        return wanted
    return "cuda" if visible_gpus() else "cpu"


@cache
def visible_gpus() -> tuple[str, ...]:
    """Names of the CUDA devices that this process may use, in the order in which torch counts them.

    The UUID of a card, or of a part of one (MIG): the same in every container and job of a machine,
    where the number of a card is not.

    A child asks. A process that once asked the driver itself keeps the devices that it saw then,
    and none of its forks can use one.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not _has_driver():
        return ()
    asked = subprocess.run(
        [sys.executable, "-I", "-S", __file__], capture_output=True, text=True, check=False
    )
    return tuple(asked.stdout.split())


def _has_driver() -> bool:
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def _of_driver() -> list[str]:
    """The child's part: none where the driver does not start, as behind a driver that is broken."""
    driver = ctypes.CDLL(DRIVER)
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        device, raw = ctypes.c_int(0), (ctypes.c_ubyte * 16)()
        driver.cuDeviceGet(ctypes.byref(device), index)
        driver.cuDeviceGetUuid_v2(raw, device)  # _v2 tells the parts of a MIG card apart
        found.append(str(uuid.UUID(bytes=bytes(raw))))
    return found


if __name__ == "__main__":
    print("\n".join(_of_driver()))
