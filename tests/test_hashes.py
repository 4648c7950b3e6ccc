"""Remembered hashes: never an old one for new content, and no harm done where none can be kept."""

import json
import os
from pathlib import Path

import pytest

from dpc import files, hashes


@pytest.fixture()
def fresh(tmp_path, monkeypatch):
    """A process that remembers nothing yet, in a folder of its own; a file to hash."""
    monkeypatch.chdir(tmp_path)
    forget(monkeypatch)
    path = tmp_path / "file"
    path.write_bytes(b"one")
    return path


def forget(monkeypatch):
    monkeypatch.setattr(hashes, "_known", None)
    monkeypatch.setattr(hashes, "_dirty", False)


def count(monkeypatch) -> list[Path]:
    """Every file that is really read from now on."""
    read: list[Path] = []
    real = files.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: (read.append(path), real(path))[1])
    return read


def test_a_file_is_read_once_in_two_processes(fresh, monkeypatch):
    read = count(monkeypatch)
    first = [hashes.remembered_sha256(fresh) for _ in range(3)]
    hashes.save()
    forget(monkeypatch)
    assert {*first, hashes.remembered_sha256(fresh)} == {files.sha256(fresh)}
    assert read == [fresh]


def test_new_content_of_the_same_size_and_time_is_seen(fresh):
    """Only the inode's time of change tells: the time of modification is set back."""
    before, status = hashes.remembered_sha256(fresh), fresh.stat()
    while fresh.stat().st_ctime_ns == status.st_ctime_ns:  # clocks of file systems are coarse
        with fresh.open("r+b") as stream:
            stream.write(b"two")
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (fresh.stat().st_mtime_ns, fresh.stat().st_ino) == (status.st_mtime_ns, status.st_ino)
    assert hashes.remembered_sha256(fresh) == files.sha256(fresh) != before


@pytest.mark.parametrize("content", [b"[1, 2]", b"3", b"null", b"{", b"", b"\xff\xfe"])
def test_a_damaged_cache_counts_as_empty(fresh, monkeypatch, content):
    hashes.CACHE.parent.mkdir()
    hashes.CACHE.write_bytes(content)
    assert hashes.remembered_sha256(fresh) == files.sha256(fresh)
    hashes.save()
    assert list(json.loads(hashes.CACHE.read_text())) == [str(fresh)]


@pytest.mark.parametrize("entry", [None, "x", [], [3, 0, 0, "0" * 64]])
def test_a_damaged_or_older_entry_is_made_again(fresh, entry):
    hashes.CACHE.parent.mkdir()
    hashes.CACHE.write_text(json.dumps({str(fresh): entry}))
    assert hashes.remembered_sha256(fresh) == files.sha256(fresh)


def test_without_a_place_to_write_nothing_is_kept_and_nothing_said(fresh, monkeypatch, capfd):
    hashes.remembered_sha256(fresh)
    hashes.CACHE.parent.write_text("a file where the folder should be")
    hashes.save()
    assert not hashes.CACHE.exists()
    assert capfd.readouterr() == ("", "")


def test_without_permission_nothing_is_kept_and_nothing_said(fresh, monkeypatch, capfd):
    def refuse(path, content):
        with files.full_disk_is_one_line(path):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashes, "write_atomically", refuse)
    hashes.remembered_sha256(fresh)
    hashes.save()
    assert capfd.readouterr() == ("", "")
