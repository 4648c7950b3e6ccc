"""Who computes on which GPU: locks that the kernel takes back when their holder ends, however.

A scheduler's number of free GPUs is no name of one, and jobs of two folders or two people know
nothing of each other. So each process that computes takes a lock of a folder that all of a machine
share: one file for each GPU and place on it, with the holder written inside for people.
"""

import errno
import fcntl
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dpc.errors import DpcError
from dpc.progress import LOG

POLL = 0.2  # seconds
EVERYBODY, STICKY = 0o666, 0o1777

_held: dict[int, int] = {}  # open file -> index of its GPU; one at most


def claim(gpus: Sequence[str], share: int, title: str) -> int:
    """Index in ``gpus`` of one that this process may compute on until it ends; waits for it.

    The GPU that the fewest use comes first. A second call gives what the first one gave.

    Args:
        gpus: their names, see `dpc.devices.visible_gpus`; at least one.
        share: processes that may compute on one GPU at a time; the same for all of a machine.
        title: what this process does, for those who wait.

    Raises:
        DpcError: the folder of the locks cannot be used.
    """
    if _held:
        return next(iter(_held.values()))
    folder, told = _folder(), False
    places = [
        (index, folder / f"{gpu}.{n}") for index, gpu in enumerate(gpus) for n in range(share)
    ]
    while True:
        with _alone(folder):
            index = _take(places, title)
        if index is not None:
            return index
        if not told:
            LOG.info("waiting for a GPU: %s", "; ".join(_holder(path) for _, path in places))
            told = True
        time.sleep(POLL)


def _folder() -> Path:
    """Where the locks are; made so that others may make theirs in it."""
    folder = Path(os.environ.get("DPC_GPU_LOCKS") or Path(tempfile.gettempdir()) / "dpc-gpus")
    try:
        folder.mkdir(parents=True)
        folder.chmod(STICKY)
    except FileExistsError:
        pass
    except OSError as problem:
        raise _unusable(folder, problem) from None
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While nobody else chooses: who looks which places are free has them for that moment."""
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as problem:
        raise _unusable(folder, problem) from None
    try:
        yield
    finally:
        os.close(file)


def _take(places: Sequence[tuple[int, Path]], title: str) -> int | None:
    """Lock a place on the GPU that has the most free, and write the holder into it; None if all
    are taken."""
    free = [(index, file) for index, path in places if (file := _locked(path)) is not None]
    rooms = Counter(index for index, _ in free)
    free.sort(key=lambda one: -rooms[one[0]])
    for _, file in free[1:]:
        os.close(file)
    if not free:
        return None
    index, file = free[0]
    _held[file] = index
    with suppress(OSError):  # on a full disk the holder has no name
        os.ftruncate(file, 0)
        os.pwrite(file, f"{title} (process {os.getpid()})\n".encode(), 0)
    return index


def _locked(path: Path) -> int | None:
    """The file, open and locked; None if somebody else has it."""
    try:
        file = _opened(path)
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink > 0:  # else it was deleted, and the next one locks another
                return file
    except OSError as problem:
        raise _unusable(path, problem) from None
    os.close(file)
    return None


def _opened(path: Path) -> int:
    """The file, open; made if nobody did.

    In two steps: in a folder like /tmp the kernel refuses to open somebody else's file by a call
    that would also create it.
    """
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR):
        with suppress(FileNotFoundError, FileExistsError):
            file = os.open(path, flags | os.O_NOFOLLOW, EVERYBODY)
            if flags & os.O_CREAT:
                os.fchmod(file, EVERYBODY)  # whatever the umask says
            return file
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _holder(path: Path) -> str:
    try:
        holder = path.read_text(errors="replace").strip()
    except OSError:
        holder = ""
    return f"{path.stem} is in use by {holder or 'a process'}"


def _unusable(path: Path, problem: OSError) -> DpcError:
    return DpcError(
        f"{path} cannot be locked ({problem.strerror}): GPUs are shared by locks in it; set "
        "DPC_GPU_LOCKS to a folder on a disk of this machine that you may write to"
    )


def _forget() -> None:
    """A child that decodes images holds no GPU: it could outlive the process that does."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
