"""Each stage on a small dataset, what it leaves behind, and all that can be wrong with it."""

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawings import OVERRIDES, write_dataset
from PIL import Image
from tree import working_copy

from dpc import artifacts
from dpc.cli import main
from dpc.clip.spec import WEIGHTS_FOLDER
from dpc.params.load import description_for, preset
from dpc.params.render import render
from dpc.stages import checkpoints

pytestmark = pytest.mark.slow  # whole stages and commands

STAGES = ("prepare", "features", "tune", "finetune", "evaluate", "report")


def write_params(*overrides: str) -> None:
    values = preset(
        "smoke",
        [
            *OVERRIDES,
            "dpc.epochs=4",
            "dpc.lr=0.05",
            *overrides,
        ],
    )
    Path("params.yaml").write_text(render(values, description_for(values)))


def run(*command: str) -> int:
    return main([command[0], "-q", *command[1:]])


def finish(root: Path, *overrides: str) -> Path:
    """A tree at ``root`` in which every stage is done."""
    with contextlib.chdir(root):
        write_dataset(root)
        write_params(*overrides)
        for stage in STAGES:
            assert run(stage) == 0
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A tree with every stage done, not to be changed."""
    return finish(tmp_path_factory.mktemp("finished"))


@pytest.fixture()
def tree(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the finished tree as working directory."""
    return working_copy(finished, tmp_path, monkeypatch)


def refused(capsys, words: str, *command: str, code: int = 1) -> None:
    """The command fails with one line that holds ``words``, and no traceback."""
    assert run(*command) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def row(
    method: str, seed: str = "shots4-seed1", root: Path = Path("results")
) -> artifacts.Artifact:
    return artifacts.read(root / f"evaluate/shapes/{method}/{seed}.safetensors")


def contents(root: Path = Path("results")) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_report_holds_every_row(tree):
    metrics = json.loads(Path("results/metrics.json").read_text())
    rows = {
        (r["backbone"], r["dpc"], r["budget"], r["selection"], r["seed"]) for r in metrics["rows"]
    }
    assert {
        ("zero_shot", False, False, "last", None),
        ("coop", False, False, "last", 1),
        ("coop", False, True, "last", 1),
        ("coop", True, False, "last", 1),
        ("coop", True, False, "val", 1),
        ("coop", True, False, "test_oracle", 1),
    } <= rows
    assert set(metrics["averages"]) == {"zero_shot", "coop", "coop+budget", "coop+dpc"}
    assert len(json.loads(Path("results/summary.json").read_text())) <= 10


def test_evaluate_keeps_logits_and_predictions_of_every_test_image(tree):
    found = row("coop+dpc")
    for half in ("base", "new"):
        logits, labels = found.tensors[f"{half}.logits"], found.tensors[f"{half}.labels"]
        assert logits.dtype == np.float16
        assert logits.shape == (found.results[f"n_{half}"], found.results[f"classes_{half}"])
        right = found.tensors[f"{half}.predictions"] == labels
        assert found.results[half] == pytest.approx(100 * right.mean())


def test_new_classes_keep_the_tuned_prompt_and_the_way_to_the_parallel_one_is_computed(tree):
    """ω_n = 0 is P to the bit, ω_n = 1 is P', and what lies between is neither."""
    tuned = row("coop").tensors["new.logits"]
    assert np.array_equal(row("coop+dpc").tensors["new.logits"], tuned)
    logits = {}
    for weight in ("0.5", "1.0"):
        assert run("evaluate", "--out", f"w{weight}", f"dpc.weight_new={weight}") == 0
        logits[weight] = row("coop+dpc", root=Path(f"w{weight}")).tensors["new.logits"]
    assert not np.array_equal(logits["0.5"], tuned)
    assert not np.array_equal(logits["1.0"], tuned)
    assert not np.array_equal(logits["0.5"], logits["1.0"])
    path = Path("results/tune/shapes/coop/shots4-seed1.safetensors")
    parallel = artifacts.read(Path("results/finetune/shapes/coop/shots4-seed1.safetensors")).tensors
    tune = artifacts.read(path)
    swapped = artifacts.Artifact(parallel, tune.results, tune.provenance)
    path.write_bytes(artifacts.encode(swapped))
    assert run("evaluate", "--part", "main", "--backbone", "coop") == 0  # P' in the place of P
    assert np.array_equal(row("coop").tensors["new.logits"], logits["1.0"])


