"""Sweeps: what a point stands for, what is wrong with one, what it trains, what the page says."""

import contextlib
import csv
import dataclasses
import html
import math
import re
from pathlib import Path

import pytest
from composed import preset
from drawings import OVERRIDES, write_dataset
from report_rows import make_rows
from tree import working_copy

from dpc import artifacts
from dpc.cli import main
from dpc.errors import ParamsError
from dpc.params.load import checked, description_for
from dpc.params.render import render
from dpc.params.sections import Params
from dpc.params.sweep_rules import applied, lacking, own_point, resolved, shots_of
from dpc.report.page import ReportContext, build
from dpc.stages import finetune, slices, tune
from dpc.stages.cells import Draw, Method
from dpc.stages.layout import Layout, PointLayout

ALL = ("run.backbones=[coop,maple,promptsrc,promptkd]",)


def with_points(points, **sweep) -> dict:
    values = preset("smoke", ALL)
    values["sweeps"] = {"mine": {"points": points, **sweep}}
    values["run"]["sweeps"] = ["mine"]
    return values


@pytest.fixture(scope="module")
def params() -> Params:
    values = preset("icons")
    values["dpc"]["by_backbone"]["maple"]["negatives"] = {"refill": True}
    return checked(values)


def test_a_point_wins_over_what_a_backbone_has_of_its_own(params):
    found = applied(params, "maple", {"dpc.lr": 1, "dpc.negatives.k": 8, "backbone.length": 3})
    before, after = params.stage_two("maple"), found.stage_two("maple")
    negatives = dataclasses.replace(before.negatives, k=8)
    expected = dataclasses.replace(before, lr=1.0, negatives=negatives, sweep=[], sweep_new=[])
    assert after == expected
    assert before.lr == 0.03 and before.negatives.refill and isinstance(after.lr, float)
    assert found.block("maple") == params.block("maple") | {"length": 3}
    for other in ("coop", "promptsrc", "promptkd"):
        assert found.stage_two(other) == params.stage_two(other)
        assert found.block(other) == params.block(other)


def test_a_point_that_is_the_grid_leaves_it_as_it_is(params):
    assert applied(params, "maple", {"dpc.lr": 0.03, "backbone.depth": 3}) is params
    assert applied(params, "maple", {"shots": 1}) is params
    assert applied(params, "coop", {"dpc.lr": 0.03}) is not params
    assert [own_point(params, "negatives", name) for name in ("coop", "promptkd")] == ["k4-b8"] * 2
    assert own_point(params, "shots", "coop") == "shots16"
    assert own_point(params, "depth", "promptsrc") == "d3"
    assert own_point(params, "depth", "coop") is own_point(params, "length", "coop") is None


def test_depth_is_every_number_of_prompted_layers(params):
    block = applied(params, "promptsrc", {"backbone.depth": 1}).block("promptsrc")
    assert (block["text_depth"], block["image_depth"]) == (1, 1)
    assert applied(params, "promptkd", {"backbone.depth": 1}).block("promptkd")["depth"] == 1
    assert lacking(params, "depth", "coop") == "it has no depth"
    assert lacking(params, "length", "promptkd") == "it has no init"
    assert lacking(params, "negatives", "promptkd") == ""


def test_a_sweep_may_be_of_some_backbones():
    found = checked(with_points({"a": {"dpc.batch": 2}}, backbones=["maple"]))
    assert lacking(found, "mine", "maple") == ""
    assert lacking(found, "mine", "coop") == "sweeps.mine.backbones leaves it out"


