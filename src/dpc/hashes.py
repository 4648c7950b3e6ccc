"""Content hashes of files that rarely change, remembered by path, size and time of change.

The hash is the truth; size and time only tell whether it must be computed again.
"""

import json
from pathlib import Path

from dpc.files import sha256, write_atomically

CACHE = Path(".cache/hashes.json")
_known: dict[str, list] | None = None
_dirty = False


def remembered_sha256(path: Path) -> str:
    """SHA-256 of ``path``, computed only if its size or time of change is new."""
    global _dirty
    status = path.stat()
    mark = [status.st_size, status.st_mtime_ns, status.st_ino]
    known = _load()
    entry = known.get(str(path.absolute()))
    if entry is not None and entry[:3] == mark:
        return entry[3]
    found = sha256(path)
    known[str(path.absolute())] = [*mark, found]
    _dirty = True
    return found


def save() -> None:
    """Keep what was computed for the next process; without a writable folder it is not kept."""
    global _dirty
    if _dirty and _known is not None:
        write_atomically(CACHE, json.dumps(_known, sort_keys=True).encode())
        _dirty = False


def _load() -> dict[str, list]:
    global _known
    if _known is None:
        try:
            _known = json.loads(CACHE.read_text())
        except (FileNotFoundError, ValueError):
            _known = {}
    return _known  # type: ignore[return-value]
