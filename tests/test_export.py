"""`dpc export`: what other programs get is what the table was tested with."""

import json
import os
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors import safe_open

from dpc import artifacts
from dpc.backbones.coop import CoOp
from dpc.cli import main
from dpc.clip.views import Views
from dpc.collaboration.weighting import mix
from dpc.errors import DpcError
from dpc.exchange import exporting, onnx_file
from dpc.params.load import checked, description_for, load, preset
from dpc.params.render import render
from dpc.stages import evaluate
from dpc.stages.cells import Draw, Method
from dpc.stages.exported import Wanted, _ranges, check
from dpc.stages.features import items_of
from dpc.stages.frozen import clip_for
from dpc.stages.layout import Layout
from dpc.stages.models import models
from dpc.stages.pictures import Pictures

DATASET = "icons-bootstrap"
GRID = (
    "run.backbones=[coop,maple]",
    "run.budget=[]",
    "run.seeds=[1,2]",
    "dpc.lr=0.3",
    "dpc.sweep=[0.5,1.0]",
    "dpc.sweep_new=[1.0]",
)
ALL = {"prompts.safetensors", "classes.safetensors", "classes.npz", "classifier.onnx", "README.md"}


def run(*command: str) -> int:
    return main([command[0], "-q", *command[1:]])


def export(out: str, *options: str, backbone: str = "coop") -> int:
    return run("export", "--dataset", DATASET, "--backbone", backbone, "--out", out, *options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Seed 1 of both backbones tuned, CoOp tested as well; not to be changed."""
    root, before = tmp_path_factory.mktemp("exported"), Path.cwd()
    os.chdir(root)
    try:
        values = preset("smoke", GRID)
        Path("params.yaml").write_text(render(values, description_for(values)))
        assert run("prepare") == 0
        assert run("features", "--seeds", "1") == 0
        for stage in ("tune", "finetune"):
            assert run(stage, "--seeds", "1") == 0
        assert run("evaluate", "--backbone", "coop", "--seeds", "1") == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture()
def tree(finished, monkeypatch) -> Path:
    """The finished tree as working directory; exports go elsewhere."""
    monkeypatch.chdir(finished)
    return finished


class Ours:
    """All test images and joint logits (N, C), as the protocol `generalized` reads them."""

    def __init__(self, backbone: str, weight: float = 0.2):
        params, layout, method = load(), Layout(), Method(backbone, "dpc")
        job = evaluate.job(params, layout, DATASET, method, Draw(4, 1))
        inputs = {role: entry.read() for role, entry in job.inputs.items()}
        test, clip = inputs["test"], clip_for(params)
        self.names, base = np.array(test.results["classnames"]), test.results["base"]
        self.items = items_of(test, "test")
        with Pictures(params, layout, DATASET, clip) as pictures:
            self.pixels = np.stack([pictures.plain(item) for item in self.items])
        views = Views(
            torch.from_numpy(test.tensors["test.features"]), torch.from_numpy(self.pixels)
        )
        halves = {weight: range(base), 0.0: range(base, len(self.names))}
        with torch.no_grad(), models(params, layout, DATASET, method, inputs) as found:
            columns = [found.scores("test", each, [w])[w] for w, each in halves.items()]
            mixes = [found.mix(w, each)[0] for w, each in halves.items()]
            self.features = [each.image_features(clip, views).numpy() for each in mixes]
        self.logits = torch.cat(columns, dim=1).numpy()
        self.best = self.names[self.logits.argmax(axis=1)].tolist()


def printed(folder: Path, word: str, arguments, monkeypatch, capsys) -> list[str]:
    """What the card's code block about ``word`` prints, run in the folder as it stands."""
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if f'"{word}"' in block]
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(sys, "argv", ["use.py", *map(str, arguments)])
        exec(compile(code, word, "exec"), {"__name__": "__main__"})
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["coop", "maple"])
def test_onnx_and_numpy_predict_what_we_predict(tree, tmp_path, monkeypatch, capsys, backbone):
    """All test images, base and new names competing; MaPLe's see the tower once with each mix."""
    import onnxruntime

    out, ours = tmp_path / "out", Ours(backbone)
    assert export(str(out), backbone=backbone) == 0
    assert {path.name for path in out.iterdir()} == ALL
    assert len(ours.items) == 140 and len(set(ours.best)) > 10
    with zipfile.ZipFile(f"results/prepare/{DATASET}/images.zip") as archive:
        archive.extractall(tmp_path, [item.image for item in ours.items])
    images = [tmp_path / item.image for item in ours.items]
    assert printed(out, "classifier.onnx", images, monkeypatch, capsys) == ours.best
    arguments = [tmp_path / "base.npy", tmp_path / "new.npy"]
    for path, features in zip(arguments, ours.features, strict=True):
        np.save(path, features)
    given = arguments if backbone == "maple" else arguments[:1]
    assert printed(out, "classes.npz", given, monkeypatch, capsys) == ours.best
    session = onnxruntime.InferenceSession(out / "classifier.onnx")
    (logits,) = session.run(None, {"images": ours.pixels})
    close = 1e-3 * np.abs(ours.logits).max()
    assert np.abs(logits - ours.logits).max() < close
    (first,) = session.run(None, {"images": ours.pixels[:1]})
    assert np.abs(first - logits[:1]).max() < close
    content = (out / "classifier.onnx").read_bytes()
    for word in (b"site-packages", b".py", str(Path.cwd()).encode()):
        assert word not in content
    if backbone == "coop":
        assert export(str(out), "--force", "--format", "onnx") == 0
        assert (out / "classifier.onnx").read_bytes() == content
    other = Ours(backbone, weight=0.1)  # a mix of another weight would have been seen
    assert np.abs(other.logits - ours.logits).max() > 2 * close