def test_the_curves_go_through_the_row_and_the_backbone(tree):
    found, tuned = row("coop+dpc").results, row("coop").results
    along = {point["weight"]: point for point in found["curves"]["omega_b"]}
    assert along[0.0]["test"] == tuned["base"]
    assert along[0.2]["test"] == found["base"]
    new = {point["weight"]: point["test"] for point in found["curves"]["omega_n"]}
    assert new[0.0] == found["new"] == tuned["new"]


def test_inference_with_the_parallel_prompt_alone(tree):
    assert run("evaluate", "--out", "p", "dpc.inference=parallel") == 0
    assert run("evaluate", "--out", "w", "dpc.weight=1.0") == 0
    first, second = (row("coop+dpc", root=Path(name)).tensors["base.logits"] for name in "pw")
    assert np.array_equal(first, second)


def test_the_parametrizations_train_different_prompts(tree):
    found = {}
    for name in ("parallel", "mixed", "released"):
        assert run("finetune", "--out", name, f"dpc.parametrization={name}") == 0
        path = Path(name) / "finetune/shapes/coop/shots4-seed1.safetensors"
        found[name] = artifacts.read(path).tensors["context"]
    assert not np.array_equal(found["parallel"], found["mixed"])
    assert not np.array_equal(found["parallel"], found["released"])
    assert not np.array_equal(found["mixed"], found["released"])


def test_the_budget_row_sees_at_least_the_images_of_both_stages(tree):
    assert row("coop+budget").results["images_seen"] >= row("coop+dpc").results["images_seen"]


def test_overrides_never_touch_the_engines_tree(tree):
    before = contents()
    assert run("evaluate", "--backbone", "coop", "dpc.lr=0.5", "backbones.coop.lr=0.1") == 0
    assert contents() == before
    assert list(Path(".cache/scratch").iterdir())


def test_without_the_store_the_same_bytes_come_out(tree):
    before = contents()
    shutil.rmtree("results")
    shutil.rmtree(".cache/store")
    for stage in STAGES:
        assert run(stage) == 0
    assert contents() == before


def test_a_store_entry_with_a_flipped_bit_is_healed(tree):
    before = contents()
    shutil.rmtree("results/tune")
    for path in Path(".cache/store").glob("*/tuned.safetensors"):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    assert run("tune") == 0
    assert contents() == before
    shutil.rmtree("results/tune")
    assert run("tune") == 0
    assert contents() == before


def test_an_artefact_edited_by_hand_is_refused(tree, capsys):
    path = Path("results/tune/shapes/coop/shots4-seed1.safetensors")
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 255
    path.write_bytes(raw)
    refused(
        capsys,
        f"{path} was changed after it was written; run `dpc tune --dataset shapes "
        "--backbone coop --shots 4 --seeds 1`",
        "finetune",
    )


def test_a_missing_input_names_the_command_that_makes_it(tree, capsys):
    Path("results/tune/shapes/coop/shots4-seed1.safetensors").unlink()
    refused(
        capsys,
        "results/tune/shapes/coop/shots4-seed1.safetensors is missing; run `dpc tune --dataset",
        "finetune",
    )


def test_a_stale_tree_is_not_reported(tree, capsys):
    write_params("dpc.weight=0.6")
    refused(capsys, "stale: evaluate shapes coop+dpc 4 shots seed 1; run", "report")
    assert run("evaluate") == 0
    assert run("report") == 0
    write_params("dpc.weight=0.6", "dpc.lr=0.01")  # the rows do not say which rate made P'
    refused(capsys, "stale: finetune shapes coop 4 shots seed 1; run", "report")


