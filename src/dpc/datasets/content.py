"""The content index: hashes of a folder's images, and which of them cannot be decoded.

The hash is the truth; size, times of change and inode only tell whether it must be computed again.
The index is a file of its own for each folder of images. Nothing depends on it: without one, or
with a damaged one, all is computed again.
"""

import hashlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import __version__ as pillow

from dpc.datasets import content_index
from dpc.datasets.base import Undecodable, decode, missing_image
from dpc.errors import DpcError
from dpc.progress import track

MANY = 1000  # images from which on progress is shown
BATCH = 32  # images that a thread takes at once
# A file that changed this shortly before it was read may change again within the same tick of the
# file system's clock, unseen: its hash is used, and computed again the next time.
SETTLED = 50_000_000  # nanoseconds
T = TypeVar("T")
R = TypeVar("R")
Key = TypeVar("Key", str, bytes)


def hashes(folder: Path, names: Sequence[str], what: str) -> dict[str, str]:
    """SHA-256 of each image, computed only for those that are new or changed.

    Args:
        folder: that ``names``, paths in it, start from.
        what: names the work where progress is shown.

    Returns:
        name -> SHA-256 in hex.

    Raises:
        DpcError: the first image that is missing or cannot be read.
    """
    wanted = sorted(set(names))
    found: dict[str, str] = {}
    with content_index.of(folder) as index:
        changed = []
        for name, row in _beside(wanted, index.files()):
            mark = _mark(folder, name)
            if row is not None and row[1] == mark and len(row[2]) == 32:
                found[name] = row[2].hex()
            else:
                changed.append(name)
        new = _in_threads(lambda name: _hashed(folder, name), changed, f"hash {what}")
        for name, _, sha in index.keep("files", new):
            found[name] = sha.hex()
    return found


def undecodable(
    folder: Path, names: Sequence[str], known: dict[str, str], what: str
) -> dict[str, str]:
    """Images that cannot be decoded, in the order of ``names``, with the reason.

    Content is decoded once, whatever its files are called; the verdict holds for this Pillow.

    Args:
        folder: that ``names``, paths in it, start from.
        known: name -> SHA-256, as `hashes` found them.
        what: names the work where progress is shown.

    Raises:
        DpcError: an image disappeared, or changed since it was hashed.
    """
    places: dict[bytes, str] = {}
    for name in names:
        places.setdefault(bytes.fromhex(known[name]), name)
    verdicts: dict[bytes, str] = {}
    with content_index.of(folder) as index:
        waiting = []
        for sha, row in _beside(sorted(places), index.verdicts(pillow)):
            if row is None:
                waiting.append(sha)
            elif row[1]:
                verdicts[sha] = row[1]
        waiting.sort(key=lambda sha: places[sha])  # the order that they lie in on the disk
        new = _in_threads(lambda sha: _judged(folder, places[sha], sha), waiting, f"decode {what}")
        for sha, problem, _ in index.keep("verdicts", new):
            if problem:
                verdicts[sha] = problem
    if not verdicts:
        return {}
    shas = {name: bytes.fromhex(known[name]) for name in names}
    return {name: verdicts[sha] for name, sha in shas.items() if sha in verdicts}


def _mark(folder: Path, name: str) -> bytes:
    """What tells a change of a file without reading it."""
    try:
        name.encode()  # the index and the manifest hold text
        status = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a Path for each of a million files
    except (OSError, ValueError) as problem:
        raise _unreadable(folder / name, problem) from None
    if not stat.S_ISREG(status.st_mode):
        raise missing_image(folder / name)
    return struct.pack(
        "<qqqQ", status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    )


def _hashed(folder: Path, name: str) -> tuple[str, bytes, bytes]:
    """Name, mark and hash; the mark is empty if the file may have changed meanwhile."""
    mark, now = _mark(folder, name), time.time_ns()
    sha = hashlib.sha256(_content(folder / name)).digest()
    changed = struct.unpack("<qqqQ", mark)[2]
    settled = now - changed > SETTLED and _mark(folder, name) == mark
    return name, mark if settled else b"", sha


def _judged(folder: Path, name: str, sha: bytes) -> tuple[bytes, str, str]:
    """Hash, problem ("": none), and the Pillow that says so."""
    content = _content(folder / name)
    if hashlib.sha256(content).digest() != sha:
        raise DpcError(f"image {folder / name} changed while it was read; run the command again")
    try:
        decode(content, name)
    except Undecodable as problem:
        return sha, problem.reason, pillow
    return sha, "", pillow


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError as problem:
        raise _unreadable(path, problem) from None


def _unreadable(path: Path, problem: OSError | ValueError) -> DpcError:
    if isinstance(problem, OSError):
        return missing_image(path, problem)
    shown = str(path).encode("utf-8", "backslashreplace").decode()
    return DpcError(f"image {shown!r} has a name that is no path; rename it")


def _beside(keys: Sequence[Key], rows: Iterable[tuple]) -> Iterator[tuple[Key, tuple | None]]:
    """Each of the sorted ``keys`` with its row, if there is one; ``rows`` are sorted likewise."""
    rows = iter(rows)
    row = next(rows, None)
    for key in keys:
        while row is not None and row[0] < key:
            row = next(rows, None)
        yield key, row if row is not None and row[0] == key else None


def _in_threads(work: Callable[[T], R], items: Sequence[T], what: str) -> Iterator[R]:
    """``work`` of each item, in order; reading, hashing and decoding leave Python's lock free."""
    if len(items) < BATCH:
        yield from map(work, items)
        return
    rest = iter(items)
    batches = list(iter(lambda: list(islice(rest, BATCH)), []))
    pool = ThreadPoolExecutor(min(32, len(os.sched_getaffinity(0))))
    try:
        done = pool.map(lambda batch: [work(item) for item in batch], batches)
        results = (result for batch in done for result in batch)
        yield from track(results, what, len(items), "img") if len(items) >= MANY else results
    finally:
        pool.shutdown(cancel_futures=True)  # a problem or Ctrl-C ends it at once
