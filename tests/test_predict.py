"""`dpc predict`: what it says of a test image is what the table counted; and its refusals."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import NAMES
from test_stages_backbones import BACKBONES, run_all_stages
from test_stages_protocols import build
from tree import made_once

from dpc import artifacts, predict_cli
from dpc.cli import main
from dpc.datasets.given import named_images
from dpc.errors import DpcError
from dpc.params.load import checked, preset
from dpc.stages.cells import Draw
from dpc.stages.chosen import Cell, Named, cell_of, place_of
from dpc.stages.features import items_of
from dpc.stages.labels import Names, read_labels, sorted_out, unlearned
from dpc.stages.layout import Layout

IMAGES = Path("data/shapes/images")
HALF = 0.05  # rows keep their logits in half precision
STEM = "shots4-seed1.safetensors"


def predict(capsys, *options: object) -> dict:
    """What the command prints as JSON, and its exit code and messages."""
    capsys.readouterr()
    code = main(["predict", "--json", *map(str, options)])
    printed = capsys.readouterr()
    return json.loads(printed.out or "{}") | {"code": code, "said": printed.err}


@pytest.fixture()
def backbones(tmp_path_factory, monkeypatch) -> Path:
    """A tree with all backbones as working directory; not to be changed."""
    root = made_once(tmp_path_factory.getbasetemp(), "all_backbones", run_all_stages)
    monkeypatch.chdir(root)
    return root


@pytest.fixture()
def protocols(tmp_path_factory) -> Path:
    """A tree for each protocol; not to be changed."""
    return made_once(tmp_path_factory.getbasetemp(), "protocols", build)


def of_test(half: slice) -> list[Path]:
    """The test images of some classes, in the order of their rows."""
    items = items_of(artifacts.read(Layout().test_features("shapes")), "test")
    return [IMAGES / item.image for item in items if item.label in range(6)[half]]


def of_row(row: str, part: str) -> np.ndarray:
    """The log of the softmax of a row's logits, (N, C)."""
    held = artifacts.read(Path(f"results/evaluate/shapes/{row}/{STEM}"))
    return torch.from_numpy(held.tensors[f"{part}.logits"]).float().log_softmax(dim=1).numpy()


