"""GPUs are handed out by locks: made-up names, real processes, real kills."""

import ctypes
import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch

from dpc import devices, gpus
from dpc.clip import load as loading
from dpc.commands import _beside_each_other
from dpc.errors import DpcError
from dpc.files import write_atomically
from dpc.params.load import checked, preset
from dpc.progress import LOG
from dpc.stages import frozen
from dpc.stages.side_by_side import run_all

FORK = multiprocessing.get_context("fork")
TWO = ("0a", "1b")
HOLD = 0.05  # seconds


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    monkeypatch.setenv("DPC_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(gpus, "POLL", 0.005)
    yield tmp_path / "locks"
    gpus._forget()


def started(work, *arguments):
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def waited_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def compute(names, share, folder, number, begin):
    """Claim, and see who else is there: each process has a file on its GPU while it computes."""
    begin.wait()
    index = gpus.claim(names, share, f"job {number}")
    place = folder / str(index)
    place.mkdir(exist_ok=True)
    (place / str(number)).touch()
    together, end = 0, time.monotonic() + share * HOLD
    while time.monotonic() < end:
        together = max(together, len(list(place.iterdir())))
        time.sleep(HOLD / 10)
    (folder / f"done-{number}-{index}-{together}").touch()
    (place / str(number)).unlink()


@pytest.mark.parametrize("share", [1, 2])
def test_six_processes_on_two_gpus(tmp_path, share):
    begin = FORK.Barrier(6)
    processes = [started(compute, TWO, share, tmp_path, number, begin) for number in range(6)]
    for process in processes:
        process.join()
    ended = [path.name.split("-")[1:] for path in tmp_path.glob("done-*")]
    assert sorted(number for number, _, _ in ended) == list("012345")
    assert {index for _, index, _ in ended} == {"0", "1"}
    assert max(int(together) for _, _, together in ended) == share


def test_cells_beside_each_other_take_a_gpu_each(tmp_path):
    """Every child takes one for all of its cells; the parent takes none."""

    def work(number):
        index = gpus.claim(TWO, 1, f"cell {number}")
        (tmp_path / f"{number}-{index}-{os.getpid()}").touch()
        time.sleep(HOLD)
        return number % 3 == 0

    assert run_all(work, [[number] for number in range(6)], 2) == 2
    ended = [path.name.split("-") for path in tmp_path.glob("?-*")]
    assert sorted(number for number, _, _ in ended) == list("012345")
    assert len({(index, pid) for _, index, pid in ended}) == 2
    assert {index for _, index, _ in ended} == {"0", "1"}
    assert not gpus._held


def test_a_gpu_that_nobody_uses_comes_first(locks):
    def claimed():
        """(GPU, open lock); this process may claim again, as if it were another one."""
        index = gpus.claim(TWO, 2, "a job")
        (file,) = gpus._held
        gpus._held.clear()
        return index, file

    (first, one), (second, other), (third, last) = claimed(), claimed(), claimed()
    assert (first, second, third) == (0, 1, 0)
    os.close(one)
    os.close(other)
    fourth, next_one = claimed()
    os.close(last)
    os.close(next_one)
    assert fourth == 1  # though a place is free on the first


def hold(ready, children):
    """Claim, start ``children`` processes, write their ids and wait to be killed."""
    gpus.claim(["0a"], 1, "dpc tune")
    pids = []
    for _ in range(children):
        if (pid := os.fork()) == 0:
            signal.pause()
        pids.append(pid)
    write_atomically(ready, " ".join(map(str, pids)).encode())
    signal.pause()


def test_a_killed_holder_gives_its_gpu_back(tmp_path):
    """Even while a process that it started, to decode images, lives on."""
    ready, next_one = tmp_path / "ready", tmp_path / "next"
    holder = started(hold, ready, 1)
    waited_for(ready.exists)
    follower = started(hold, next_one, 0)
    time.sleep(4 * gpus.POLL)
    assert not next_one.exists()
    holder.kill()
    waited_for(next_one.exists)
    os.kill(int(ready.read_text()), signal.SIGKILL)
    follower.kill()
    for process in (holder, follower):
        process.join()


def test_who_waits_says_once_who_computes(tmp_path, locks, monkeypatch):
    ready, said = tmp_path / "ready", []
    holder = started(hold, ready, 0)
    waited_for(ready.exists)
    left = iter([0, 0, holder.kill])
    monkeypatch.setattr(gpus.time, "sleep", lambda _: (next(left, None) or (lambda: None))())
    monkeypatch.setattr(LOG, "info", lambda text, *values: said.append(text % values))
    assert gpus.claim(["0a"], 1, "dpc evaluate") == 0
    assert said == [f"waiting for a GPU: 0a is in use by dpc tune (process {holder.pid})"]
    assert gpus.claim(["0a"], 1, "again") == 0  # no second lock, no waiting for oneself
    assert (locks / "0a.0").read_text() == f"dpc evaluate (process {os.getpid()})\n"
    holder.join()


def test_locks_are_for_everybody(locks):
    before = os.umask(0o077)
    try:
        assert gpus.claim(TWO, 1, "mine") == 0
    finally:
        os.umask(before)
    assert locks.stat().st_mode & 0o7777 == 0o1777
    assert (locks / "0a.0").stat().st_mode & 0o7777 == 0o666


def test_a_lock_of_a_file_that_was_deleted_is_none(locks, monkeypatch):
    opened = gpus._opened

    def deleted_meanwhile(path):
        file = opened(path)
        monkeypatch.setattr(gpus, "_opened", opened)
        path.unlink()
        return file

    monkeypatch.setattr(gpus, "_opened", deleted_meanwhile)
    assert gpus.claim(["0a"], 1, "mine") == 0
    assert (locks / "0a.0").read_text().startswith("mine")


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("DPC_GPU_LOCKS", str(place))
        with pytest.raises(DpcError, match=r"file.* cannot be locked \(Not a dir.*DPC_GPU_LOCKS"):
            gpus.claim(TWO, 1, "mine")


class Driver:
    """What the library of the driver answers."""

    def __init__(self, count, broken=False):
        self.count, self.broken = count, broken

    def cuInit(self, flags):
        return 999 if self.broken else 0

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = 10 + index
        return 0

    def cuDeviceGetUuid_v2(self, raw, device):
        raw[0], raw[15] = device.value, 0xFF
        return 0


def test_the_driver_names_the_devices_that_a_process_may_use(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(2))
    first, second = devices._of_driver()
    assert (first[:2], second[:2], len(first)) == ("0a", "0b", 36)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(2, broken=True))
    assert devices._of_driver() == []


