"""Every protocol on tiny data: what is tuned on, what is tested, and with which weight."""

import dataclasses
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
from dpc.datasets import on_disk, split_file
from dpc.datasets.base import Listing
from dpc.datasets.catalog import CATALOG
from dpc.errors import ParamsError
from dpc.params.load import checked, description_for, load, preset
from dpc.params.render import render
from dpc.stages import evaluate, slices
from dpc.stages.cells import Draw, Method
from dpc.stages.features import items_of
from dpc.stages.frozen import clip_for
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures
from dpc.stages.runner import provenance_of
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


def test_another_source_makes_other_rows_of_a_target():
    one, other = (
        evaluate.job(params, Layout(), "icons-fluent", Method("coop"), Draw(4, 1))
        for params in (
            transfer("icons-bootstrap", "icons-remix"),
            transfer("icons-remix", "icons-bootstrap"),
        )
    )
    assert (one.cell["source"], other.cell["source"]) == ("icons-bootstrap", "icons-remix")
    contents = dict.fromkeys(one.inputs, "x")
    assert provenance_of(one, contents) != provenance_of(other, contents)


def transfer(source: str, target: str):
    return checked(
        preset(
            "smoke",
            [
                "protocol=cross-dataset",
                f"run.datasets=[{source}]",
                f"run.targets=[{target},icons-fluent]",
                "run.budget=[]",
            ],
        )
    )


def test_a_prepared_set_and_the_report_are_the_same_wherever_images_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for place in ("here", "there/deep"):
        root = Path(place)
        root.mkdir(parents=True)
        write_dataset(root)
        (root / "data/shapes/split.json").rename(root / "data/split.json")
        block = "{split: split.json, images: shapes/images, template: 'a {}.'}"
        own = [f"+data.on_disk.shapes={block}", "run.datasets=[shapes]", f"data.root={place}/data"]
        params = checked(preset("smoke", own))
        found.append((slices.prepare(params, "shapes"), slices.report(params)))
    assert found[0] == found[1]


def test_labels_of_validation_shots_that_come_from_training_images_never_train(at):
    at("few-shot")
    split = json.loads(Path("data/shapes/split.json").read_text())
    split["train"] += split["val"]
    split["val"] = []
    Path("data/shapes/other.json").write_text(json.dumps(split))
    own = ["data.on_disk.shapes.split=shapes/other.json", "dpc.negatives.pool=train"]
    more = ["run.shots=[2]", "run.backbones=[coop]"]
    assert run("features", "--out", "z", *own, *more) == 0
    found = artifacts.read(Path("z/features/shapes/shots2-seed1.safetensors"))
    held_out = {item.image for item in items_of(found, "val")}
    assert len(held_out) == 12
    for part in ("train", "pool"):
        assert not held_out & {item.image for item in items_of(found, part)}
    assert len(items_of(found, "pool")) == 6 * 6 - 12
    shutil.rmtree("z")


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (lambda entry: entry[1] == 0, "dataset shapes has one class, 'cloud'; at least two"),
        (None, "dataset shapes has test images only, nothing can be tuned on it; move it from"),
    ],
)
def test_a_set_that_cannot_be_tuned_on_is_named(keep, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_dataset(Path())
    path = Path("data/shapes/split.json")
    split = json.loads(path.read_text())
    for part in ("train", "val", "test"):
        split[part] = [e for e in split[part] if keep(e)] if keep else split[part]
    path.write_text(json.dumps(split if keep else split | {"train": [], "val": []}))
    values = preset("smoke", [*OVERRIDES, *GRID])
    Path("params.yaml").write_text(render(values, description_for(values)))
    assert run("prepare") or run("features")
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_published_set_is_known_by_what_its_split_says(monkeypatch):
    listing = Listing(
        ("cat", "dog"),
        {"train": (("a.jpg", 0), ("b.jpg", 1)), "val": (), "test": (("c.jpg", 1), ("d.jpg", 0))},
        "",
        None,
        Path(),
        (),
    )
    entries = {"train": [("a.jpg", 0, "cat"), ("b.jpg", 1, "dog")], "val": []}
    entries["test"] = [("c.jpg", 1, "dog"), ("d.jpg", 0, "cat")]
    right = dataclasses.replace(CATALOG["dtd"], content=split_file.content_hash(entries))
    monkeypatch.setitem(CATALOG, "dtd", right)
    assert on_disk.as_published("dtd", listing) is True
    other = dataclasses.replace(listing, classnames=("cat", "fox"))
    assert on_disk.as_published("dtd", other) is False
    counts = dataclasses.replace(CATALOG["food101"], classes=2, train=2, val=0, test=2)
    monkeypatch.setitem(CATALOG, "food101", counts)
    assert on_disk.as_published("food101", other) is True
    assert on_disk.as_published("imagenet", listing) is False
    assert on_disk.as_published("mine", listing) is None


def test_a_student_trains_on_some_of_the_unlabelled_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_dataset(Path())
    student = [*OVERRIDES, "run.backbones=[promptkd]", "run.budget=[]", "run.shots=[3]"]
    values = preset("smoke", [*student, "data.unlabelled=2"])
    Path("params.yaml").write_text(render(values, description_for(values)))
    for stage in STAGES:
        assert run(stage) == 0, capsys.readouterr().err
    taught = artifacts.read(Path("results/teacher/shapes/images.safetensors"))
    labels = [item.label for item in items_of(taught, "image")]
    assert np.bincount(labels).tolist() == [2] * 6
    with pytest.raises(ParamsError, match=r"data\.unlabelled is 2 and stage two of 'promptkd'"):
        checked(preset("smoke", [*student, "data.unlabelled=2", "dpc.keep_losses=[distillation]"]))
