"""Every stage with all four backbones, their DPC and the rungs of the ablation, on tiny data."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import OVERRIDES, write_dataset
from tree import made_once, working_copy

from dpc import artifacts
from dpc.cli import main
from dpc.params.load import description_for, load, preset
from dpc.params.render import render
from dpc.stages.features import items_of
from dpc.stages.frozen import clip_for
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures, PixelBank

pytestmark = pytest.mark.slow

BACKBONES = ("coop", "maple", "promptsrc", "promptkd")
ABLATED = ("coop", "maple")
GRID = (
    f"run.backbones=[{','.join(BACKBONES)}]",
    f"run.ablations=[{','.join(ABLATED)}]",
    "dpc.lr=0.2",
    "dpc.epochs=3",
    "dpc.batch=4",
)
STAGES = ("prepare", "features", "teacher", "tune", "finetune", "evaluate", "report")


def run(*command: str) -> int:
    return main([command[0], "-q", *command[1:]])


def read(path: str) -> artifacts.Artifact:
    return artifacts.read(Path(path) / "shots4-seed1.safetensors")


def run_all_stages(root: Path) -> None:
    root.mkdir()
    with contextlib.chdir(root):
        write_dataset(root)
        values = preset("smoke", [*OVERRIDES, *GRID])
        Path("params.yaml").write_text(render(values, description_for(values)))
        for stage in STAGES:
            assert run(stage) == 0, stage


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A tree with every stage done, of all workers; not to be changed."""
    return made_once(tmp_path_factory.getbasetemp(), "all_backbones", run_all_stages)