def test_a_point_wins_over_exceptions_and_has_the_most_shots():
    values = preset("icons")
    settings = {"epochs": 7, "lr": 0.5}
    values["exceptions"] = {"few": {"backbone": "coop", "shots": [2], "settings": settings}}
    found = checked(values)
    here = applied(resolved(found, "icons-tabler", 2), "coop", {"shots": 2, "backbone.epochs": 3})
    block = here.at("icons-tabler", 2).block("coop")
    assert (block["epochs"], block["lr"]) == (3, 0.5)
    for shots, most in (([1, 16, 4], 16), ([1, 0, 4], 0)):
        run = dataclasses.replace(found.run, shots=shots)
        assert shots_of(dataclasses.replace(found, run=run), {}) == most
    assert shots_of(found, {"shots": 2}) == 2


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ({}, "sweeps.mine.points is empty; at least one"),
        ({"a b": {"dpc.batch": 2}}, "sweeps.mine.points.a b: the name becomes a file;"),
        ({4: {"dpc.batch": 2}}, "sweeps.mine.points.4: the name becomes a file;"),
        ({"a": {}}, "sweeps.mine.points.a changes nothing; keys are expected, as dpc.batch: 16"),
        ({"a": {"batch": 4}}, "sweeps.mine.points.a.batch is no key of a point; did you mean "),
        (
            {"a": {"dpc.negatives.kk": 4}},
            "sweeps.mine.points.a.dpc.negatives.kk is not a parameter",
        ),
        ({"a": {"dpc.weight": 2}}, "points.a.dpc.weight is 2; a number in [0, 1] is expected"),
        ({"a": {"dpc.sweep": [1]}}, "points.a.dpc.sweep is not a parameter"),
        ({"a": {"dpc.by_backbone": {}}}, "points.a.dpc.by_backbone is not a parameter"),
        ({"a": {"shots": -1}}, "points.a.shots is -1; a whole number of at least 0 is expected"),
        ({"a": {"backbone.lenght": 4}}, "no backbone here has it; did you mean backbone.length?"),
        (
            {"a": {"backbone.depth": 0}},
            "points.a.backbone.depth is 0; a whole number of at least 1",
        ),
        ({"a": {"backbone.depth": 9}}, "sweeps.mine.points.a: backbones.maple.depth is 9 and the "),
        (
            {"a": {"dpc.weight": 0, "dpc.parametrization": "mixed"}},
            "sweeps.mine.points.a: dpc.by_backbone.coop: weight 0 and parametrization mixed",
        ),
    ],
)
def test_what_is_wrong_with_a_point_is_one_line(points, words):
    with pytest.raises(ParamsError) as caught:
        checked(with_points(points))
    lines = str(caught.value).splitlines()
    assert any(words in line for line in lines)
    assert all(line.startswith("params.yaml: sweeps.mine") for line in lines)


def test_names_of_a_sweep_are_checked():
    values = with_points({"a": {"dpc.batch": 2}}, backbones=["mapel"])
    values["run"]["sweeps"] = ["mine", "negatifs"]
    with pytest.raises(ParamsError) as caught:
        checked(values)
    assert "sweeps.mine.backbones: 'mapel' is not in run.backbones" in str(caught.value)
    assert "run.sweeps: 'negatifs' has no block under sweeps (known: mine)" in str(caught.value)


def test_another_curve_over_weights_trains_nothing(params):
    dpc = dataclasses.replace(params.dpc, sweep=[0.4], sweep_new=[0.6])
    other = dataclasses.replace(params, dpc=dpc)
    for backbone in params.run.backbones:
        for made in (slices.tune, slices.finetune, slices.budget):
            assert made(params, backbone) == made(other, backbone)
        row = Method(backbone, "dpc")
        assert slices.evaluate(params, row) != slices.evaluate(other, row)
        assert slices.evaluate(params, Method(backbone)) == slices.evaluate(other, Method(backbone))


def test_a_points_files_lie_with_the_grid_where_they_are_the_same():
    grid, draw = Layout(), Draw(4, 1)
    own = PointLayout(Path("scratch"), grid, own_shots=True)
    shared = PointLayout(Path("scratch"), grid, own_teacher=True)
    assert own.shots("a", draw) == Path("scratch/features/a/shots4-seed1.safetensors")
    assert shared.shots("a", draw) == grid.shots("a", draw)
    for name in ("teacher", "teacher_text", "teacher_images"):
        assert getattr(own, name)("a") == getattr(grid, name)("a")
        assert getattr(shared, name)("a").is_relative_to("scratch")
    for name in ("manifest", "images", "test_features"):
        assert getattr(own, name)("a") == getattr(grid, name)("a")
    assert own.tuned("a", "coop", draw).is_relative_to("scratch")


# The page, of made-up rows: two data sets, three seeds, a grid whose K is 4.

SETS = ("icons-tabler", "icons-remix")
CONTEXT = ReportContext(
    params={"run": {"backbones": ["coop"]}}, datasets=[{"name": name} for name in SETS]
)