def said_by(found: dict, reading: str) -> np.ndarray:
    """(N, C) logs of a reading's probabilities, classes in their own order."""
    names = [*found["tuned_names"], *found["other_names"]]
    rows = [{each["label"]: each[reading] for each in image["names"]} for image in found["images"]]
    return np.log([[row[name] for name in names] for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_says_of_test_images_what_the_table_counted(backbones, capsys, backbone):
    """Each half by itself, as the protocol tests it: the mix on base classes, P on new ones."""
    for part, half in (("base", slice(3)), ("new", slice(3, None))):
        images = of_test(half)
        given = (*images, "--backbone", backbone, "--only", part, "--top", 9)
        found = predict(capsys, *given)
        assert [image["image"] for image in found["images"]] == [str(each) for each in images]
        mix, tuned, parallel = (said_by(found, each) for each in ("mix", "tuned", "parallel"))
        of_mix = of_row(f"{backbone}+dpc", part)
        np.testing.assert_allclose(mix, of_mix, atol=HALF)
        np.testing.assert_allclose(tuned, of_row(backbone, part), atol=HALF)
        off = 2 * np.abs(mix - of_mix).max()  # less than what another prompt would say differs
        assert np.abs(mix - parallel).max() > off
        assert (np.abs(mix - tuned).max() > off) if part == "base" else (mix == tuned).all()


@pytest.mark.slow
def test_all_names_compete_as_in_the_generalized_protocol(protocols, monkeypatch, capsys):
    monkeypatch.chdir(protocols / "generalized")
    found = predict(capsys, IMAGES, "--backbone", "maple", "--top", 6)
    by_image = dict(
        zip([each["image"] for each in found["images"]], said_by(found, "mix"), strict=True)
    )
    for part, half in (("base", slice(3)), ("new", slice(3, None))):
        mine = np.array([by_image[str(image)] for image in of_test(half)])
        np.testing.assert_allclose(mine, of_row("maple+dpc", part), atol=HALF)
    assert len(found["images"]) == 48 and found["omega_b"] == 0.5
    prompts = {each["label"]: each["prompt"] for each in found["images"][0]["names"]}
    assert [prompts[name] for name in NAMES] == ["0.5·P' + 0.5·P"] * 3 + ["P"] * 3


@pytest.mark.slow
def test_the_target_of_a_transfer_is_read_with_the_weight_of_new_classes(
    protocols, monkeypatch, capsys
):
    monkeypatch.chdir(protocols / "cross-dataset")
    given = (IMAGES / "star/7.png", "--backbone", "coop", "--dataset", "others")
    found = predict(capsys, *given)
    assert found["tuned_names"] == [] and found["other_names"] == ["cloud", "heart"]
    assert found["source"] == "shapes"
    assert (
        "--only base: protocol cross-dataset has no"
        in predict(capsys, *given, "--only", "base")["said"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["coop", "promptkd"])
def test_labels_of_ones_own(backbones, capsys, backbone):
    """A base class by its name is read with the mix, all else with P; as with the set's names."""
    given = (IMAGES / "star/7.png", "--backbone", backbone, "--top", 9)
    own = predict(capsys, *given, "--labels", "bell, A House,star,cloud,tree,heart")
    assert own["tuned_names"] == ["house", "cloud", "heart"]
    (of_set,), (of_labels,) = predict(capsys, *given)["images"], own["images"]
    for each in of_set["names"]:
        (same,) = [other for other in of_labels["names"] if other["label"] == each["label"]]
        assert same["prompt"] == each["prompt"]
        np.testing.assert_allclose(same["mix"], each["mix"], atol=1e-5)
    said = predict(capsys, *given, "--labels", "star,zebra,hart star,hart")
    assert list(said["unknown_words"]) == ["zebra", "hart"]
    assert "never learned the word 'hart'" in said["said"] and "heart" in said["said"]
    marks = {each["label"]: each["unknown"] for each in said["images"][0]["names"]}
    assert marks == {"star": False, "zebra": True, "hart star": False, "hart": True}


@pytest.mark.slow
def test_files_that_cannot_be_read_are_named_and_the_others_answered(backbones, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    shutil.copy(IMAGES / "star/7.png", tmp_path / "in/good.png")
    (tmp_path / "in/bad.png").write_bytes(b"\x89PNG nothing")
    for name in ("none", "all.csv", "all.json"):
        out = tmp_path / name
        given = ("--out", str(out)) if out.suffix else ()
        code = main(["predict", "-q", str(tmp_path), "--backbone", "coop", "--top", "1", *given])
        printed = capsys.readouterr()
        assert code == 1 and printed.err.count("\n") == 1
        assert f"dpc: image {tmp_path}/in/bad.png cannot be decoded" in printed.err
        if not given:
            lines = printed.out.splitlines()
            assert len(lines) >= 3 and "shapes, CoOp + DPC, 4 shots, seed 1; 6 names" in lines[0]
            assert all("good.png" in line for line in lines[2:])
    with (tmp_path / "all.csv").open() as file:
        bad, *good = csv.DictReader(file)
    assert "cannot be decoded" in bad["problem"] and {row["problem"] for row in good} == {""}
    images = json.loads((tmp_path / "all.json").read_text())["images"]
    assert [set(image) for image in images] == [{"image", "problem"}, {"image", "names"}]
    assert float(good[0]["mix"]) == images[1]["names"][0]["mix"]
    assert main(["predict", "-q", str(tmp_path / "in/bad.png"), "--backbone", "coop"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_stale_tree_is_named(backbones, tmp_path, monkeypatch, capsys):
    root = tmp_path / "moved"
    root.mkdir()
    (root / "results").symlink_to(backbones / "results")
    text = Path("params.yaml").read_text()
    assert "an icon of a" in text
    (root / "params.yaml").write_text(text.replace("init: an icon of a", "init: an icon of the"))
    image = Path.cwd() / IMAGES / "star/7.png"
    monkeypatch.chdir(tmp_path)
    said = predict(capsys, image, "--run", "moved", "--backbone", "coop")
    assert (
        said["code"] == 1 and "is stale" in said["said"] and "--seeds 1` in moved" in said["said"]
    )
    (root / "params.yaml").write_text(text)
    cell = f"moved/results/finetune/shapes/coop/{STEM}"
    assert predict(capsys, image, "--run", cell)["backbone"] == "coop"
    (root / "params.yaml").unlink()
    assert "--params FILE" in predict(capsys, image, "--run", "moved")["said"]


@pytest.fixture()
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.JPG", "b/a/1.png", "b/notes.txt", "c.data", "b/.hidden.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("empty").mkdir()
    return tmp_path


def test_folders_are_searched_and_files_taken_whatever_they_are_called(folder):
    assert named_images(["b", "c.data", "b/2.JPG"]) == [
        *(Path("b/2.JPG"), Path("b/a/1.png"), Path("c.data"))
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("https://example.org/cat.png", "dpc reads no URLs; download it first"),
        ("b/3.JPG", "b/3.JPG is missing; near it: b/2.JPG"),
        ("nowhere/x.png", "there is no folder nowhere"),
        ("empty", "folder empty and those in it hold no image"),
        ("/dev/null", "is neither a file nor a folder"),
    ],
)
def test_what_is_no_image_is_one_line(folder, given, words):
    with pytest.raises(DpcError) as problem:
        named_images(["c.data", given])
    assert words in str(problem.value) and "\n" not in str(problem.value)


def test_labels_out_of_a_text_and_out_of_a_file(folder):
    assert read_labels("a  cat, dog") == ["a cat", "dog"]
    Path("names.txt").write_text("\ufeffcat, big\ndog\n\n", encoding="utf-8")
    assert read_labels("names.txt") == ["cat, big", "dog"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("cat,,dog", "label 2 of 3 is empty"),
        ("cat", "one label"),
        ("", "label 1 of 1 is empty"),
        ("gone.txt", "no such file"),
        ("b/2.JPG", "holds no label; write one a line"),
    ],
)
def test_labels_that_are_none(folder, given, words):
    with pytest.raises(DpcError, match=words):
        read_labels(given)


def test_labels_are_parted_into_tuned_ones_and_others():
    tuned = ("traffic_light", "Cat", "a")
    given = ["the dog", "traffic light", "CAT", "a", "a b"]
    found = sorted_out(given, tuned, "a photo of a {}.")
    assert found == Names(("traffic_light", "Cat", "a"), ("dog", "b"))
    assert sorted_out(["a cat", "dog"], tuned, "{}, a photo") == Names((), ("a cat", "dog"))
    with pytest.raises(DpcError, match="'cat' comes twice"):
        sorted_out(["a Cat", "cat"], tuned, "an icon of a {}.")


class FewWords:
    """A CLIP that learned four words."""

    def unknown_words(self, texts):
        return [
            w for text in texts for w in text.split() if w not in ("star", "cart", "car", "big")
        ]


def test_words_that_a_clip_never_learned_come_with_near_ones_that_it_did():
    found = unlearned(FewWords(), ["big_trolley", "Stars", "star", "zebra"])
    assert found == {"trolley": ["cart"], "stars": ["star"], "zebra": []}
    assert unlearned(FewWords(), ["big star"]) == {}


@pytest.fixture(scope="module")
def two_by_two():
    """Params of two sets, two backbones, seeds 1 to 3."""
    sets = "[icons-bootstrap,icons-tabler]"
    values = ["run.backbones=[coop,maple]", f"run.datasets={sets}", "run.seeds=[1,2,3]"]
    return checked(preset("smoke", values))


@pytest.fixture()
def grid(two_by_two, tmp_path, monkeypatch):
    """The same; of six cells there is a parallel prompt."""
    monkeypatch.chdir(tmp_path)
    for backbone, seeds in (("coop", (1, 2)), ("maple", (1,))):
        for dataset in two_by_two.run.datasets:
            for seed in seeds:
                path = Layout().parallel(dataset, backbone, Draw(4, seed))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return two_by_two


def test_a_cell_is_what_is_said_of_it(grid):
    found = cell_of(grid, Layout(), Named("icons-tabler", "maple"))
    assert found == Cell("icons-tabler", "maple", Draw(4, 1))
    place = place_of(Path("results/finetune/icons-tabler/coop/shots4-seed2.safetensors"))
    assert place.layout == Layout() and place_of(Path()).layout == Layout()
    assert cell_of(grid, place.layout, place.named) == Cell("icons-tabler", "coop", Draw(4, 2))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (
            Named(backbone="coop"),
            "holds 4 such cells; choose: --dataset icons-bootstrap or icons-tab",
        ),
        (Named("icons-table"), "did you mean icons-tabler?"),
        (Named("icons-tabler", "maple", seed=2), "--seed 2 is not in results; there is 1"),
        (Named(shots=16), "--shots 16 is not in results; there is 4"),
    ],
)
def test_a_cell_that_is_not_one_says_what_there_is(grid, named, words):
    with pytest.raises(DpcError) as problem:
        cell_of(grid, Layout(), named)
    assert words in str(problem.value)


def test_a_tree_without_parallel_prompts_says_what_makes_them(grid):
    with pytest.raises(DpcError, match="run `dpc finetune`"):
        cell_of(grid, Layout(Path("elsewhere")), Named())


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("gone", "does not exist"),
        ("out", "what `dpc export` wrote"),
        ("bare", "holds neither tune/ nor finetune/"),
        ("imported/coop/x-shots4-seed1.safetensors", "is not the file of a cell"),
    ],
)
def test_what_is_no_tree_is_one_line(grid, run, words):
    for path in ("out/classes.safetensors", "imported/coop/x-shots4-seed1.safetensors", "bare/x"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    with pytest.raises(DpcError) as problem:
        place_of(Path(run))
    assert words in str(problem.value) and f"--run {run} " in str(problem.value)


def test_a_weight_is_called_by_its_prompts():
    shown = [predict_cli.prompt_of(weight) for weight in (0.0, 1.0, 0.2)]
    assert shown == ["P", "P'", "0.2·P' + 0.8·P"]


def test_a_terminal_gets_a_table(monkeypatch, capsys):
    names = [
        {"rank": 1, "label": "[star] :car:", "prompt": "P", "first_of": ["mix"], "unknown": False}
    ]
    names[0] |= {"mix": 0.5, "tuned": 0.25, "parallel": 1.0}
    content = {
        "source": "s",
        "label": "CoOp",
        "shots": 0,
        "seed": 1,
        "omega_b": 0.2,
        "omega_n": 0.0,
    }
    content |= {"tuned_names": [], "other_names": ["[star] :car:", "x"]}
    predict_cli._show(content | {"images": [{"image": "a.png", "names": names}]})
    text = capsys.readouterr().out.splitlines()
    assert (
        text[0] == "s, CoOp + DPC, all shots, seed 1; 2 names compete: 2 not tuned on, read with P"
    )
    assert text[2].split() == ["a.png", "1", "[star]", ":car:", "P", "*50.0", "25.0", "100.0"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    predict_cli._show(content | {"images": [{"image": "a.png", "names": names}]})
    assert "[star] :car: " in capsys.readouterr().out.splitlines()[4]
