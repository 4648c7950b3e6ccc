"""The file that remembers hashes and verdicts: one SQLite database for each folder of images.

It is a convenience: what cannot be read counts as unknown, what cannot be written is not kept, a
damaged file is made anew, and nobody is told.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from dpc.files import digest

FOLDER = Path(".cache/images")
LAYOUT = 1  # of the tables; others are dropped
KEPT = 2000  # rows after which they are written: a kill loses no more
PATIENCE = 30.0  # seconds to wait for another process's writing
TABLES = {
    "files": "(name TEXT PRIMARY KEY, mark BLOB, sha BLOB)",
    "verdicts": "(sha BLOB PRIMARY KEY, problem TEXT, pillow TEXT)",
}
# What says nothing against the file itself: another process, the disk, permissions.
ELSEWHERE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOLFS,
}


class Index:
    """One folder's hashes and verdicts."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._connection = _opened(path)
        except (sqlite3.Error, OSError) as problem:
            self._connection = self._anew(problem)

    def files(self) -> Iterator[tuple[str, bytes, bytes]]:
        """(name, mark, SHA-256) of every file, by name."""
        for name, mark, sha in self._rows("SELECT name, mark, sha FROM files ORDER BY name"):
            if isinstance(name, str) and isinstance(mark, bytes) and isinstance(sha, bytes):
                yield name, mark, sha

    def verdicts(self, pillow: str) -> Iterator[tuple[bytes, str]]:
        """(SHA-256, problem or "") of all content that this version of Pillow judged, by hash."""
        query = "SELECT sha, problem FROM verdicts WHERE pillow = ? ORDER BY sha"
        for sha, problem in self._rows(query, pillow):
            if isinstance(sha, bytes) and isinstance(problem, str):
                yield sha, problem

    def keep(self, table: str, rows: Iterable[tuple]) -> Iterator[tuple]:
        """Pass ``rows`` on and keep those without an empty column 1 of ``files``, by and by."""
        waiting: list[tuple] = []
        try:
            for row in rows:
                if table != "files" or row[1]:
                    waiting.append(row)
                yield row
                if len(waiting) >= KEPT:
                    self._write(table, waiting)
                    waiting = []
        finally:  # a problem or Ctrl-C: what was done so far need not be done again
            self._write(table, waiting)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _rows(self, query: str, *values: str) -> Iterator[tuple]:
        try:
            with closing(self._connection.execute(query, values)) as cursor:
                yield from cursor
        except sqlite3.Error as problem:  # the rest is unknown
            self._connection = self._anew(problem)

    def _write(self, table: str, rows: list[tuple]) -> None:
        try:
            with _transaction(self._connection):
                self._connection.executemany(
                    f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows
                )
        except sqlite3.Error as problem:
            self._connection = self._anew(problem)

    def _anew(self, problem: Exception) -> sqlite3.Connection:
        """An empty index: in place of a damaged one, else one that is not kept."""
        code = getattr(problem, "sqlite_errorcode", None) or 0
        with suppress(AttributeError, sqlite3.Error):
            self._connection.close()
        if isinstance(problem, sqlite3.Error) and code & 0xFF not in ELSEWHERE:
            with suppress(sqlite3.Error, OSError):
                self._path.unlink(missing_ok=True)
                return _opened(self._path)
        return _prepared(sqlite3.connect(":memory:", isolation_level=None))


@contextmanager
def of(folder: Path) -> Iterator[Index]:
    """The index of a folder of images, below the project's cache."""
    index = Index(FOLDER / f"{digest(str(folder.absolute()))[:32]}.sqlite")
    try:
        yield index
    finally:
        index.close()


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        return _prepared(connection)
    except sqlite3.Error:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    """With the tables of this layout."""
    if _layout(connection) != LAYOUT:
        with _transaction(connection):
            if _layout(connection) != LAYOUT:  # else another process was faster
                for name, columns in TABLES.items():
                    connection.execute(f"DROP TABLE IF EXISTS {name}")
                    connection.execute(f"CREATE TABLE {name} {columns} WITHOUT ROWID")
                connection.execute(f"PRAGMA user_version = {LAYOUT}")
    return connection


def _layout(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