@pytest.fixture()
def tiny(student):
    """CoOp on the golden CLIP, as one part of five classes."""
    generator = torch.Generator().manual_seed(3)
    context = torch.randn(4, student.text_width, generator=generator)
    texts = torch.randn(5, student.embed_dim, generator=generator)
    return onnx_file.Classifier(student, [(CoOp(context), texts)])


def test_onnx_refuses_what_one_file_cannot_hold(tiny, monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(DpcError, match="one onnx file holds 2 GB: leave onnx out"):
        onnx_file.encode(tiny, {})


def test_onnx_that_answers_otherwise_is_refused(tiny, monkeypatch):
    import onnxruntime

    size, scale = tiny.clip.image_size, 1.0
    noise = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    answer = tiny(noise).numpy()

    class Session:
        def run(self, names, inputs):
            return [scale * answer]

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_: Session())
    onnx_file._check(b"", tiny)
    scale = 1.01
    with pytest.raises(DpcError, match="off ours"):
        onnx_file._check(b"", tiny)


@pytest.mark.slow
def test_prompts_and_classes_are_what_was_tuned(tree, tmp_path):
    out = tmp_path / "out"
    assert export(str(out), "--format", "safetensors,npz", "--weight", "0.5") == 0
    tuned, parallel = (
        artifacts.read(Path(f"results/{stage}/{DATASET}/coop/shots4-seed1.safetensors")).tensors
        for stage in ("tune", "finetune")
    )
    with safe_open(out / "prompts.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["dpc"])
    assert sorted(found) == [
        f"{kind}.context" for kind in ("mixed.base", "mixed.new", "parallel", "tuned")
    ]
    assert np.array_equal(found["tuned.context"], tuned["context"])
    assert np.array_equal(found["parallel.context"], parallel["context"])
    states = ({"context": torch.from_numpy(each["context"])} for each in (tuned, parallel))
    assert torch.equal(found["mixed.base.context"], mix(*states, 0.5)["context"])
    assert torch.equal(found["mixed.new.context"], found["tuned.context"])
    assert about["omega_b"] == 0.5 and about["clip"]["sha256"] and about["draw"]
    assert about["params"]["tuned"]["backbone"]["init"] == "an icon of a"
    classes = np.load(out / "classes.npz")
    with safe_open(out / "classes.safetensors", "np") as file:
        embeddings = file.get_tensor("embeddings")
        assert json.loads(file.metadata()["dpc"]) == about
    assert np.array_equal(embeddings, classes["embeddings"])
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert classes["classnames"].tolist() == about["classnames"]
    assert classes["class_prompts"].tolist() == ["mixed.base"] * 14 + ["mixed.new"] * 14


@pytest.mark.slow
def test_a_half_and_the_backbone_alone(tree, tmp_path):
    assert export(str(tmp_path / "new"), "--classes", "new", "--format", "npz") == 0
    assert export(str(tmp_path / "p"), "--method", "alone", "--format", "npz") == 0
    new, alone = (np.load(tmp_path / name / "classes.npz") for name in ("new", "p"))
    assert set(new["class_prompts"]) == {"mixed.new"} and len(new["classnames"]) == 14
    assert set(alone["class_prompts"]) == {"tuned"} and len(alone["classnames"]) == 28
    np.testing.assert_allclose(new["embeddings"], alone["embeddings"][14:], atol=1e-6)


@pytest.mark.slow
def test_an_export_repeats_its_bytes_and_replaces_only_exports(tree, tmp_path, capsys):
    out = tmp_path / "out"
    contents = []
    for options in ((), ("--force",)):
        assert export(str(out), "--format", "safetensors,npz", *options) == 0
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1] and set(contents[0]) == ALL - {"classifier.onnx"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    refused(capsys, f"--out {out} exists; --force replaces it", str(out))
    (out / "notes.txt").touch()
    refused(capsys, "holds notes.txt, which no export wrote", str(out), "--force")
    assert (out / "notes.txt").exists()


@pytest.mark.slow
def test_the_card_has_the_numbers_of_the_row(tree, tmp_path):
    assert export(str(tmp_path / "out"), "--format", "npz") == 0
    text = (tmp_path / "out/README.md").read_text()
    row = artifacts.read(Path(f"results/evaluate/{DATASET}/coop+dpc/shots4-seed1.safetensors"))
    assert f"| base classes | {row.results['base']:.2f} | 14 | 70 |" in text
    assert f"| new classes | {row.results['new']:.2f} | 14 | 70 |" in text
    front = YAML(typ="safe").load(text.split("---")[1])
    assert front["license"] == "mit" and front["tags"][-1] == "coop"
    assert "protocol `generalized`" in text and "Transductive" not in text
    assert export(str(tmp_path / "untested"), "--format", "npz", backbone="maple") == 0
    assert "Not tested" in (tmp_path / "untested/README.md").read_text()


def refused(capsys, words: str, out: str, *options: str, backbone: str = "coop") -> None:
    """The command fails with one line that holds ``words``."""
    capsys.readouterr()
    assert export(out, *options, backbone=backbone) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--seed", "2", "--format", "npz"),
            f"seed2.safetensors is missing; run `dpc tune --dataset {DATASET} --backbone coop "
            "--shots 4 --seeds 2`",
        ),
        (
            ("--format", "npz", "dpc.weight=0.7"),
            "--backbone coop --shots 4 --seeds 1 dpc.weight=0.7`",
        ),
        (("--seed", "9"), "seed 9 is not in run.seeds (known: 1, 2)"),
        (("--shots", "16"), "shots 16 is not in run.shots (known: 4)"),
        (("--method", "alone", "--weight", "0.5"), "--weight is ω_b"),
        (("--classes", "new", "--weight", "0.5"), "--weight is ω_b"),
    ],
)
def test_what_is_not_there_is_one_line_with_the_way_to_it(tree, tmp_path, capsys, options, words):
    refused(capsys, words, str(tmp_path / "out"), *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_other_refusals(tree, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "out")
    refused(capsys, "zero_shot learns nothing", out, backbone="zero_shot")
    refused(capsys, "backbone 'promptsrc' is not in run.backbones", out, backbone="promptsrc")
    found = onnx_file.find_spec
    monkeypatch.setattr(
        onnx_file, "find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    refused(capsys, "needs onnxscript: pip install onnxscript", out)
    assert export(out, "--format", "npz") == 0  # does without


def test_protocols_without_halves_have_one_range():
    """Sources are read with ω_b, targets of a transfer with ω_n."""
    params = checked(
        preset("smoke", ["protocol=cross-dataset", "run.targets=[icons-tabler]", "run.seeds=[1]"])
    )
    weights = {"base": 0.2, "new": 0.0}
    for dataset, kind in ((DATASET, "base"), ("icons-tabler", "new")):
        wanted = Wanted(dataset, Method("coop", "dpc"), Draw(4, 1))
        check(params, wanted)
        assert _ranges(params, wanted, weights, 14, 28) == [(kind, range(28))]
        with pytest.raises(DpcError, match="has no base and new classes"):
            check(params, replace(wanted, classes="base"))
    halves = checked(preset("smoke"))
    wanted = Wanted(DATASET, Method("coop", "dpc"), Draw(4, 1))
    assert _ranges(halves, wanted, weights, 14, 28) == [("base", range(14)), ("new", range(14, 28))]
    assert _ranges(halves, wanted, {"base": 0.2, "new": 0.2}, 14, 28) == [("base", range(28))]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    exporting.write_folder(folder, {"README.md": b"old"}, force=False)
    broken = {"README.md": b"new", "classes.npz": "no bytes"}
    with pytest.raises(TypeError):
        exporting.write_folder(folder, broken, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (folder / "README.md").read_bytes() == b"old"
