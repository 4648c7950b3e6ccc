"""What a sweep's cell depends on, what it costs, what it says of failures, what it leaves."""

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from composed import preset
from doctor_trees import params_for
from test_doctor_grid import grid_of

from dpc import commands
from dpc.artifacts import Artifact
from dpc.errors import DpcError, TrainingError
from dpc.params.data import Departure, Imported
from dpc.params.load import checked, description_for
from dpc.params.render import render
from dpc.params.sweep_rules import lacking, own_point
from dpc.params.sweeps import Sweep
from dpc.stages import evaluate, imported, slice_files, slices, sweep
from dpc.stages.cells import Method
from dpc.stages.layout import SWEEPS, Layout
from dpc.stages.runner import identity

SET = "icons-tabler"
TEACHER = Imported(tuned="given/{dataset}.safetensors")


def with_sweep(points, backbones=("promptkd",), **values):
    """Two data sets of the benchmark with one sweep, ``mine``."""
    sets = f"run.datasets=[{SET},icons-many]"
    found = preset("icons", [f"run.backbones=[{','.join(backbones)}]", "run.budget=[]", sets])
    found["sweeps"] = {"mine": {"points": points}}
    found["run"]["sweeps"] = ["mine"]
    return checked(found | values)


LONG = with_sweep({"long": {"backbone.epochs": 8}})
SHOWN = with_sweep({"k": {"dpc.negatives.k": 2}})
DRAWN = with_sweep({"one": {"shots": 1}}, ("coop",))


def cell(params, backbone="promptkd"):
    """A sweep's slice and inputs, as far as they tell one result from another."""
    job = sweep.job(params, Layout(), "mine", SET, backbone)
    return identity(job.slice), {role: (each.path, each.slice) for role, each in job.inputs.items()}


def engines(params, backbone="promptkd"):
    """What both engines look at for all cells of that sweep and backbone."""
    return slice_files.all_slices(params)[f"sweep.mine.{backbone}"]


@pytest.fixture(scope="module")
def before():
    return cell(LONG)[0], engines(LONG)


def test_points_that_are_shown_more_views_have_a_teacher_of_their_own():
    def layout_of(params):
        (point,) = sweep.points(params, Layout(), Layout(Path("x")), "mine", SET, "promptkd")
        return point.layout

    assert layout_of(LONG).own_teacher and not layout_of(SHOWN).own_teacher
    assert {"manifest", "test"} < set(cell(LONG)[1])
    assert not {"teacher", "taught"} & set(cell(LONG)[1])
    assert {"teacher", "taught", "shots.shots16-seed1"} < set(cell(SHOWN)[1])
    assert "manifest" not in cell(SHOWN)[1]
    assert "manifest" in cell(DRAWN, "coop")[1]


@pytest.mark.parametrize(
    "other",
    [
        replace(LONG, teacher=replace(LONG.teacher, seed=99)),
        replace(LONG, data=replace(LONG.data, unlabelled=3)),
        replace(LONG, run=replace(LONG.run, seeds=[1])),
        replace(LONG, run=replace(LONG.run, together=2)),
        replace(LONG, dpc=replace(LONG.dpc, objective="cross_entropy")),
        replace(LONG, exceptions={"a": Departure("promptkd", [SET], settings={"lr": 0.5})}),
        replace(LONG, exceptions={"a": Departure("promptsrc", [SET], settings={"epochs": 2})}),
    ],
)
def test_a_cell_is_another_with_another_teacher_stage_or_draws(other, before):
    assert cell(other)[0] != before[0]
    assert engines(other) != before[1]


def test_the_code_of_the_teachers_learner_is_a_cells_too(monkeypatch):
    read = []
    monkeypatch.setattr(slices, "code_version", lambda *roots: read.append(roots) or "")
    slices.sweep(LONG, "mine", "promptkd")
    assert "dpc.backbones.promptsrc" in read[-1]


def test_files_from_elsewhere_are_hashed_for_the_sweeps_own_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("given").mkdir()
    taught = replace(LONG, imported={"teacher": TEACHER})
    place = "given/{dataset}-{shots}-{seed}"
    drawn = replace(DRAWN, imported={"coop": Imported(place, f"{place}-parallel")})

    for params, backbone, name in (
        (taught, "promptkd", f"{SET}.safetensors"),
        (drawn, "coop", f"{SET}-1-1"),
        (drawn, "coop", f"{SET}-1-1-parallel"),
    ):
        before = engines(params, backbone)
        (Path("given") / name).write_bytes(b"x")
        assert engines(params, backbone) != before, name
    inputs = cell(taught)[1]
    assert inputs["teacher.imported"][0] == Path(f"given/{SET}.safetensors")
    missed = {path.name for path, _ in imported.missing_files(drawn)}
    assert {f"{SET}-1-2", f"{SET}-16-1"} < missed and f"{SET}-1-1" not in missed


