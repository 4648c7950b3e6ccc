"""Every protocol on tiny data: what is tuned on, what is tested, and with which weight."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import OVERRIDES, write_dataset
from tree import made_once

from dpc import artifacts
from dpc.backbones.base import make_task
from dpc.cli import main
from dpc.clip.model import logits
from dpc.clip.views import Views
from dpc.collaboration.weighting import mixed_backbone
from dpc.params.load import description_for, load, preset
from dpc.params.render import render
from dpc.stages.features import items_of
from dpc.stages.frozen import clip_for
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures
from dpc.stages.states import saved_backbone

pytestmark = pytest.mark.slow
STAGES = ("prepare", "features", "teacher", "tune", "finetune", "evaluate")
GRID = ("run.backbones=[coop,maple]", "run.budget=[]", "dpc.lr=0.2", "dpc.epochs=3", "dpc.batch=4")
PROTOCOLS = {
    "base-to-new": (),
    "generalized": ("dpc.weight=0.5",),
    "few-shot": ("run.shots=[1,3]",),
    "cross-dataset": ("run.targets=[others]",),
}


def run(*command: str) -> int:
    return main([command[0], "-q", *command[1:]])


def write_params(protocol: str, *overrides: str) -> None:
    own = (*OVERRIDES, *GRID, f"protocol={protocol}", *PROTOCOLS[protocol], *overrides)
    place = "{split: others/split.json, images: others/images, template: 'a drawing of a {}.'}"
    values = preset("smoke", [*own, f"+data.on_disk.others={place}"])
    Path("params.yaml").write_text(render(values, description_for(values)))


def build(root: Path) -> None:
    """A tree a protocol, all with one store; "others" has two of the classes, to test on alone."""
    root.mkdir()
    before = Path.cwd()
    for protocol in PROTOCOLS:
        (root / protocol).mkdir()
        os.chdir(root / protocol)
        try:
            write_dataset(Path())
            shutil.copytree("data/shapes", "data/others")
            split = json.loads(Path("data/others/split.json").read_text())
            some = [entry for entry in split["test"] if entry[1] < 2]
            text = json.dumps({"train": [], "val": [], "test": some})
            Path("data/others/split.json").write_text(text)
            write_params(protocol)
            os.environ["DPC_STORE"] = str(root / "store")
            for stage in STAGES:
                assert run(stage) == 0, (protocol, stage)
        finally:
            os.environ.pop("DPC_STORE", None)
            os.chdir(before)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return made_once(tmp_path_factory.getbasetemp(), "protocols", build)


@pytest.fixture
def at(built, monkeypatch):
    def go(protocol: str) -> None:
        monkeypatch.chdir(built / protocol)

    return go


def row(dataset: str, method: str, name: str = "shots4-seed1") -> artifacts.Artifact:
    return artifacts.read(Path(f"results/evaluate/{dataset}/{method}/{name}.safetensors"))


def all_logits(backbone: str, dataset: str, classes: slice, weight: float) -> torch.Tensor:
    """Logits of every test image by the obvious formula: a mixed prompt, both towers, one image."""
    params, layout = load(), Layout()
    clip = clip_for(params)
    stems = [
        f"results/{stage}/shapes/{backbone}/shots4-seed1.safetensors"
        for stage in ("tune", "finetune")
    ]
    tuned, parallel = (
        saved_backbone(params, backbone, clip, artifacts.read(Path(stem))) for stem in stems
    )
    test = artifacts.read(layout.test_features(dataset))
    names = test.results["classnames"][classes]
    mixed = mixed_backbone(tuned, parallel, weight).eval()
    template = params.backbones["zero_shot"]["template"]
    rows = []
    with torch.no_grad(), Pictures(params, layout, dataset, clip) as pictures:
        texts = mixed.text_features(make_task(clip, mixed, names, template))
        for item in items_of(test, "test"):
            pixels = torch.from_numpy(pictures.plain(item))[None]
            views = Views(frozen=clip.encode_image(pixels), images=pixels)
            rows.append(logits(clip.logit_scale, mixed.image_features(clip, views), texts))
    return torch.cat(rows)


@pytest.mark.parametrize("backbone", ["coop", "maple"])
def test_generalized_reads_base_names_with_the_mix_and_new_ones_with_the_tuned_prompt(at, backbone):
    at("generalized")
    slow = [all_logits(backbone, "shapes", slice(3), 0.5)]
    slow.append(all_logits(backbone, "shapes", slice(3, None), 0.0))
    expected = torch.cat(slow, dim=1)
    found = row("shapes", f"{backbone}+dpc")
    labels = torch.from_numpy(
        artifacts.read(Path("results/features/shapes/test.safetensors")).tensors["test.labels"]
    )
    for half, rows in (("base", labels < 3), ("new", labels >= 3)):
        assert found.tensors[f"{half}.logits"].shape == (6, 6)
        assert np.allclose(found.tensors[f"{half}.logits"], expected[rows], atol=0.02)
        right = expected[rows].argmax(1) == labels[rows]
        assert found.results[half] == pytest.approx(100 * right.float().mean().item())
    right = expected.argmax(1) == labels
    assert found.results["overall"] == pytest.approx(100 * right.float().mean().item())


def test_generalized_has_the_trainings_of_base_to_new_and_is_never_easier(at, built):
    at("generalized")
    trained = list(Path("results").glob("[tf]*/shapes/*/*.safetensors"))
    assert len(trained) == 4
    for path in trained:
        assert path.read_bytes() == (built / "base-to-new" / path).read_bytes()
    for method in ("coop", "maple", "zero_shot"):
        name = "all" if method == "zero_shot" else "shots4-seed1"
        joint = row("shapes", method, name).results
        at("base-to-new")
        apart = row("shapes", method, name).results
        at("generalized")
        assert joint["base"] <= apart["base"]
        assert joint["new"] <= apart["new"]
        zero = next(point for point in joint["offsets"] if point["offset"] == 0)
        assert (zero["base"], zero["overall"]) == (joint["base"], joint["overall"])


def test_the_generalized_curves_go_through_the_row(at):
    at("generalized")
    found, tuned = row("shapes", "maple+dpc").results, row("shapes", "maple").results
    omega_n = {point["weight"]: point["test"] for point in found["curves"]["omega_n"]}
    omega_b = {point["weight"]: point for point in found["curves"]["omega_b"]}
    assert omega_n[0.0] == found["new"]
    assert omega_b[0.0]["test"] == tuned["base"]
    assert all(point["val"] is not None for point in omega_b.values())
    chosen = found["selected"]["test_oracle"]
    assert chosen["base"] == omega_b[chosen["weight"]]["test"]
    assert {"new", "overall"} <= set(chosen)


def test_few_shot_tunes_on_all_classes_with_each_number_of_shots(at):
    at("few-shot")
    for shots in (1, 3):
        drawn = artifacts.read(Path(f"results/features/shapes/shots{shots}-seed1.safetensors"))
        assert np.bincount(drawn.tensors["train.labels"]).tolist() == [shots] * 6
        assert len(drawn.results["classnames"]) == 6
        found = row("shapes", "coop+dpc", f"shots{shots}-seed1")
        assert (found.results["shots"], found.results["protocol"]) == (shots, "few-shot")
        assert found.tensors["test.logits"].shape == (12, 6)
        right = found.tensors["test.predictions"] == found.tensors["test.labels"]
        assert found.results["accuracy"] == pytest.approx(100 * right.mean())
        along = {point["weight"]: point["test"] for point in found.results["curves"]["omega_b"]}
        plain = row("shapes", "coop", f"shots{shots}-seed1").results
        assert along[0.0] == plain["accuracy"]
        assert along[0.2] == found.results["accuracy"]
        assert "base" not in found.results
    assert row("shapes", "zero_shot", "all").results["shots"] is None


def test_exceptions_reach_the_cells_that_they_name_alone(at):
    at("few-shot")
    long = "+exceptions.short={backbone: coop, shots: [1], settings: {epochs: 5}}"
    assert run("tune", "--out", "x", "--backbone", "coop", long) == 0
    files = [f"tune/shapes/coop/shots{shots}-seed1.safetensors" for shots in (1, 3)]
    changed, same = (Path("x") / name for name in files)
    assert artifacts.read(changed).results["epochs"] == 5
    assert same.read_bytes() == (Path("results") / files[1]).read_bytes()
    shutil.rmtree("x")


def test_a_target_is_tested_with_the_source_and_nothing_is_tuned_on_it(at):
    at("cross-dataset")
    assert not list(Path("results").glob("tune/others")) + list(
        Path("results").glob("*/others/shots*")
    )
    for backbone in ("coop", "maple"):
        dpc, plain = (row("others", name) for name in (f"{backbone}+dpc", backbone))
        assert np.array_equal(dpc.tensors["test.logits"], plain.tensors["test.logits"])  # ω_n = 0
        assert dpc.results["source"] == "shapes"
        assert dpc.results["curves"]["omega_b"] == []
        assert dpc.results["selected"] is None
        expected = all_logits(backbone, "others", slice(2), 0.0)
        assert np.allclose(plain.tensors["test.logits"], expected, atol=0.02)
    own = row("shapes", "coop+dpc").results
    assert (own["classes"], own["source"], own["omega_b"]) == (6, "shapes", 0.2)


def test_the_few_shot_draw_of_transfers_is_that_of_few_shot(at):
    at("cross-dataset")
    found = artifacts.read(Path("results/features/shapes/shots4-seed1.safetensors"))
    at("few-shot")
    assert run("features", "--only-shots", "--out", "y", "run.shots=[4]") == 0
    again = artifacts.read(Path("y/features/shapes/shots4-seed1.safetensors"))
    assert found.results["draw"] == again.results["draw"]
    shutil.rmtree("y")