def test_a_stage_refuses_inputs_of_other_parameters(tree, capsys):
    write_params("backbones.coop.lr=0.5")
    refused(
        capsys,
        "results/tune/shapes/coop/shots4-seed1.safetensors is stale: made with other parameters, "
        "files or code than now; run `dpc tune --dataset shapes --backbone coop --shots 4 --seeds",
        "finetune",
    )


def test_other_parameters_never_write_into_the_engines_tree(tree, capsys):
    before = contents()
    shutil.copy("params.yaml", "other.yaml")
    assert run("tune", "--params", "other.yaml") == 0
    refused(capsys, "--out results belongs to params.yaml as it stands", "tune", "--out", "results",
            "dpc.lr=0.5")  # fmt: skip
    assert contents() == before


def test_a_cell_that_the_grid_does_not_have_is_no_success(tree, capsys):
    refused(capsys, "tune: the grid of params.yaml has no such cell", "tune", "--backbone",
            "zero_shot")  # fmt: skip


def test_validation_shots_do_not_train(tree):
    """Other validation images give other rows, but the same prompts, out of the store."""
    trained = {name: data for name, data in contents().items() if "tune" in name}
    before = artifacts.read(Path("results/features/shapes/shots4-seed1.safetensors")).tensors
    write_params("data.val_shots=1")
    for stage in STAGES[1:]:
        assert run(stage) == 0
    after = artifacts.read(Path("results/features/shapes/shots4-seed1.safetensors")).tensors
    assert len(after["val.labels"]) < len(before["val.labels"])
    assert {name: data for name, data in contents().items() if "tune" in name} == trained
    records = [json.loads(p.read_text()) for p in Path("logs/timings").glob("*tune*.json")]
    assert records
    assert not any(record["worked"] for record in records)


def test_verify_names_what_is_stale(tree, capsys):
    assert run("slices") == 0
    assert run("verify") == 0
    capsys.readouterr()
    page = Path("results/report/index.html")
    text = page.read_text()
    page.write_text(text + " ")
    refused(capsys, "stale: results/report/index.html; run", "verify")
    page.write_text(text)
    write_params("backbones.coop.lr=0.5")
    assert run("verify") == 1
    error = capsys.readouterr().err
    assert "slice tune.coop" in error
    assert "tune shapes coop 4 shots seed 1" in error
    assert "features" not in error


def test_an_unknown_dataset_names_the_nearest(tree, capsys):
    refused(
        capsys,
        "dataset 'shape' does not exist; did you mean shapes?",
        "prepare",
        "--dataset",
        "shape",
    )


def test_an_unknown_backbone_names_the_known_ones(tree, capsys):
    refused(capsys, "backbone 'cop' is not in run.backbones", "tune", "--backbone", "cop")


def test_a_missing_image_stops_prepare(tree, capsys):
    Path("data/shapes/images/star/2.png").unlink()
    refused(capsys, "star/2.png is missing or cannot be read", "prepare")


def test_a_truncated_image_stops_prepare(tree, capsys):
    path = Path("data/shapes/images/star/2.png")
    path.write_bytes(path.read_bytes()[:60])
    refused(capsys, "star/2.png cannot be decoded", "prepare")


def test_an_image_changed_after_prepare_stops_features(tree, capsys):
    shutil.copy("data/shapes/images/star/1.png", "data/shapes/images/star/7.png")
    shutil.rmtree(".cache/store")
    refused(capsys, "manifest.json is stale: made with other parameters, files", "features")
    assert run("prepare") == 0
    assert run("features") == 0


def test_a_changed_training_image_changes_the_prompt(tree):
    before = artifacts.read(Path("results/tune/shapes/coop/shots4-seed1.safetensors")).content
    Image.new("RGB", (64, 64), "grey").save("data/shapes/images/house/1.png")
    for stage in ("prepare", "features", "tune"):
        assert run(stage) == 0
    assert (
        artifacts.read(Path("results/tune/shapes/coop/shots4-seed1.safetensors")).content != before
    )


def weights_copy(tree: Path, cut: int | None = None) -> Path:
    path = tree / "mine.safetensors"
    raw = (WEIGHTS_FOLDER / "icons.safetensors").read_bytes()
    path.write_bytes(raw if cut is None else raw[:cut])
    shutil.copy(WEIGHTS_FOLDER / "icons.json", tree / "mine.json")
    return path


