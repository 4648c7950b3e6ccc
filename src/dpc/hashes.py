"""Content hashes of files that rarely change, remembered by path, size and times of change.

The hash is the truth; size and times only tell whether it must be computed again.
"""

import json
from contextlib import suppress
from pathlib import Path

from dpc.errors import DpcError
from dpc.files import sha256, write_atomically

CACHE = Path(".cache/hashes.json")
_known: dict[str, list] | None = None
_dirty = False


def remembered_sha256(path: Path) -> str:
    """SHA-256 of ``path``, computed only if its size or a time of change is new.

    Raises:
        OSError: no such file, or not readable.
    """
    global _dirty
    status = path.stat()
    # A program may set the time of modification back; the inode change time it cannot.
    mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    known = _load()
    entry = known.get(str(path.absolute()))
    if isinstance(entry, list) and len(entry) == 5 and entry[:4] == mark:
        return entry[4]
    found = sha256(path)
    known[str(path.absolute())] = [*mark, found]
    _dirty = True
    return found


def save() -> None:
    """Keep what was computed for the next process; without a writable folder it is not kept."""
    global _dirty
    if _dirty and _known is not None:
        with suppress(DpcError, OSError):
            write_atomically(CACHE, json.dumps(_known, sort_keys=True).encode())
        _dirty = False


def _load() -> dict[str, list]:
    global _known
    if _known is None:
        try:
            content = json.loads(CACHE.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        _known = content if isinstance(content, dict) else {}
    return _known
