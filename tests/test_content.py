"""The content index: never an old hash for new content, nothing done twice, no harm anywhere."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dpc.datasets import content, content_index
from dpc.errors import DpcError

IMAGES = Path("images")
NAMES = [f"class{number % 3}/{number}.png" for number in range(100)]


@pytest.fixture()
def folder(tmp_path, monkeypatch) -> Path:
    """A hundred small images, all of them old enough to be remembered."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        (IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), number).save(IMAGES / name)
    time.sleep(content.SETTLED / 1e9 + 0.02)
    return IMAGES


@pytest.fixture()
def opened(monkeypatch) -> list[str]:
    """Names of all files that are really read from now on."""
    found: list[str] = []
    real = content._content
    monkeypatch.setattr(
        content,
        "_content",
        lambda path: (found.append(str(path.relative_to(IMAGES))), real(path))[1],
    )
    return found


def truth(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}


def index_file() -> Path:
    (found,) = content_index.FOLDER.glob("*.sqlite")
    return found


def test_every_image_is_read_once(folder, opened):
    assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert sorted(opened) == sorted(NAMES)
    assert content.hashes(folder, list(reversed(NAMES)), "x") == truth(folder)
    assert content.hashes(folder, NAMES[:7] * 2, "x").keys() == set(NAMES[:7])
    assert len(opened) == len(NAMES)


def test_only_what_changed_is_read_again(folder, opened):
    content.hashes(folder, NAMES[:50], "x")
    opened.clear()
    Image.new("L", (4, 4), 255).save(folder / NAMES[3])
    assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert sorted(opened) == sorted([NAMES[3], *NAMES[50:]])


def test_new_content_of_the_same_size_and_time_is_seen(folder):
    """Only the inode's time of change tells: the time of modification is set back."""
    path = folder / NAMES[0]
    path.write_bytes(b"one")
    time.sleep(content.SETTLED / 1e9 + 0.02)
    before, status = content.hashes(folder, NAMES, "x"), path.stat()
    while path.stat().st_ctime_ns == status.st_ctime_ns:  # clocks of file systems are coarse
        path.write_bytes(b"two")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert content.hashes(folder, NAMES, "x") == truth(folder) != before


def test_what_changed_a_moment_ago_is_not_remembered(folder, opened):
    """Within one tick of the clock it may change again, and its times would not tell."""
    (folder / NAMES[0]).write_bytes(b"one")
    content.hashes(folder, NAMES, "x")
    opened.clear()
    content.hashes(folder, NAMES, "x")
    assert opened == [NAMES[0]]


def test_a_missing_image_is_named_before_any_is_read(folder, opened):
    (folder / NAMES[-1]).unlink()
    with pytest.raises(DpcError, match=r"class0/99\.png is missing or cannot be read"):
        content.hashes(folder, NAMES, "x")
    assert opened == []


def test_a_folder_and_a_pipe_are_no_images(folder):
    (folder / NAMES[0]).unlink()
    (folder / NAMES[0]).mkdir()
    with pytest.raises(DpcError, match="missing or cannot be read"):
        content.hashes(folder, NAMES, "x")
    (folder / NAMES[0]).rmdir()
    os.mkfifo(folder / NAMES[0])  # opening it would wait for ever
    with pytest.raises(DpcError, match="missing or cannot be read"):
        content.hashes(folder, NAMES, "x")