@pytest.fixture()
def tree(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the finished tree as working directory."""
    return working_copy(finished, tmp_path, monkeypatch)


def test_nine_rows_and_the_rungs(tree):
    metrics = json.loads(Path("results/metrics.json").read_text())
    expected = {"zero_shot", "coop+budget", *BACKBONES, *(f"{name}+dpc" for name in BACKBONES)}
    assert set(metrics["averages"]) == expected
    flags = {(row["backbone"], row["transductive"]) for row in metrics["rows"]}
    assert {name for name, transductive in flags if transductive} == {"promptkd"}
    assert "transductive" in Path("results/report/index.html").read_text().lower()
    lines = Path("results/report/ablations.csv").read_text()
    for name in ABLATED:
        assert name in lines


@pytest.mark.parametrize("backbone", BACKBONES)
def test_dpc_keeps_new_classes_by_computing_them_and_moves_the_prompts(tree, backbone):
    tuned, dpc = (read(f"results/evaluate/shapes/{backbone}{end}") for end in ("", "+dpc"))
    assert dpc.results["new"] == tuned.results["new"]
    assert np.array_equal(dpc.tensors["new.logits"], tuned.tensors["new.logits"])
    assert not np.array_equal(dpc.tensors["base.logits"], tuned.tensors["base.logits"])
    before = read(f"results/tune/shapes/{backbone}").tensors
    after = read(f"results/finetune/shapes/{backbone}").tensors
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert not any("coupling" in name or "projector" in name for name in moved)
    # Computed, not copied: with another ω_n the same command gives other logits.
    assert run("evaluate", "--out", "w", "--backbone", backbone, "dpc.weight_new=1.0") == 0
    other = read(f"w/evaluate/shapes/{backbone}+dpc").tensors["new.logits"]
    assert not np.array_equal(other, tuned.tensors["new.logits"])


@pytest.mark.parametrize("backbone", ABLATED)
def test_four_rungs_are_four_sets_of_prompts_and_rows(tree, backbone):
    tuned = read(f"results/tune/shapes/{backbone}").tensors
    parallel = {
        kind: read(f"results/{kind}/shapes/{backbone}").tensors for kind in ("two_step", "finetune")
    }

    def mixed(weight):
        return {n: tuned[n] + weight * (parallel["finetune"][n] - tuned[n]) for n in tuned}

    prompts = {
        "ts": (parallel["two_step"], parallel["two_step"]),
        "dhno": (mixed(1.0), mixed(1.0)),
        "we": (mixed(0.2), mixed(0.2)),
        "dpc": (mixed(0.2), tuned),
    }
    rows = {rung: read(f"results/evaluate/shapes/{backbone}+{rung}") for rung in prompts}
    for one, other in combinations(prompts, 2):
        pairs = zip(prompts[one], prompts[other], strict=True)
        assert any(not np.array_equal(a[n], b[n]) for a, b in pairs for n in tuned), (one, other)
        halves = ("base.logits", "new.logits")
        same = [np.array_equal(rows[one].tensors[h], rows[other].tensors[h]) for h in halves]
        assert not all(same), (one, other)
    seen = {rung: found.results["images_per_step"] for rung, found in rows.items()}
    assert seen["ts"] == 3 or seen["ts"] == 4
    assert seen["dhno"] == seen["we"] == seen["dpc"] >= seen["ts"]
    weights = {r: (f.results["omega_b"], f.results["omega_n"]) for r, f in rows.items()}
    assert weights == {"ts": (1, 1), "dhno": (1, 1), "we": (0.2, 0.2), "dpc": (0.2, 0)}


def test_the_teacher_hands_on_every_class_and_training_image(tree):
    text = artifacts.read(Path("results/teacher/shapes/text.safetensors"))
    assert text.tensors["text.features"].shape == (6, 192)  # the larger CLIP's width
    assert len(text.results["classnames"]) == 6
    images = artifacts.read(Path("results/teacher/shapes/images.safetensors"))
    assert images.tensors["image.features"].shape == (24, 2, 192)
    assert len(items_of(images, "image")) == 24
    student = read("results/tune/shapes/promptkd")
    assert student.tensors["projector.0.weight"].shape == (192, 128)
    assert set(student.results["history"]) == {"distillation"}


def test_released_reading_of_promptkd(tree):
    """The teacher's text prompt is P, the image side is trained along, base is P' alone."""
    released = [
        "backbones.promptkd.dual=text",
        "dpc.parametrization=released",
        "dpc.couplings=trained",
        "dpc.inference=parallel",
    ]
    assert run("evaluate", "--out", "r", "--backbone", "promptkd", *released) == 0
    tuned, parallel = (read(f"r/{kind}/shapes/promptkd").tensors for kind in ("tune", "finetune"))
    teacher = artifacts.read(Path("r/teacher/shapes/text.safetensors")).tensors
    assert np.array_equal(tuned["text.0"], teacher["text.prompts.0"])
    for name in ("text.0", "image.0", "projector.0.weight", "projector.1.running_mean"):
        assert not np.array_equal(tuned[name], parallel[name]), name
    base, dpc = (read(f"r/evaluate/shapes/promptkd{end}") for end in ("", "+dpc"))
    assert np.array_equal(base.tensors["new.logits"], dpc.tensors["new.logits"])
    assert not np.array_equal(base.tensors["base.logits"], dpc.tensors["base.logits"])


def test_a_student_may_keep_its_distillation(tree):
    keep = "dpc.by_backbone.promptkd.keep_losses=[distillation]"
    assert run("finetune", "--out", "k", "--backbone", "promptkd", keep) == 0
    history = read("k/finetune/shapes/promptkd").results["history"]
    assert set(history) == {"contrastive", "distillation"}


def test_without_a_teacher_a_student_says_which_command_makes_one(tree, capsys):
    shutil.rmtree("results/teacher")
    assert run("tune", "--backbone", "promptkd") == 1
    error = capsys.readouterr().err
    assert "results/teacher/shapes/text.safetensors is missing; run `dpc teacher" in error


def test_cells_side_by_side_write_the_same_bytes(tree):
    before = {p: p.read_bytes() for p in Path("results").rglob("*.safetensors")}
    shutil.rmtree("results/tune")
    shutil.rmtree(".cache/store")
    assert run("tune", "--jobs", "2", "--part", "main") == 0
    for path in Path("results/tune").rglob("*.safetensors"):
        assert path.read_bytes() == before[path], path


def test_what_fails_beside_others_is_one_line(tree, capfd):
    Path("results/features/shapes/shots4-seed1.safetensors").write_bytes(b"cut")
    assert run("tune", "--jobs", "2", "--part", "main") == 1
    error = capfd.readouterr().err
    assert "shots4-seed1.safetensors is truncated" in error
    assert "Traceback" not in error


def test_more_epochs_than_views_in_every_training(tree):
    """Views repeat; the teacher has features of all that any of a student's trainings shows."""
    longer = ["backbones.promptkd.epochs=1", "dpc.epochs=5", "data.views.count=3"]
    longer += ["run.budget=[promptkd]"]
    assert run("tune", "--out", "v", "--backbone", "promptkd", *longer) == 0
    assert run("finetune", "--out", "v", "--backbone", "promptkd", *longer) == 0
    images = artifacts.read(Path("v/teacher/shapes/images.safetensors"))
    assert images.tensors["image.features"].shape[1] == 3
    short, prolonged = (read(f"v/{kind}/shapes/promptkd").results for kind in ("tune", "budget"))
    second = read("v/finetune/shapes/promptkd").results
    assert prolonged["images_seen"] >= short["images_seen"] + second["images_seen"]
    bound = short["images_seen"] + 5 * 12 * 2  # B·K pairs of the base classes' shots
    assert prolonged["images_seen"] < bound + 24  # an epoch of the whole split above it, at most


@pytest.mark.slow
def test_a_scratch_tree_may_work_side_by_side(tree):
    """Nothing of torch is in the process that forks: an earlier stage would leave threads."""
    command = [sys.executable, "-c", "import sys; from dpc.cli import main; sys.exit(main())"]
    arguments = ["tune", "-q", "--out", "x", "--jobs", "2", "--backbone", "coop"]
    done = subprocess.run([*command, *arguments, "run.threads=2", "run.seeds=[1,2]"], timeout=120)
    assert done.returncode == 0


def test_rungs_in_a_scratch_tree_bring_what_they_stand_on(tree):
    rungs = ["--part", "ablation", "--backbone", "coop", "dpc.weight=0.5"]
    assert run("evaluate", "--out", "a", *rungs) == 0
    assert read("a/evaluate/shapes/coop+we").results["omega_n"] == 0.5


def test_a_backbone_without_a_teacher_trains_none(tree):
    assert run("tune", "--out", "n", "--backbone", "coop", "backbones.coop.lr=0.1") == 0
    assert not list(Path("n").glob("teacher/*/*.safetensors"))


def test_negatives_from_the_whole_split_and_all_shots(tree):
    wide = ["dpc.negatives.pool=train", "dpc.negatives.k=9", "run.shots=[2]"]
    for backbone in BACKBONES:
        assert run("finetune", "--out", "t", "--backbone", backbone, *wide) == 0, backbone
    assert run("tune", "--out", "all", "--backbone", "maple", "run.shots=[0]") == 0


@pytest.mark.slow
def test_verify_names_what_is_left_of_a_larger_grid(tree, capsys):
    assert run("slices") == 0
    assert run("verify") == 0
    extra = Path("results/tune/shapes/coop/shots4-seed7.safetensors")
    shutil.copy(extra.with_name("shots4-seed1.safetensors"), extra)
    assert run("verify") == 1
    assert f"{extra}; delete" in capsys.readouterr().err


def test_pixels_rendered_on_several_threads_are_the_same(tree):
    layout, params = Layout(), load()
    clip = clip_for(params)
    items = items_of(
        artifacts.read(Path("results/features/shapes/shots4-seed1.safetensors")), "train"
    )
    wide = dataclasses.replace(params, run=dataclasses.replace(params.run, threads=3))
    views = []
    for chosen in (params, wide):
        with Pictures(chosen, layout, "shapes", clip) as pictures:
            bank = PixelBank(pictures, items, torch.zeros(len(items)))
            views.append(bank.views(torch.arange(len(items)), 1).images)
    assert torch.equal(*views)