def swept(gains, own="k4", seeds=(1, 2, 3), lead=lambda seed: 0.0) -> list[dict]:
    """Points whose base with DPC is ``gains`` above the grid's, and ``lead`` of a seed more."""
    grid = [r for r in make_rows(SETS, seeds) if r["backbone"] == "coop" and not r["budget"]]
    cells = []
    for dataset in SETS:
        rows = [
            {k: r[k] for k in ("dpc", "seed", "base", "new")}
            | {"point": point, "shots": 16}
            | ({"base": r["base"] + gain + (lead(r["seed"]) if gain else 0)} if r["dpc"] else {})
            for point, gain in gains.items()
            for r in grid
            if r["dataset"] == dataset
        ]
        same = {"sweep": "negatives", "dataset": dataset, "transductive": False}
        cells.append(same | {"backbone": "coop", "label": "CoOp", "lacking": "", "rows": rows})
        none = {"backbone": "maple", "label": "MaPLe", "lacking": "it has no K", "rows": []}
        cells.append(same | none)
    points = {p: {"dpc.negatives.k": int(p[1:]), "dpc.batch": 32 // int(p[1:])} for p in gains}
    entry = {"name": "negatives", "title": "K × B", "points": points, "own": {"coop": own}}
    return [entry | {"cells": cells}]


def page(sweeps, seeds=(1, 2, 3)) -> dict[str, bytes]:
    return build(make_rows(SETS, seeds), dataclasses.replace(CONTEXT, sweeps=sweeps))


def words(built) -> str:
    text = built["index.html"].decode()
    text = text[text.index('id="sweeps"') :]
    return html.unescape(" ".join(re.sub("<[^>]*>", " ", text[: text.index("sweeps.csv")]).split()))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_the_section_says_what_is_best_and_whether_seeds_tell():
    text = words(page(swept({"k2": 1.5, "k4": 0.0, "k8": -1.0})))
    assert "CoOp + DPC: base accuracy is highest at K × B = 2 × 16," in text
    assert "+1.50 points against the grid: more than the difference's standard dev" in text
    assert "MaPLe has no points here: it has no K." in text
    assert "4 × 8 (grid)" in text
    text = words(page(swept({"k2": 0.5, "k4": 0.0}, lead=lambda seed: seed - 2.0)))
    assert "+0.50 points against the grid: within the difference's standard deviation" in text
    text = words(page(swept({"k2": -0.5, "k4": 0.0})))
    assert "highest at K × B = 4 × 8" in text and "the grid's own value." in text
    text = words(page(swept({"k2": -0.5, "k8": -0.7}, own=None)))
    assert "−0.50 points against the grid: no point is better than the grid." in text
    assert "at every point" in words(page(swept({"k2": 0.0, "k4": 0.0})))
    text = words(page(swept({"k2": 0.5, "k4": 0.0}, seeds=(1,)), seeds=(1,)))
    assert "one seed has no spread" in text


@pytest.mark.slow
def test_the_file_and_the_figures_hold_the_averages_of_the_rows():
    sweeps = swept({"k2": 1.5, "k4": 0.0})
    built = page(sweeps)
    lines = list(csv.DictReader(built["sweeps.csv"].decode().splitlines()))
    assert {line["grid"] for line in lines if line["point"] == "k4"} == {"yes"}
    rows = [row for cell in sweeps[0]["cells"] for row in cell["rows"]]
    by_seed = {
        seed: [
            math.fsum(r[m] for r in rows if (r["point"], r["dpc"], r["seed"]) == ("k2", True, seed))
            / 2
            for m in ("base", "new")
        ]
        for seed in (1, 2, 3)
    }
    base, new = (math.fsum(each[i] for each in by_seed.values()) / 3 for i in (0, 1))
    expected = {"base": base, "new": new, "h": 2 * base * new / (base + new)}
    wanted = {"point": "k2", "dataset": "Average", "method": "coop+dpc"}
    found = {
        line["metric"]: float(line["mean"]) for line in lines if wanted.items() <= line.items()
    }
    assert found == pytest.approx(expected, abs=1e-4)
    drawn = list(csv.DictReader(built["figures/sweep-negatives-base.csv"].decode().splitlines()))
    (point,) = [x for x in drawn if (x["method"], x["point"]) == ("coop+dpc", "k2")]
    assert float(point["base"]) == pytest.approx(base, abs=1e-4)


@pytest.mark.usefixtures("undrawn")
def test_without_sweeps_there_is_a_file_and_no_section():
    built = build([], dataclasses.replace(CONTEXT, datasets=[]))
    assert 'id="sweeps"' not in built["index.html"].decode()
    assert built["sweeps.csv"].count(b"\n") == 1


# The stage, on small drawings.

POINTS = {
    "same": {"dpc.negatives.k": 2},
    "k3": {"dpc.negatives.k": 3, "dpc.batch": 1},
    "heavy": {"dpc.negatives.k": 3, "dpc.batch": 1, "dpc.weight": 0.5},
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """A tree whose grid is evaluated and whose sweeps are not, not to be changed."""
    root = tmp_path_factory.mktemp("evaluated")
    with contextlib.chdir(root):
        write_dataset(root)
        values = preset("smoke", [*OVERRIDES, "run.budget=[]", "run.sweeps=[k,shots]"])
        values["sweeps"] = {"k": {"points": POINTS}, "shots": {"points": {"one": {"shots": 1}}}}
        values["backbones"]["coop"]["lr"] = values["dpc"]["lr"] = 0.5
        Path("params.yaml").write_text(render(values, description_for(values)))
        for stage in ("slices", "prepare", "features", "tune", "finetune", "evaluate"):
            assert main([stage, "-q"]) == 0
    return root


@pytest.mark.slow
def test_a_point_shares_with_the_grid_and_with_other_points(evaluated, tmp_path, monkeypatch):
    working_copy(evaluated, tmp_path, monkeypatch)
    trained = []
    for module, name in ((tune, "tuned"), (finetune, "parallels")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real, name=name: (trained.append(name), real(*a))[1]
        )
    assert main(["sweep", "-q", "--name", "k"]) == 0
    assert trained == ["parallels"]  # of k3; heavy has the same P'
    assert not list(Path(".cache/sweeps").iterdir())
    path = Path("results/sweeps/k/shapes/coop.safetensors")
    rows = {(r["point"], r["dpc"]): r for r in artifacts.read(path).results["rows"]}
    assert len(rows) == 6
    for point, overrides in (
        ("same", []),
        ("k3", ["dpc.negatives.k=3", "dpc.batch=1"]),
        ("heavy", ["dpc.negatives.k=3", "dpc.batch=1", "dpc.weight=0.5"]),
    ):
        out = "results" if point == "same" else f"by-hand-{point}"
        command = ["evaluate", "-q", "--backbone", "coop", "--out", out, *overrides]
        assert point == "same" or main(command) == 0
        for kind in ("", "dpc"):
            name = Method("coop", kind).name
            row = artifacts.read(Path(f"{out}/evaluate/shapes/{name}/shots4-seed1.safetensors"))
            found = rows[point, bool(kind)]
            own = {key: value for key, value in found.items() if key not in ("point", "dpc")}
            assert {key: row.results[key] for key in own} == own
    assert rows["k3", True]["pairs_per_step"] == 3.0  # an image and all other classes
    trained.clear()
    first = path.read_bytes()
    path.unlink()
    assert main(["sweep", "-q", "--name", "k"]) == 0
    assert path.read_bytes() == first and trained == []
    assert main(["sweep", "-q", "--name", "shots", "--jobs", "2"]) == 0
    results = artifacts.read(Path("results/sweeps/shots/shapes/coop.safetensors")).results
    assert [row["shots"] for row in results["rows"]] == [1, 1]
    assert main(["report", "-q"]) == 0
    assert main(["verify", "-q"]) == 0
    assert b"shots" in Path("results/report/sweeps.csv").read_bytes()


@pytest.mark.slow
def test_a_sweep_that_is_unknown_or_missing_is_named(evaluated, tmp_path, monkeypatch, capsys):
    working_copy(evaluated, tmp_path, monkeypatch)
    assert main(["sweep", "-q", "--name", "mine"]) == 1
    assert "sweep 'mine' is not in run.sweeps (known: k, shots)" in capsys.readouterr().err
    assert main(["report", "-q"]) == 1
    assert "results/sweeps/k/shapes/coop.safetensors is missing" in capsys.readouterr().err
