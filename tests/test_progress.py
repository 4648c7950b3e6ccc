"""Bars on a terminal, lines elsewhere, a log file in any case."""

import io
import logging
import multiprocessing

import pytest

from dpc import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture()
def screen(monkeypatch):
    """A stderr of this kind, and our logger put back afterwards."""
    log = logging.getLogger("dpc")
    before = (list(log.handlers), log.level, log.propagate)

    def made(kind, verbosity=0):
        stderr = kind()
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setenv("TERM", "xterm")
        progress.setup(verbosity)
        return stderr

    yield made
    log.handlers[:], log.level, log.propagate = before


def test_a_terminal_shows_a_bar_and_messages_above_it(screen):
    stderr = screen(Terminal)
    for item in progress.track(range(3), "reading", unit="img"):
        if item == 2:
            progress.LOG.info("one [odd] :car: image")
    assert "reading" in stderr.getvalue() and "3/3" in stderr.getvalue()
    assert "one [odd] :car: image" in stderr.getvalue()


def test_a_bar_is_taken_away_when_the_work_fails(screen):
    screen(Terminal)
    with pytest.raises(ValueError, match="broken"):
        for _ in progress.track(range(3), "reading"):
            raise ValueError("broken")
    assert progress._people().console is None
    assert progress._on_screen()


def test_a_bar_inside_a_bar_is_lines(screen):
    screen(Terminal)
    outer = progress.Meter("outer", 2, "epochs")
    assert progress.Meter("inner", 2, "epochs")._bar is None
    outer.close()


@pytest.mark.parametrize("verbosity,heard", [(-1, False), (0, True), (1, True)])
def test_a_pipe_gets_plain_lines_unless_quiet(screen, monkeypatch, verbosity, heard):
    stderr = screen(io.StringIO, verbosity)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    assert list(progress.track(range(4), "reading", unit="img")) == [0, 1, 2, 3]
    assert ("reading: 4 of 4 img (100 %)" in stderr.getvalue()) is heard
    assert "\x1b" not in stderr.getvalue()


@pytest.mark.parametrize("verbosity,bar", [(-1, False), (0, True)])
def test_quiet_draws_no_bar(screen, verbosity, bar):
    stderr = screen(Terminal, verbosity)
    list(progress.track(range(4), "reading"))
    assert ("reading" in stderr.getvalue()) is bar


def test_processes_beside_each_other_write_lines(screen, monkeypatch):
    screen(Terminal)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert not progress._on_screen()


def test_a_log_file_has_every_detail_also_when_quiet(screen, tmp_path):
    stderr = screen(io.StringIO, -1)
    with progress.logged(tmp_path / "logs" / "job.log"):
        progress.LOG.debug("a detail")
        progress.LOG.info("wrote it")
    progress.LOG.info("after")
    lines = (tmp_path / "logs" / "job.log").read_text().splitlines()
    assert [line.split(" ", 3)[2:] for line in lines] == [
        ["DEBUG", "a detail"],
        ["INFO", "wrote it"],
    ]
    assert stderr.getvalue() == ""


@pytest.mark.parametrize(
    "seconds,text", [(0.04, "0.0 s"), (59.96, "60.0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert progress.duration(seconds) == text