def test_keys_that_nothing_reads_where_prompts_come_from_elsewhere():
    place = "given/{dataset}-{shots}-{seed}"
    for points, tuned_alone, both in (
        ({"a": {"dpc.negatives.k": 2, "dpc.weight": 0.1}}, "", "dpc.negatives.k"),
        ({"a": {"dpc.weight": 0.1}, "b": {"dpc.inference": "parallel"}}, "", ""),
        ({"a": {"backbone.epochs": 2}}, "backbone.epochs", "backbone.epochs"),
        ({"a": {"shots": 1}}, "", ""),
    ):
        params = with_sweep(points, ("coop",))
        for parallel, key in (("", tuned_alone), (f"{place}-p", both)):
            found = replace(params, imported={"coop": Imported(place, parallel)})
            words = f"its prompts come from elsewhere, and nothing reads {key}" if key else ""
            assert lacking(found, "mine", "coop") == words


def test_the_grids_own_point_is_its_own_on_every_data_set():
    params = with_sweep({"d2": {"backbone.depth": 2}, "d3": {"backbone.depth": 3}}, ("maple",))
    assert own_point(params, "mine", "maple") == "d3"
    everywhere = Departure("maple", settings={"depth": 2})
    for entry, own in (
        (everywhere, "d2"),
        (replace(everywhere, datasets=[SET]), None),
        (replace(everywhere, shots=[4]), "d3"),
    ):
        assert own_point(replace(params, exceptions={"few": entry}), "mine", "maple") == own


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dpc.weight": 0.2, "dpc.weight.x": 1}, "dpc.weight.x stands inside dpc.weight; give"),
        ({"dpc.negatives": {"k": 2}, "dpc.negatives.k": 3}, "dpc.negatives.k stands inside dpc."),
        ({"dpc.negatives.k": 3, "dpc.negatives": {"k": 2}}, "dpc.negatives.k stands inside dpc."),
    ],
)
def test_a_key_inside_another_of_the_same_point_is_one_line(changes, words):
    with pytest.raises(DpcError, match=words):
        with_sweep({"a": changes})


def test_an_error_names_its_point_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = []

    def refuse(job):
        ran.append(job)
        raise TrainingError(f"{job.title}: loss 'contrastive' is nan")

    monkeypatch.setattr(sweep, "run", refuse)
    params = with_sweep({"k8": {"dpc.negatives.k": 8}}, ("coop",))
    job = sweep.job(params, Layout(), "mine", SET, "coop")
    with pytest.raises(DpcError, match=r"^sweeps\.mine\.points\.k8: tune icons-tabler coop .* is "):
        job.make({}, "key")
    (path,) = ran[0].outputs.values()
    assert path.is_relative_to(SWEEPS) and not list(SWEEPS.iterdir())