def test_truncated_weights_are_named(tree, capsys):
    path = weights_copy(tree, cut=100_000)
    refused(capsys, "ends inside tensor", "features", f"clip.pretrained={path}")


def test_weights_of_another_shape_are_named(tree, capsys):
    path = weights_copy(tree)
    config = json.loads((tree / "mine.json").read_text())
    config["model_cfg"]["embed_dim"] += 16
    (tree / "mine.json").write_text(json.dumps(config))
    refused(capsys, "expected", "features", f"clip.pretrained={path}")


def test_a_diverging_loss_names_cell_epoch_and_rate(tree, capsys):
    refused(
        capsys, "tune shapes coop 4 shots seed 1: loss 'classification'", "tune", "--part", "main",
        "backbones.coop.lr=1.0e38", "backbones.coop.epochs=8",
    )  # fmt: skip


def test_a_full_disk_is_one_line(tree, capsys, monkeypatch):
    import errno

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents()
    shutil.rmtree("results/tune")
    monkeypatch.setattr(os, "fsync", full)
    refused(capsys, "no space left on its disk", "tune")
    monkeypatch.undo()
    os.chdir(tree)
    assert run("tune") == 0
    assert contents() == before


@pytest.mark.slow
def test_a_file_that_the_system_refuses_is_one_line(tree):
    """No stand-in here: the kernel itself refuses to let any file grow beyond two kilobytes."""
    shutil.rmtree("results/features")
    shutil.rmtree(".cache/store")
    done = subprocess.run(
        [sys.executable, "-m", "dpc.cli", "features", "-q"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("dpc: cannot write ")
    assert "larger than this process may write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(Path(".cache/store").glob("*"))


@pytest.mark.parametrize("stage", ["tune", "finetune"])
def test_an_interrupted_training_goes_on_to_the_same_bytes(tree, monkeypatch, stage):
    overrides = ["backbones.coop.epochs=6", "dpc.epochs=6"]
    assert run(stage, "--out", "whole", *overrides) == 0
    monkeypatch.setenv("DPC_STORE", "other-store")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    save = checkpoints.Checkpoint.save
    starts = []

    def dies(self, progress):
        save(self, progress)
        if progress.epoch == 3 and "dead" not in starts:
            starts.append("dead")
            raise KeyboardInterrupt

    def load(self):
        progress = load_saved(self)
        starts.append(progress.epoch if progress else 0)
        return progress

    load_saved = checkpoints.Checkpoint.load
    monkeypatch.setattr(checkpoints.Checkpoint, "save", dies)
    monkeypatch.setattr(checkpoints.Checkpoint, "load", load)
    assert run(stage, "--out", "broken", *overrides) == 130
    assert run(stage, "--out", "broken", *overrides) == 0
    assert 3 in starts  # it went on and did not begin anew
    assert list(Path(".cache/checkpoints").iterdir()) == []
    name = f"{stage}/shapes/coop/shots4-seed1.safetensors"
    assert (Path("broken") / name).read_bytes() == (Path("whole") / name).read_bytes()


def test_each_cell_has_a_log_file_and_the_last_line_says_what_was_done(tree, capsys):
    Path("results/evaluate/shapes/coop/shots4-seed1.safetensors").unlink()
    assert main(["evaluate", "--backbone", "coop"]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        r"evaluate: \d+ cells in \d+\.\d s, 0 computed, \d+ from .* below results", last
    )
    log = Path("logs/jobs/evaluate-shapes-coop-4-shots-seed-1.log").read_text()
    assert "wrote results/evaluate/shapes/coop/shots4-seed1.safetensors (taken from the" in log
    Path("results/features/shapes/shots4-seed1.safetensors").write_bytes(b"no artefact")
    assert main(["tune", "-q", "--backbone", "coop", "--seeds", "1"]) == 1
    log = Path("logs/jobs/tune-shapes-coop-4-shots-seed-1.log").read_text()
    assert "DEBUG tune shapes coop 4 shots seed 1 failed: results/features" in log
