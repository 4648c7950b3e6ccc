"""The content-addressed store: results by the hash of everything that they follow from.

``.cache/store/<key>/`` holds the files of one finished piece of work and ``index.json`` with their
hashes. Every stage asks it first and fills it last, so whatever an engine deletes costs a copy and
not a training. Every file is checked when it is taken out; a damaged entry is dropped.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dpc.files import copy_atomically, digest, full_disk_is_one_line, sha256

DEFAULT = Path(".cache/store")
DAY = 86_400.0  # seconds


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


@dataclass(frozen=True)
class Entry:
    """What the store knows of one key: name -> SHA-256, and the versions it was made with."""

    files: Mapping[str, str]
    versions: Mapping[str, str]


class Store:
    """A folder of finished work; safe for many processes at once."""

    def __init__(self, root: Path | None = None):
        """``root``: default ``$DPC_STORE``, else ``.cache/store`` (share it among checkouts)."""
        self.root = root or Path(os.environ.get("DPC_STORE", DEFAULT))

    def take(self, key: str, targets: Mapping[str, Path]) -> Entry | None:
        """Copy the files of ``key`` to ``targets``; None if there are none, or they are damaged.

        Raises:
            DpcError: the target's disk is full.
        """
        folder = self.root / key
        entry = self._entry(folder)
        if entry is None or set(entry.files) != set(targets):
            return None
        try:
            damaged = any(sha256(folder / name) != value for name, value in entry.files.items())
        except FileNotFoundError:  # half an entry, or another process is trimming the store
            damaged = True
        if damaged:
            self.drop(key)
            return None
        try:
            for name, target in targets.items():
                if not target.is_file() or sha256(target) != entry.files[name]:
                    copy_atomically(folder / name, target)
            os.utime(folder / "index.json")  # `gc` keeps what was used last
        except FileNotFoundError:
            return None
        return entry

    def put(self, key: str, files: Mapping[str, bytes], versions: Mapping[str, str]) -> None:
        """Keep ``files`` under ``key``; the entry appears whole or not at all.

        Raises:
            DpcError: the store's disk is full; nothing is left behind.
        """
        folder = self.root / key
        with full_disk_is_one_line(folder):
            self.root.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=self.root, prefix=".new-"))
            try:
                for name, content in files.items():
                    (temporary / name).write_bytes(content)
                index = {
                    "files": {name: digest(content) for name, content in files.items()},
                    "versions": dict(versions),
                }
                (temporary / "index.json").write_text(json.dumps(index, sort_keys=True))
                temporary.chmod(0o755)  # a shared store is read by others too
                self._publish(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def versions(self, key: str) -> Mapping[str, str]:
        """The libraries that an entry was made with; nothing if there is no such entry."""
        entry = self._entry(self.root / key)
        return entry.versions if entry is not None else {}

    def drop(self, key: str) -> None:
        """Forget ``key``."""
        shutil.rmtree(self.root / key, ignore_errors=True)

    def collect(self, most_bytes: int) -> tuple[int, int]:
        """Forget what was used longest ago until at most ``most_bytes`` are kept.

        Returns:
            Number of entries dropped, and bytes that remain.
        """
        entries = []
        for folder in self.root.glob("*"):
            if folder.is_dir() and not folder.name.startswith("."):
                size = sum(file.stat().st_size for file in folder.iterdir())
                index = folder / "index.json"
                entries.append((index.stat().st_mtime if index.is_file() else 0.0, size, folder))
            elif folder.name.startswith(".new-") and _age(folder) > DAY:
                shutil.rmtree(folder, ignore_errors=True)  # a writer that was killed
        total = sum(size for _, size, _ in entries)
        dropped = 0
        for _, size, folder in sorted(entries, key=lambda entry: (entry[0], entry[2].name)):
            if total <= most_bytes:
                break
            self.drop(folder.name)
            total -= size
            dropped += 1
        return dropped, total

    def _entry(self, folder: Path) -> Entry | None:
        try:
            index = json.loads((folder / "index.json").read_text())
            return Entry(dict(index["files"]), dict(index["versions"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            self.drop(folder.name)
            return None

    def _publish(self, temporary: Path, folder: Path) -> None:
        """Give the finished folder its name; whoever came first wins, both hold the same."""
        try:
            temporary.rename(folder)
        except OSError:
            if self._entry(folder) is None:  # what is left of a damaged entry bars the way
                self.drop(folder.name)
                temporary.rename(folder)
