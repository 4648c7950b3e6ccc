"""`dpc compare`: what two trees were made with, by their artefacts, and what came of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_rows import make_rows
from test_stages_protocols import build
from tree import made_once

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.cli import main
from dpc.files import digest, write_atomically
from dpc.report import metrics
from dpc.stages.compare import compare
from dpc.stages.compared_rows import lines
from dpc.stages.origins import parameters
from dpc.stages.sides import read_side
from dpc.store import Store

SETS = ("icons-tabler", "icons-remix")
CLIP = {"weights": {"model": "icons", "sha256": "0" * 64}, "precision": "fp32", "threads": 1}
OPTIMIZER = {"momentum": 0.9}


def provenance(stage: str, cell: dict[str, Any], **read: Any) -> dict[str, Any]:
    made = {"stage": stage, "cell": cell, "code": "c" * 16, "device": "cpu", "inputs": {}}
    return made | {"params": {"clip": CLIP} | read, "sources": None}


def write(root: Path, name: str, artifact: Artifact) -> None:
    """An artefact of a made-up tree, the store told of it."""
    if name.endswith(".json"):
        content = artifacts.encode_json(artifact.results, artifact.provenance)
    else:
        content = artifacts.encode(artifact)
    write_atomically(root / name, content)
    key = digest(artifacts.canonical(artifact.provenance))
    Store(root.parent / ".cache/store").put(key, {}, {"torch": "2.0", "numpy": "1.9"})


def change(root: Path, name: str, results: dict | None = None, **made_with: Any) -> None:
    """Other results or provenance of an artefact."""
    old = artifacts.read(root / name)
    new = Artifact(old.tensors, {**old.results, **(results or {})}, {**old.provenance, **made_with})
    write(root, name, new)


def write_tree(root: Path, shots: int = 4, seeds: tuple[int, ...] = (1, 2)) -> Path:
    """Manifests, tuned prompts and rows of two sets, as a finished tree holds them."""
    for dataset in SETS:
        images = [[f"{n}.png", 0, str(n)] for n in range(4)]
        manifest = {"splits": {"train": images[:2], "test": images[2:]}, "classnames": ["a"]}
        manifest |= {"rule": "r", "template": None, "archive": None}
        about = provenance("prepare", {"dataset": dataset}, split_by="image")
        write(root, f"prepare/{dataset}/manifest.json", Artifact({}, manifest, about))
        for seed in seeds:
            cell = {"dataset": dataset, "backbone": "coop", "shots": shots, "seed": seed}
            read = {"backbone": {"lr": 0.1, "epochs": 2}, "optimizer": OPTIMIZER}
            drawn = {"context": np.full(2, seed, np.float32)}
            name = f"tune/{dataset}/coop/shots{shots}-seed{seed}.safetensors"
            write(root, name, Artifact(drawn, {}, provenance("tune", cell, **read)))
    for row in make_rows(SETS, seeds):
        drawn = row["seed"] is not None
        method = row["backbone"] + ("+dpc" if row["dpc"] else "+budget" if row["budget"] else "")
        own = {"shots": shots if drawn else None, "method": method, "protocol": "base-to-new"}
        cell = {"dataset": row["dataset"], "method": method, "seed": row["seed"]}
        read = {"protocol": "base-to-new", "weights": [0.2, 0.0]}
        stem = f"shots{shots}-seed{row['seed']}" if drawn else "all"
        made = Artifact({}, row | own, provenance("evaluate", cell, **read))
        write(root, f"evaluate/{row['dataset']}/{method}/{stem}.safetensors", made)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project folder with a tree and a store; not to be changed."""
    return write_tree(tmp_path_factory.mktemp("made") / "results").parent


