"""Whole stages on a CUDA device, where there is one: commands in processes of their own, since
CUDA reads some settings once, and a process keeps its GPU until it ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import OVERRIDES, write_dataset

from dpc import devices, gpus
from dpc.params.load import description_for, preset
from dpc.params.render import render
from dpc.stages import decoding

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
GRID = (
    f"clip.device={DEVICE}",
    "run.backbones=[coop,maple,promptsrc,promptkd]",
    "run.budget=[]",
    "backbones.maple.batch=8",
    "dpc.epochs=3",
)
STAGES = ("prepare", "features", "teacher", "tune", "finetune", "evaluate")
MAIN = """
import sys
from dpc.cli import main

sys.exit(max(main([stage, *sys.argv[2:]]) for stage in sys.argv[1].split()))
"""
FULL = """
import sys, torch
from dpc.cli import main

def step(*_, **__):
    torch.empty(int(0.6 * torch.cuda.mem_get_info()[1]), dtype=torch.uint8, device="cuda")

torch.optim.SGD.step = step
torch.cuda.set_per_process_memory_fraction(0.5)
sys.exit(main(["tune", "-q", "--backbone", "maple", "--out", "full"]))
"""
HOLD = """
import sys
from dpc.params.load import load
from dpc.stages.frozen import clip_for

print(clip_for(load()).device, flush=True)
sys.stdin.read()
"""


@pytest.fixture()
def tree(tmp_path, monkeypatch) -> Path:
    """The small data set, and locks that no other process looks at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPC_GPU_LOCKS", str(tmp_path / "locks"))
    write_dataset(tmp_path)
    write_params()
    return tmp_path


def write_params(*overrides: str) -> None:
    values = preset("smoke", [*OVERRIDES, *GRID, *overrides])
    Path("params.yaml").write_text(render(values, description_for(values)))


def started(code: str, *arguments: str, **environment: str) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def finished(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and stderr."""
    error = process.communicate(timeout=600)[1]
    return process.returncode, error


def results() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("results").rglob("*.safetensors")}


def test_every_stage_repeats_to_the_bit_and_decodes_beside(tree):
    made = []
    for workers in ("0", "2"):
        write_params(f"run.workers={workers}")
        code, error = finished(started(MAIN, " ".join(STAGES), "-q", DPC_STORE=f"store-{workers}"))
        assert code == 0, error
        made.append(results())
    assert len(made[0]) > 12 and made[0] == made[1]


def test_memory_that_runs_out_is_one_line(tree):
    assert finished(started(MAIN, "prepare features", "-q"))[0] == 0
    code, error = finished(started(FULL))
    start = "dpc: tune shapes maple 4 shots seed 1: memory ran out; take backbones.maple.batch="
    assert code == 1 and error.startswith(start) and error.count("\n") == 1, error


def test_the_driver_counts_as_torch_does():
    names = [
        str(torch.cuda.get_device_properties(index).uuid)
        for index in range(torch.cuda.device_count())
    ]
    devices.visible_gpus.cache_clear()
    assert list(devices.visible_gpus()) == names


def test_one_process_waits_until_the_other_is_killed(tree):
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    holder = started(HOLD, CUDA_VISIBLE_DEVICES=first)
    assert holder.stdout.readline() == "cuda:0\n"
    follower = started(MAIN, "prepare features", CUDA_VISIBLE_DEVICES=first)
    said = iter(follower.stderr.readline, "")
    assert any(f"(process {holder.pid})" in line for line in said)
    holder.kill()
    holder.wait()
    assert finished(follower)[0] == 0


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no second CUDA device")
def test_the_second_process_takes_the_second_gpu(tree):
    assert gpus.claim(devices.visible_gpus(), 1, "this test") == 0
    second = started(HOLD)
    assert second.stdout.readline() == "cuda:1\n"
    second.communicate()
    gpus._forget()


def test_batches_lie_where_the_gpu_fetches_them(monkeypatch):
    monkeypatch.setattr(decoding, "BATCH", 4)

    def made(processes):
        return list(decoding.batches(lambda n: np.full(3, n), 10, processes, pin=True))

    assert all(batch.is_pinned() for processes in (0, 2) for batch in made(processes))
    assert [batch.tolist() for batch in made(0)] == [batch.tolist() for batch in made(2)]