@pytest.mark.parametrize("harm", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_index_is_made_anew(folder, opened, harm):
    content.hashes(folder, NAMES, "x")
    index_file().write_bytes(harm)
    opened.clear()
    assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert len(opened) == len(NAMES)
    content.hashes(folder, NAMES, "x")
    assert len(opened) == len(NAMES)


def test_an_index_damaged_inside_is_made_anew(folder):
    content.hashes(folder, NAMES, "x")
    path = index_file()
    whole = bytearray(path.read_bytes())
    for start in range(4096, len(whole), 4096):
        harmed = whole.copy()
        harmed[start : start + 200] = bytes(range(200))
        path.write_bytes(harmed)
        assert content.hashes(folder, NAMES, "x") == truth(folder)


def test_tables_of_another_layout_are_dropped(folder, opened):
    content.hashes(folder, NAMES, "x")
    with sqlite3.connect(index_file()) as connection:
        connection.execute("DROP TABLE files")
        connection.execute("CREATE TABLE files (name TEXT, size INTEGER)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for _ in range(2):
        assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert len(opened) == 2 * len(NAMES)


def test_without_a_place_to_write_nothing_is_kept_and_nothing_said(folder, opened, capfd):
    content_index.FOLDER.parent.write_text("a file where the folder should be")
    for _ in range(2):
        assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert len(opened) == 2 * len(NAMES)
    assert capfd.readouterr() == ("", "")


def test_an_index_that_cannot_be_written_is_still_read(folder, opened, monkeypatch, capfd):
    content.hashes(folder, NAMES[:50], "x")
    path, opened[:] = index_file(), []
    real = sqlite3.connect

    def read_only(place, **options):
        return real(f"file:{place}?mode=ro", uri=True, **options) if place == path else real(place)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    for _ in range(2):
        assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert sorted(opened) == sorted(NAMES[50:] * 2)
    assert capfd.readouterr() == ("", "")


def test_an_index_that_another_process_holds_is_left_in_peace(folder, monkeypatch):
    content.hashes(folder, NAMES[:50], "x")
    monkeypatch.setattr(content_index, "PATIENCE", 0.05)
    other = sqlite3.connect(index_file(), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert content.hashes(folder, NAMES, "x") == truth(folder)
    other.execute("COMMIT")
    assert other.execute("SELECT count(*) FROM files").fetchone() == (50,)
    other.close()


WORK = """
import sys
from pathlib import Path
from dpc.datasets import content, content_index
content_index.KEPT = 5
names = sys.argv[1].split(",")
for _ in range(int(sys.argv[2])):
    found = content.hashes(Path("images"), names, "x")
    for name in names:
        Path("images", name).touch()
print(len(found))
"""


def start(rounds: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WORK, ",".join(NAMES), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_may_write_at_once_and_be_killed(folder):
    beside = [start(6) for _ in range(3)]
    victim = start(10_000)
    time.sleep(1.5)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    for process in beside:
        out, err = process.communicate(timeout=120)
        assert (out, err) == ("100\n", "")
    assert content.hashes(folder, NAMES, "x") == truth(folder)
    check = sqlite3.connect(index_file())
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_what_was_hashed_before_a_problem_is_kept(folder, opened, monkeypatch):
    real = content._hashed

    def stop(place, name):
        if name == sorted(NAMES)[60]:
            raise DpcError("stop")
        return real(place, name)

    monkeypatch.setattr(content, "_hashed", stop)
    with pytest.raises(DpcError, match="stop"):
        content.hashes(folder, NAMES, "x")
    monkeypatch.setattr(content, "_hashed", real)
    opened.clear()
    assert content.hashes(folder, NAMES, "x") == truth(folder)
    assert 0 < len(opened) <= len(NAMES) - 32


def test_content_is_decoded_once_whatever_its_files_are_called(folder, opened):
    (folder / "copy.png").write_bytes((folder / NAMES[0]).read_bytes())
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "bad too.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    names = ["bad too.png", *NAMES, "copy.png", "bad.png"]
    known = content.hashes(folder, names, "x")
    opened.clear()
    found = content.undecodable(folder, names, known, "x")
    assert list(found) == ["bad too.png", "bad.png"]
    assert len(opened) == len(NAMES) + 1
    assert content.undecodable(folder, names, known, "x") == found
    assert len(opened) == len(NAMES) + 1


def test_another_pillow_judges_anew(folder, opened, monkeypatch):
    known = content.hashes(folder, NAMES, "x")
    content.undecodable(folder, NAMES, known, "x")
    opened.clear()
    monkeypatch.setattr(content, "pillow", "0.0")
    assert content.undecodable(folder, NAMES, known, "x") == {}
    assert len(opened) == len(NAMES)


def test_an_image_that_changes_between_hash_and_look_is_named(folder):
    known = content.hashes(folder, NAMES, "x")
    (folder / NAMES[5]).write_bytes(b"new")
    with pytest.raises(DpcError, match=r"class2/5\.png changed while it was read"):
        content.undecodable(folder, NAMES, known, "x")