@pytest.fixture()
def pair(made, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Two equal trees, the first one's folder as working directory."""
    for name in ("one", "two"):
        shutil.copytree(made, tmp_path / name)
    monkeypatch.chdir(tmp_path / "one")
    return tmp_path / "one/results", tmp_path / "two/results"


def said(capsys, *options: object) -> str:
    capsys.readouterr()
    assert main(["compare", "-q", *map(str, options)]) == 0
    return capsys.readouterr().out


def test_equal_trees_are_identical(pair, capsys):
    count = len(list(pair[0].rglob("*.*")))
    for other in (pair[1], pair[1].parent):
        assert said(capsys, "results", other) == f"identical: {count} artefacts, same hashes\n"
    (pair[1] / "report").mkdir()
    assert "identical" in said(capsys, pair[0], pair[1] / "report")


def test_parameters_have_their_names_and_the_cells_that_they_are_of(pair):
    for dataset in SETS:
        for seed in (1, 2):
            name = f"tune/{dataset}/coop/shots4-seed{seed}.safetensors"
            read = artifacts.read(pair[1] / name).provenance["params"]
            epochs = 9 if dataset == SETS[0] else 2
            other = read | {"backbone": {"lr": 0.2, "epochs": epochs}, "optimizer": {}}
            change(pair[1], name, params=other)
            row = f"evaluate/{dataset}/coop+dpc/shots4-seed{seed}.safetensors"
            read = artifacts.read(pair[1] / row).provenance["params"]
            change(pair[1], row, params=read | {"weights": [0.5, 0.0]})
    found = compare(read_side(pair[0]), read_side(pair[1]))
    assert [(each.key, each.first, each.second, each.where) for each in found.params] == [
        ("backbones.coop.epochs", 2, 9, SETS[0]),
        ("backbones.coop.lr", 0.1, 0.2, ""),
        ("dpc.weight", 0.2, 0.5, ""),
        ("optimizer.momentum", 0.9, "(none)", ""),
    ]
    assert found.other == 0 and not found.identical and not (found.code or found.data)


def test_accuracies_are_averaged_over_the_rows_that_both_have(pair, capsys):
    """Against the obvious means: over seeds, then sets, H of both; a seed that one lacks is out."""
    pairs = {}
    for row in make_rows(SETS, (1, 2)):
        method = row["backbone"] + ("+dpc" if row["dpc"] else "+budget" if row["budget"] else "")
        if method != "coop+dpc":
            continue
        name = f"evaluate/{row['dataset']}/coop+dpc/shots4-seed{row['seed']}.safetensors"
        if row["seed"] == 2 and row["dataset"] == SETS[1]:
            (pair[1] / name).unlink()
            continue
        new = row["base"] + row["seed"]
        change(pair[1], name, {"base": new})
        pairs.setdefault(row["dataset"], []).append((row["base"], new, row["new"]))
    first, second, others = np.mean([np.mean(each, axis=0) for each in pairs.values()], axis=0)
    found = compare(read_side(pair[0]), read_side(pair[1]))
    (line,) = [each for each in lines(found) if each.method == "coop+dpc"]
    assert line.sets == 2
    for mine, base in ((line.first, first), (line.second, second)):
        assert mine["base"] == pytest.approx(base) and mine["new"] == pytest.approx(others)
        assert mine["h"] == pytest.approx(2 * base * others / (base + others))
    gains = line.differences()
    assert gains["base"] == pytest.approx((1.5 + 1) / 2) and gains["new"] == 0
    text = said(capsys, *pair)
    assert f"{first:.2f} → {second:.2f} (+1.25)" in text and "(=)" in text
    assert f"rows that only {pair[0]} has:\n  coop+dpc on {SETS[1]}, 4 shots, seed 2\n" in text
    assert text.count("coop+budget") == 1
    whole = said(capsys, *pair, "--all")
    assert whole.count("coop+budget") == 3 and "(+1.50)" in whole


def test_code_and_libraries_alone_are_said_to_be_alone(pair, capsys):
    for path in pair[1].glob("tune/*/*/*"):
        change(pair[1], path.relative_to(pair[1]).as_posix(), code="d" * 16)
    text = said(capsys, *pair)
    rows = len(list(pair[0].glob("evaluate/*/*/*")))
    assert f"only code differs, and all {rows} rows that both have agree to the digit" in text
    assert "other versions: code of tune (--all)" in text
    assert "code of tune: cccccccc → dddddddd" in said(capsys, *pair, "--all")
    shutil.rmtree(pair[1].parent / ".cache")
    for path in pair[0].rglob("*.*"):
        key = digest(artifacts.canonical(artifacts.examine(path, "").provenance))
        store = Store(pair[1].parent / ".cache/store")
        store.put(key, {}, {"torch": "2.1", "numpy": "1.9"})
    text = said(capsys, *pair)
    assert "torch: 2.0 → 2.1" in text and "numpy" not in text
    assert "only code and libraries differ" in text


def test_numbers_that_differ_for_no_reason_are_not_passed_over(pair, capsys):
    name = f"evaluate/{SETS[0]}/coop/shots4-seed1.safetensors"
    change(pair[1], name, {"base": 1.0})
    assert "made with the same, and yet 1 artefacts hold other numbers" in said(capsys, *pair)


def test_other_images_are_counted_and_other_test_images_warned_of(pair, capsys):
    name = f"prepare/{SETS[0]}/manifest.json"
    splits = artifacts.read(pair[1] / name).results["splits"]
    change(pair[1], name, {"splits": splits | {"test": [*splits["test"][1:], ["9.png", 0, "9"]]}})
    change(pair[1], f"evaluate/{SETS[0]}/coop/shots4-seed1.safetensors", {"base": 1.0})
    text = said(capsys, *pair)
    assert (
        f"{SETS[0]}: 2 train, 2 test → 2 train, 2 test  (test: 1 only here, 1 only there)" in text
    )
    assert f"(other test images on one side than on the other: {SETS[0]})" in text


def test_one_number_of_shots_on_each_side_is_a_parameter(tmp_path, capsys):
    one = write_tree(tmp_path / "one/results")
    two = write_tree(tmp_path / "two/results", shots=16, seeds=(2, 3))
    found = compare(read_side(one), read_side(two))
    assert [(each.key, each.first, each.second) for each in found.params] == [("run.shots", 4, 16)]
    assert {cell[3] for cell in found.common} == {None, 2} and len(found.common) == 8
    assert f"coop on {SETS[0]}, seed 1" in found.only[0] and len(found.only[1]) == 6


def test_metrics_alone_are_compared_and_said_to_be_alone(pair, tmp_path, capsys):
    rows = make_rows(SETS, (1, 2))
    rows = [row | {"shots": None if row["seed"] is None else 4} for row in rows]
    content = metrics.build(rows, "icons")
    alone = tmp_path / "m/metrics.json"
    write_atomically(alone, json.dumps(content).encode())
    text = said(capsys, alone, alone.parent)
    assert "numbers alone" in text and "the same to the digit, in all 14 rows" in text
    printed = json.loads(said(capsys, alone, pair[1], "--json"))
    assert printed["cells"] == {"common": 14, "only": [[], []]} and not printed["identical"]
    assert printed["averages"][0]["method"] == "zero_shot" and set(printed["datasets"]) == set(SETS)


def test_the_numbers_of_a_tree_are_those_in_its_metrics(pair, tmp_path, capsys):
    """Which are rounded: on both sides then, or every row differs."""
    for path in pair[0].glob("evaluate/*/*/*"):
        name = path.relative_to(pair[0]).as_posix()
        change(pair[0], name, {"base": artifacts.read(path).results["base"] + 1e-7 / 3})
    rows = read_side(pair[0]).rows
    alone = tmp_path / "m/metrics.json"
    write_atomically(alone, json.dumps(metrics.build(rows.values(), "icons")).encode())
    for sides in ((pair[0], alone), (alone, pair[0])):
        text = said(capsys, *sides)
        assert f"the same to the digit, in all {len(rows)} rows" in text
        assert "artefacts" not in text and "(+0.00)" not in text
    assert json.loads(said(capsys, pair[0], alone, "--json"))["artefacts"]["only"] == [[], []]


@pytest.mark.parametrize("fault", [{"protocol": None}, {"protocol": "none such"}, {"selection": 0}])
def test_a_metrics_json_without_what_is_needed_is_one_line(tmp_path, capsys, fault):
    content = metrics.build(make_rows(SETS[:1], (1,)), "icons")
    key, value = next(iter(fault.items()))
    for row in content["rows"]:
        row[key] = value
        if not value:
            del row[key]
    write_atomically(tmp_path / "metrics.json", json.dumps(content).encode())
    assert main(["compare", "-q", str(tmp_path), str(tmp_path)]) == 1
    assert "metrics.json is no metrics.json of `dpc report`" in capsys.readouterr().err


def test_rungs_of_an_ablation_are_lines(pair, capsys):
    row = make_rows(SETS[:1], (1,))[1] | {"rung": "ts", "protocol": "base-to-new", "shots": 4}
    name = f"evaluate/{SETS[0]}/coop+ts/shots4-seed1.safetensors"
    cell = {"dataset": SETS[0], "method": "coop+ts", "seed": 1}
    for root, base in zip(pair, (50.0, 52.0), strict=True):
        results = row | {"method": "coop+ts", "base": base}
        write(root, name, Artifact({}, results, provenance("evaluate", cell)))
    found = compare(read_side(pair[0]), read_side(pair[1]))
    methods = [each.method for each in lines(found)]
    assert methods == ["zero_shot", "coop", "coop+budget", "coop+dpc", "coop+ts"]
    assert lines(found)[-1].differences()["base"] == pytest.approx(2)
    assert "50.00 → 52.00 (+2.00)" in said(capsys, *pair)


def swept(weight: float, lr: float, points: dict[str, int]) -> dict[str, Any]:
    """Provenance of a sweep over K; every point has the grid's weight and rate."""
    works = {
        point: {
            "tune": {"backbone": {"lr": lr, "length": k}},
            "finetune": {"dpc": {"negatives": {"k": k}}},
            "evaluate+dpc": {"weights": [weight, 0.0], "dpc": {"sweep": [] if k > 2 else [1]}},
            "draws": [[[4, 1]], [[4, 2]]],
        }
        for point, k in points.items()
    }
    cell = {"sweep": "negatives", "dataset": SETS[0], "backbone": "coop"}
    made = provenance("sweep", cell)
    return made | {"params": {"points": works, "lacking": ""}}


def test_a_sweep_has_the_names_of_params_yaml_and_its_rows_are_said_to_be_left_out(pair, capsys):
    """What its points share is one key, and of the grid's name."""
    name = f"sweeps/negatives/{SETS[0]}/coop.safetensors"
    sides = (swept(0.2, 0.1, {"k2": 2, "k4": 4}), swept(0.5, 0.1, {"k2": 2, "k4": 8}))
    for root, made in zip(pair, sides, strict=True):
        write(root, name, Artifact({}, {"rows": [made["params"]["points"]["k4"]]}, made))
    found = compare(read_side(pair[0]), read_side(pair[1]))
    assert [(each.key, each.first, each.second) for each in found.params] == [
        ("dpc.weight", 0.2, 0.5),
        ("sweeps.negatives.points.k4.backbone.length", 4, 8),
        ("sweeps.negatives.points.k4.dpc.negatives.k", 4, 8),
    ]
    assert "rows of sweeps: not compared" in said(capsys, *pair)
    assert parameters(sides[0])["run.seeds"] == [1, 2]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "gone does not exist"),
        ("empty", "empty holds neither prepare/, evaluate/, tune/, features/ nor metrics.json"),
        ("bare", "bare holds no artefact; run `snakemake"),
        ("x.json", "x.json is no metrics.json of `dpc report`"),
        ("damaged", "damaged/tune/a/b/shots4-seed1.safetensors is truncated or not an artefact"),
    ],
)
def test_what_cannot_be_compared_is_one_line(pair, capsys, name, words):
    Path("empty").mkdir()
    Path("bare/tune").mkdir(parents=True)
    Path("x.json").write_text("[]")
    write_atomically(Path("damaged/tune/a/b/shots4-seed1.safetensors"), b"x")
    assert main(["compare", "-q", "results", name]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_slices_have_the_names_of_params_yaml():
    cell = {"dataset": "own", "backbone": "maple", "method": "maple+we"}
    read = {"backbone": {"lr": 1}, "clip": CLIP, "views": {"count": 2}, "seed": 3, "imported": True}
    teacher = parameters({"stage": "teacher", "cell": {"dataset": "own"}, "params": read})
    assert teacher == {
        "teacher.settings.lr": 1,
        "teacher.model": "icons",
        "teacher.sha256": "0" * 64,
        "clip.precision": "fp32",
        "run.threads": 1,
        "data.views.count": 2,
        "teacher.seed": 3,
        "imported.teacher.tuned": True,
    }
    rung = {"stage": "evaluate", "cell": cell, "params": {"weights": [0.5, 0.5], "new": 1}}
    assert parameters(rung) == {"evaluate: new": 1}  # a rung's ω_n is its ω_b: no parameter
    own = {"stage": "prepare", "cell": cell, "params": {"shares": [1], "test_cap": 5}}
    assert parameters(own) == {"data.on_disk.own.shares": [1], "data.test_cap": 5}
    stage_two = {"stage": "finetune", "cell": cell, "params": {"imported": True, "dpc": {"lr": 1}}}
    assert parameters(stage_two) == {"imported.maple.parallel": True, "dpc.lr": 1}


@pytest.mark.slow
def test_trees_of_two_protocols(tmp_path_factory, monkeypatch, capsys):
    root = made_once(tmp_path_factory.getbasetemp(), "protocols", build)
    monkeypatch.setenv("DPC_STORE", str(root / "store"))
    text = said(capsys, root / "base-to-new", root / "generalized")
    assert "protocol: base-to-new → generalized" in text
    assert "dpc.weight: 0.2 → 0.5" in text
    assert "not to be compared, the protocols are base-to-new and generalized" in text
    assert "identical" in said(capsys, root / "few-shot", root / "few-shot" / "results")
    few = compare(read_side(root / "few-shot"), read_side(root / "few-shot"))
    assert {each.method for each in lines(few)} >= {"coop@1", "coop+dpc@3", "zero_shot"}
    across = compare(read_side(root / "cross-dataset"), read_side(root / "cross-dataset"))
    assert set(lines(across)[0].first) == {"source", "targets"}