@pytest.fixture()
def asked(monkeypatch):
    """A machine with a driver; the children that were started to ask it."""
    commands = []

    def run(command, **_):
        commands.append(command)
        return SimpleNamespace(stdout="0a\n1b\n")

    monkeypatch.setattr(devices, "_has_driver", lambda: True)
    monkeypatch.setattr(devices.subprocess, "run", run)
    devices.visible_gpus.cache_clear()
    yield commands
    devices.visible_gpus.cache_clear()


def test_a_child_asks_the_driver_once(asked, monkeypatch):
    assert devices.device_kind("cpu") == "cpu" and not asked
    assert devices.device_kind("auto") == "cuda"
    assert devices.visible_gpus() == TWO
    assert len(asked) == 1
    devices.visible_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.device_kind("auto") == "cpu" and len(asked) == 1


def test_as_many_cells_beside_each_other_as_gpus_hold(asked):
    params = checked(preset("smoke", ["run.gpu_share=3"]), "smoke")
    assert [_beside_each_other("tune", jobs, params) for jobs in (None, 1, 6)] == [6, 1, 6]
    assert [_beside_each_other("prepare", jobs, params) for jobs in (1, 7)] == [1, 7]
    with pytest.raises(DpcError, match=r"--jobs 7: 2 GPUs with run.gpu_share=3 hold at most 6"):
        _beside_each_other("tune", 7, params)


def test_a_gpu_is_taken_when_a_clip_is_loaded_on_it_and_not_before(asked, monkeypatch):
    """A stage whose results are in the store loads none, and so waits for nobody."""
    happened = []
    monkeypatch.setattr(loading, "resolve_device", lambda name: torch.device(name))
    monkeypatch.setattr(loading, "load", lambda spec: happened.append("load"))
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: happened.append(index))
    params = checked(preset("smoke", ["clip.device=cuda"]), "smoke")
    frozen._load.cache_clear()
    for _ in range(2):
        frozen.clip_for(params)
    frozen._load.cache_clear()
    assert (happened, list(gpus._held.values())) == ([0, "load"], [0])
