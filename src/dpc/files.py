"""Files that are either whole or absent, and their content hashes."""

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dpc.errors import DpcError


@contextmanager
def full_disk_is_one_line(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into one line that names the file and the fix.

    Raises:
        DpcError: no space, no permission, or a read-only file system.
    """
    try:
        yield
    except OSError as problem:
        reasons = {
            errno.ENOSPC: "no space left on its disk; free some (`dpc gc` trims the store)",
            errno.EDQUOT: "your disk quota is used up; free some (`dpc gc` trims the store)",
            errno.EFBIG: "the file would be larger than this process may write",
            errno.EACCES: "permission denied",
            errno.EROFS: "the file system is read-only",
        }
        if problem.errno not in reasons:
            raise
        raise DpcError(f"cannot write {path}: {reasons[problem.errno]}") from problem


def is_file(path: Path) -> bool:
    """Whether a file is there; none is where the system refuses the name, as one that is too long
    (`pathlib.Path.is_file` raises there)."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there; as `is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def require_writable(path: Path) -> None:
    """See, before the work, that a file can be written where its result is to go.

    Raises:
        DpcError: ``path`` is a folder, lies below a file, or the system takes no file there.
    """
    fix = "name another file"
    if is_folder(path):
        raise DpcError(f"cannot write {path}: it is a folder; name a file in it")
    if above := next((folder for folder in path.parents if is_file(folder)), None):
        raise DpcError(f"cannot write {path}: {above} is a file and no folder; {fix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _claimed(path)
    except OSError as problem:
        raise DpcError(f"cannot write {path}: {_lower(problem)}; {fix}") from None
    os.close(handle)
    temporary.unlink()


def _lower(problem: OSError) -> str:
    words = problem.strerror or str(problem)
    return words[:1].lower() + words[1:]


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either the old bytes or the new, never a part.

    Raises:
        DpcError: the disk is full or not writable; nothing is left behind.
    """
    with staged(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A temporary sibling of ``path`` to write to; it takes the name when the block ends well."""
    with full_disk_is_one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        handle, temporary = _claimed(path)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            os.close(handle)
            temporary.unlink(missing_ok=True)


def _claimed(path: Path) -> tuple[int, Path]:
    """A new temporary sibling of ``path``, and the open file whose lock says: its writer lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with suppress(OSError):  # a file system without locks: then nobody sweeps either
            fcntl.flock(handle, fcntl.LOCK_SH)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # swept before the lock was on


def sweep(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it; a living one's file stays."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError), temporary.open("rb") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file so that ``target`` is whole or absent; the copy's time is now."""
    with staged(target) as temporary:
        shutil.copyfile(source, temporary)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(text: str | bytes) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
