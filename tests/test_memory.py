"""Memory that runs out, and results of another kind of device: one line each, and what to do."""

import contextlib
import dataclasses
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from drawings import OVERRIDES, write_dataset
from tree import working_copy

from dpc import artifacts
from dpc.cli import main
from dpc.errors import DpcError
from dpc.params.load import description_for, load, preset
from dpc.params.render import render
from dpc.params.sections import Params
from dpc.stages import dry_run, machine, memory, plan, runner
from dpc.stages.cells import methods
from dpc.stages.inputs import row_input
from dpc.stages.layout import Layout
from dpc.stages.plan import Selection, jobs

pytestmark = pytest.mark.slow  # whole stages and commands

GRID = ["run.backbones=[maple]", "run.budget=[]", "backbones.maple.batch=8", "dpc.batch=4"]
CELL = "maple 4 shots seed 1"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Prepared, with features; maple is to be tuned."""
    root = tmp_path_factory.mktemp("memory")
    with contextlib.chdir(root):
        write_dataset(root)
        values = preset("smoke", [*OVERRIDES, *GRID])
        Path("params.yaml").write_text(render(values, description_for(values)))
        for stage in ("prepare", "features"):
            assert main([stage, "-q"]) == 0
    return root


@pytest.fixture()
def tree(finished, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(memory, "_give_back", lambda _: None)  # takes longer than the rest
    return working_copy(finished, tmp_path, monkeypatch)


def job_of(stage: str, params: Params) -> runner.Job:
    return next(jobs(stage, params, Layout(), Selection()))


def said(capsys, *command: str) -> str:
    """The one line of a command that fails."""
    assert main([command[0], "-q", *command[1:]]) == 1
    error = capsys.readouterr().err
    assert error.startswith("dpc: ") and error.count("\n") == 1, error
    return error[5:-1]


def cpu_is_full(*_, **__):
    torch.empty(2**50)


def gpu_is_full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("full", [cpu_is_full, gpu_is_full])
def test_a_training_names_the_batch_that_fits(tree, capsys, monkeypatch, full):
    monkeypatch.setattr(torch.optim.SGD, "step", full)
    line = said(capsys, "tune")
    assert line == f"tune shapes {CELL}: memory ran out; take backbones.maple.batch=4"  # of 8


def test_what_a_failed_step_held_is_gone_when_room_is_looked_for(monkeypatch):
    held = []

    def run(job):
        tensor = torch.zeros(1)
        held.append(weakref.ref(tensor))
        tensor + torch.empty(2**50)

    monkeypatch.setattr(memory, "run", run)
    monkeypatch.setattr(memory, "_advice", lambda *_: f"gone: {held[0]() is None}")
    job = runner.Job("tune", {}, {}, {}, {}, lambda *_: {})
    with pytest.raises(DpcError, match="tune: memory ran out; gone: True"):
        memory.run_within(None, job)


def test_stage_two_has_a_batch_of_its_own_and_others_leave_what_they_leave(tree, monkeypatch):
    job = job_of("finetune", load())
    assert memory._advice(load(), job) == "take dpc.batch=2"  # of 4
    room = dry_run.plan_of(load(), job).memory_of(1)
    monkeypatch.setattr(machine, "available_memory", lambda _: room)
    assert memory._advice(load(), job) == "take dpc.batch=1"
    monkeypatch.setattr(machine, "available_memory", lambda _: 1000)
    assert memory._advice(load(), job).startswith("nothing smaller fits")


@pytest.mark.parametrize("override", ["backbones.maple.batch=1", "run.backbones=[coop]"])
def test_where_the_batch_is_one_or_makes_no_difference(tree, monkeypatch, override):
    """bf16, where the estimate says that it takes less; else nothing is left to try."""
    params = load(overrides=[override])
    job = job_of("tune", params)
    assert memory._advice(params, job).startswith("nothing smaller fits: take a smaller clip.model")
    heavy = dry_run.plan_of(params, job)
    leaner = dataclasses.replace(heavy, leaner=dataclasses.replace(heavy, state=0))
    monkeypatch.setattr(dry_run, "plan_of", lambda *_: leaner)
    assert memory._advice(params, job) == "take clip.precision=bf16"


def test_where_no_batch_is_chosen(tree, capsys, monkeypatch):
    monkeypatch.setattr(torch, "cat", gpu_is_full)
    shutil.rmtree(".cache/store")
    line = said(capsys, "features", "--only-test")
    expected = "features shapes: memory ran out; take clip.precision=bf16, a smaller clip.model"
    assert line == expected
    teacher = runner.Job("teacher", {}, {}, {}, {}, lambda *_: {})
    ways = "clip.precision=bf16, a smaller batch in teacher.settings, a smaller teacher.model"
    assert memory._advice(load(), teacher) == f"take {ways}"
    taught = dataclasses.replace(teacher, stage="teacher_features")
    ways = "clip.precision=bf16, a smaller teacher.model"
    assert memory._advice(load(), taught) == f"take {ways}"
    assert "clip" not in memory._advice(load(), job_of("prepare", load()))
    job = dataclasses.replace(job_of("tune", load()), device="cuda")
    shared = dataclasses.replace(load(), run=dataclasses.replace(load().run, gpu_share=2))
    monkeypatch.setattr(memory, "_of_training", cpu_is_full)
    assert memory._advice(shared, job) == "take a smaller clip.model, or run.gpu_share=1"


def test_other_errors_are_not_taken_for_it(tree, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(torch.optim.SGD, "step", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        main(["tune", "-q"])


def on_cuda(path: Path) -> None:
    """The artefact as a GPU would have written it, numbers apart."""
    found = artifacts.read(path)
    provenance = dict(found.provenance) | {"device": "cuda"}
    path.write_bytes(artifacts.encode(dataclasses.replace(found, provenance=provenance)))


def test_the_kind_of_device_is_in_the_key():
    job = runner.Job("tune", {}, {"params": {}, "code": ""}, {}, {}, lambda *_: {}, "cpu")
    other = dataclasses.replace(job, device="cuda")
    assert runner.provenance_of(job, {}) != runner.provenance_of(other, {})


def test_what_another_kind_of_device_made_is_no_input(tree, capsys):
    path = Path("results/features/shapes/shots4-seed1.safetensors")
    on_cuda(path)
    assert said(capsys, "tune") == (
        f"{path} was made on cuda and tune shapes {CELL} computes on cpu: "
        "run `dpc features --dataset shapes` here, or set clip.device: cuda"
    )
    assert main(["features", "-q"]) == 0  # from the store of this kind
    assert main(["tune", "-q"]) == 0


def test_who_computes_nothing_reads_what_a_gpu_made(tree):
    """As the report and `dpc verify` do, wherever they run."""
    assert main(["evaluate", "-q", "--backbone", "zero_shot"]) == 0
    params, layout = load(), Layout()
    test, row = layout.test_features("shapes"), layout.evaluated("shapes", "zero_shot", None)
    for path in (test, row):
        on_cuda(path)
    (method,) = (method for method in methods(params) if method.seedless)
    read = row_input(params, layout, "shapes", method, None)
    assert read.read().provenance["device"] == read.examine().provenance["device"] == "cuda"
    (job,) = jobs("evaluate", params, layout, Selection(backbones=["zero_shot"]))
    assert plan._fresh(job, plan._Known())