def test_gc_drops_what_no_sweep_wrote_to_for_a_day(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, age in (("old", 25), ("used", 25), ("new", 0)):
        path = SWEEPS / name / "point" / "row"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        for each in (path, path.parent, SWEEPS / name):
            os.utime(each, (time.time() - 3600 * age,) * 2)
    (SWEEPS / "used/point/later").write_bytes(b"x")
    commands.run_gc(type("Options", (), {"keep": "1GB"}))
    assert {path.name for path in SWEEPS.iterdir()} == {"used", "new"}
    assert "1 folders of killed runs dropped" in capsys.readouterr().out


class Drawing:
    """Models whose logits are given by weight."""

    parallel = True

    def __init__(self, labels, logits):
        self._labels, self._logits = labels, logits

    def labels(self, images):
        return self._labels if images == "test" else torch.zeros(0)

    def scores(self, images, classes, weights, rows=None):
        every = torch.arange(len(self._labels)) if rows is None else rows
        return {w: self._logits(w)[every][:, list(classes)] for w in weights}


def row_of(params, monkeypatch, logits, method="dpc"):
    labels = torch.arange(8) % 4
    found = contextlib.nullcontext(Drawing(labels, logits))
    monkeypatch.setattr("dpc.stages.models.models", lambda *_: found)
    test = Artifact({}, {"classnames": ["a", "b", "c", "d"], "base": 2}, {})
    facts = dict.fromkeys(("history", "images_seen", "steps", "learned"), 0)
    facts |= {"pairs_per_step": 1.0, "negatives": None}
    inputs = {"test": test, "tuned": Artifact({}, facts, {}), "parallel": Artifact({}, facts, {})}
    monkeypatch.setattr(evaluate, "of_row", lambda _: ({}, {}))
    return evaluate.evaluate(params, Layout(), SET, Method("coop", method), inputs, 1)


def without_curves(params, **changes):
    return replace(params, dpc=replace(params.dpc, sweep=[], sweep_new=[], **changes))


def test_a_row_without_curves_is_read_at_its_own_weights_alone(monkeypatch):
    read = []

    def logits(weight):
        read.append(weight)
        return torch.eye(4).repeat(2, 1) * (1 + weight)

    params = without_curves(DRAWN)
    row, arrays = row_of(params, monkeypatch, logits)
    assert row["curves"] == {"omega_b": [], "omega_n": []}
    assert row["selected"] == {"val": None} and "channels" not in row
    assert set(read) == {params.dpc.weight, params.dpc.weight_new}
    assert set(arrays) == {
        f"{part}.{kind}" for part in ("base", "new") for kind in ("logits", "predictions", "labels")
    }


@pytest.mark.parametrize("protocol", ["base-to-new", "generalized"])
def test_logits_that_are_no_numbers_are_one_line_with_the_fix(monkeypatch, protocol):
    params = replace(without_curves(DRAWN), protocol=protocol)
    for method, keys in (("dpc", "backbones.coop.lr or dpc.lr"), ("", "backbones.coop.lr")):
        with pytest.raises(TrainingError, match=f"not numbers: its prompts diverged; .* {keys}$"):
            row_of(params, monkeypatch, lambda _: torch.full((8, 4), torch.nan), method)


@pytest.mark.slow
def test_the_doctor_counts_points_that_the_grid_is_not():
    params = params_for(Path("data"), overrides=["run.budget=[]"])
    k, batch = params.dpc.negatives.k, params.dpc.batch
    points = {"own": {"dpc.negatives.k": k}, "k": {"dpc.batch": batch + 1}, "one": {"shots": 1}}
    points["weight"] = {"dpc.batch": batch + 1, "dpc.weight": 0.9}
    swept = replace(
        params, sweeps={"mine": Sweep(points=points)}, run=replace(params.run, sweeps=["mine"])
    )
    grid, plain = grid_of(swept), grid_of(params)
    before, after = plain.report(), grid.report()
    cells = len(params.run.datasets) * len(params.run.backbones) * len(params.run.seeds)
    assert (before.cells["sweep"], after.cells["sweep"]) == (0, 3 * cells)
    kinds = [(each.stage, each.shots) for each in grid._swept if each.backbone == "coop"]
    assert kinds == [("finetune", params.run.shots[0]), ("tune", 1), ("finetune", 1)]
    assert before.seconds["sweep"] == 0 < after.seconds["sweep"]
    assert after.disk > before.disk
    words = Sweep(points={"a": {"backbone.init": " ".join(["a"] * 40)}})
    long = replace(swept, sweeps={"mine": words})
    (problem,) = grid_of(long).report().problems
    assert "coop" in problem.what


@pytest.mark.slow
def test_passes_beyond_p_prime_are_counted_where_a_row_has_curves():
    params = params_for(Path("data"), overrides=["run.budget=[]"])
    grid, method = grid_of(params), Method("coop", "dpc")
    count = grid._mixes(params, method, SET)
    weights = {params.dpc.weight, *params.dpc.sweep, 1.2}, {params.dpc.weight_new}
    assert count == sum(map(len, (weights[0], weights[1] | set(params.dpc.sweep_new)))) / 2
    assert grid._mixes(without_curves(params), method, SET) == 1.0


def test_check_names_the_sweeps(tmp_path, capsys):
    values = preset("icons", ["run.sweeps=[negatives]"])
    (tmp_path / "p.yaml").write_text(render(values, description_for(values)))
    commands.run_check(type("Options", (), {"params": tmp_path / "p.yaml"}))
    assert "sweeps negatives (4 points)" in capsys.readouterr().out
