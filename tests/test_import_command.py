"""`dpc import`, and a grid whose prompts come from elsewhere."""

import contextlib
import itertools
import json
import re
import shutil
from pathlib import Path

import dassl_files
import numpy as np
import pytest
import torch
from drawings import NAMES, OVERRIDES, write_dataset
from ruamel.yaml import YAML
from torch.nn import functional as F
from tree import working_copy

from dpc import artifacts
from dpc.backbones.base import Task
from dpc.backbones.promptkd import PromptKD
from dpc.cli import main
from dpc.errors import ParamsError
from dpc.import_cli import expected_backbone
from dpc.params.load import checked, description_for, load, preset, without_places
from dpc.params.render import render
from dpc.stages.cells import draws
from dpc.stages.elsewhere import taken
from dpc.stages.evaluate import training_facts
from dpc.stages.frozen import clip_for
from dpc.stages.imported import cell_of, file_hashes, missing_files, standard_place
from dpc.stages.layout import Layout
from dpc.stages.plan import stale
from dpc.stages.slice_files import all_slices
from dpc.stages.states import new_backbone

pytestmark = pytest.mark.slow  # whole stages and commands

SMALL = ["dpc.epochs=2", "run.budget=[]", "dpc.sweep=[0.0,0.2,1.0]", "dpc.sweep_new=[0.0]"]
TUNED = standard_place("tuned", "coop")
PARALLEL = standard_place("parallel", "coop")
CELL = ("--dataset", "shapes", "--shots", "4", "--seed", "1")
PLACE = "shapes/coop/shots4-seed1.safetensors"
PROJECT = Path(__file__).parents[1]
RULES, PIPELINE = PROJECT / "workflow/rules/cells.smk", PROJECT / "dvc.yaml"
STAGES = ("prepare", "features", "tune", "finetune", "evaluate")


def write_params(*overrides: str) -> None:
    values = preset("smoke", [*OVERRIDES, *SMALL, *overrides])
    Path("params.yaml").write_text(render(values, description_for(values)))


def prompt(seed: int) -> torch.Tensor:
    """A context (4, 128) that half precision can hold."""
    drawn = torch.randn(4, 128, generator=torch.Generator().manual_seed(seed))
    return (0.3 * drawn).half().float()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A tree whose P comes from a file in half precision, every stage done; not to be changed."""
    root = tmp_path_factory.mktemp("imported")
    with contextlib.chdir(root):
        write_dataset(root)
        write_params()
        with pytest.MonkeyPatch.context() as patch:
            for epoch in (2, 10):
                path = Path(f"out/prompt_learner/model.pth.tar-{epoch}")
                state = {"ctx": prompt(epoch), "token_suffix": suffix(NAMES[:3])}
                dassl_files.save(path, state, patch, half=True, epoch=epoch)
        assert main(["import", "-q", "out", *CELL]) == 0
        write_params(f"+imported.coop.tuned='{TUNED}'")
        for stage in STAGES:
            assert main([stage, "-q"]) == 0
    return root


@pytest.fixture()
def tree(finished, tmp_path, monkeypatch) -> Path:
    return working_copy(finished, tmp_path, monkeypatch)


def read(stage: str, place: str = PLACE, root: str = "results") -> artifacts.Artifact:
    return artifacts.read(Path(root) / stage / place)


def suffix(names) -> torch.Tensor:
    """What the released code keeps of its sentences: embeddings behind a context of four."""
    clip = clip_for(load())
    tokens = clip.tokenize([f"a photo of a {name}." for name in names])
    return clip.model.token_embedding(tokens)[:, 5:].detach().half()


def refused(capsys, *command: str, code: int = 1) -> str:
    capsys.readouterr()
    assert main([command[0], "-q", *command[1:]]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def assert_row(row: artifacts.Artifact, half: str, context: torch.Tensor) -> None:
    """The row's logits and accuracy on "base" or "new" are ``context``'s, by the plain formula."""
    classes = range(3) if half == "base" else range(3, 6)
    clip = clip_for(load())
    test = artifacts.read(Path("results/features/shapes/test.safetensors")).tensors
    labels = torch.from_numpy(test["test.labels"])
    rows = (labels >= classes.start) & (labels < classes.stop)
    images = F.normalize(torch.from_numpy(test["test.features"])[rows], dim=-1)
    tokens = clip.tokenize([f"a photo of a {NAMES[label]}." for label in classes])
    with torch.no_grad():
        texts = F.normalize(clip.encode_text(tokens, [context]), dim=-1)
    logits = clip.logit_scale * images @ texts.T
    found = torch.from_numpy(row.tensors[f"{half}.logits"])
    torch.testing.assert_close(found, logits.half(), rtol=1e-3, atol=0)
    right = logits.argmax(dim=1) + classes.start == labels[rows]
    assert row.results[half] == pytest.approx(100 * float(right.double().mean()), abs=1e-9)


def test_the_row_is_the_accuracy_of_the_files_prompts(tree):
    row = read("evaluate")
    for half in ("base", "new"):
        assert_row(row, half, prompt(10))
        with pytest.raises(AssertionError, match="not close"):
            assert_row(row, half, prompt(2))
    facts = [row.results[key] for key in ("imported", "images_seen", "steps", "learned")]
    assert facts == [{"tuned": {"differ": 0, "all": 3}}, 0, 0, {"context": [4, 128]}]
    assert read("tune").results["imported"]["sentences"] == {"differ": 0, "all": 3}


def test_a_dry_run_says_that_nothing_is_trained(tree, capsys):
    capsys.readouterr()
    assert main(["tune", "-q", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "tune shapes coop 4 shots seed 1: nothing to train" in said
    assert "imported/coop/shapes-shots4-seed1.safetensors" in said


def test_stage_two_starts_from_the_files_prompts(tree):
    assert torch.equal(torch.from_numpy(read("tune").tensors["context"]), prompt(10))
    still = ["dpc.lr=1e-30", "optimizer.warmup_lr=1e-30"]
    assert main(["finetune", "-q", "--out", "still", *still]) == 0
    assert torch.equal(
        torch.from_numpy(read("finetune", root="still").tensors["context"]), prompt(10)
    )
    assert not np.array_equal(read("finetune").tensors["context"], prompt(10).numpy())


@pytest.mark.slow
def test_both_prompts_of_released_dpc_give_the_row(tree, monkeypatch):
    """P' is a file as well: nothing is trained, the row is that of the mix, the page says so."""
    state = {"ctx": prompt(3), "token_prefix": torch.zeros(3, 1, 128)}
    path = dassl_files.save(tree / "dpc" / "model.pth.tar-20", state, monkeypatch)
    assert main(["import", "-q", str(path), *CELL, "--stage", "parallel"]) == 0
    both = [f"+imported.coop.parallel='{PARALLEL}'", "dpc.weight=0.2"]
    assert main(["evaluate", "-q", "--out", "both", *both]) == 0
    assert main(["report", "-q", "--out", "both", *both]) == 0
    row = read("evaluate", "shapes/coop+dpc/shots4-seed1.safetensors", "both")
    assert_row(row, "base", torch.lerp(prompt(10), prompt(3), 0.2))
    assert_row(row, "new", prompt(10))
    sentences = {"tuned": {"differ": 0, "all": 3}, "parallel": None}
    assert (row.results["imported"], row.results["images_seen"]) == (sentences, 0)
    page = Path("both/report/index.html").read_text()
    assert "Tuned elsewhere and imported: P of CoOp, P&#39; of CoOp;" in page
    rows = json.loads(Path("both/metrics.json").read_text())["rows"]
    bases = {each["base"] for each in rows if each["dpc"]}
    assert round(row.results["base"], 4) in bases


def test_a_mix_is_taken_apart_on_the_way_in(tree, monkeypatch):
    mixed = {"ctx": torch.lerp(prompt(10), prompt(3), 0.5)}
    path = dassl_files.save(tree / "S", mixed, monkeypatch)
    asked = ["--stage", "parallel", "--stored", "mixed", "--tuned", "out", "--weight", "0.5"]
    assert main(["import", "-q", str(path), *CELL, *asked]) == 0
    found = artifacts.read(Path("imported/coop/shapes-shots4-seed1-parallel.safetensors"))
    torch.testing.assert_close(torch.from_numpy(found.tensors["context"]), prompt(3))
    assert (found.results["weight"], found.results["layout"]) == (0.5, "coop")


def test_a_mix_of_a_backbone_from_outside_is_of_its_own_prompts(tree, monkeypatch):
    """Its file looks like CoOp's; whose both files are was said."""
    lines = ("backbones.coop import CoOp", "exchange.layouts import LAYOUTS")
    text = "".join(f"from dpc.{line}\n" for line in lines)
    Path("own_mix.py").write_text(
        f"{text}ELSEWHERE = LAYOUTS['coop']\nclass Mine(CoOp):\n    pass\n"
    )
    write_params("+backbones.mine.class=own_mix:Mine")
    mixed = {"ctx": torch.lerp(prompt(10), prompt(3), 0.5)}
    path = dassl_files.save(tree / "S", mixed, monkeypatch)
    asked = ["--stage", "parallel", "--stored", "mixed", "--tuned", "out", "--weight", "0.5"]
    assert main(["import", "-q", str(path), *CELL, *asked, "--backbone", "mine"]) == 0
    found = artifacts.read(Path("imported/mine/shapes-shots4-seed1-parallel.safetensors"))
    torch.testing.assert_close(torch.from_numpy(found.tensors["context"]), prompt(3))


def test_the_command_says_the_epoch_and_the_line_for_the_parameters(tree, capsys):
    """Its line, put into params.yaml, is what the tree was built with; its bytes are the same."""
    path = Path("imported/coop/shapes-shots4-seed1.safetensors")
    before = path.read_bytes()
    capsys.readouterr()
    assert main(["import", "-q", "out", *CELL, "--backbone", "coop"]) == 0
    first, _, line = capsys.readouterr().out.splitlines()
    assert first == "out/prompt_learner/model.pth.tar-10: coop, epoch 10"
    assert path.read_bytes() == before
    values = YAML(typ="safe").load(Path("params.yaml").read_text())
    assert checked({**values, **YAML(typ="safe").load(line)}).imported["coop"].tuned == TUNED
    assert YAML(typ="safe").load(line)["imported"] == {"coop": {"tuned": TUNED}}


@pytest.mark.slow
def test_another_file_makes_the_tree_stale(tree):
    params, before = load(), all_slices(load())
    assert stale(params, Layout()) == []
    assert main(["import", "-q", "out/prompt_learner/model.pth.tar-2", *CELL]) == 0
    assert stale(params, Layout())[0] == "tune shapes coop 4 shots seed 1"
    after = all_slices(params)
    assert {name for name in after if after[name] != before[name]} == {"tune.coop"}
    for stage in ("tune", "finetune", "evaluate"):
        assert main([stage, "-q"]) == 0
    assert_row(read("evaluate"), "base", prompt(2))


def test_a_tree_that_was_trained_is_stale_once_prompts_are_imported(tree, capsys):
    write_params()
    assert "stale" in refused(capsys, "evaluate", "--backbone", "coop")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cloud", "house", "heart"], "2 of 3 sentences differ, first 'an icon of a heart.'"),
        (["cloud", "heart", "house gate"], "1 of 3 sentences differ, first 'an icon of a house.'"),
        (NAMES, "3 of 3 sentences differ"),
    ],
)
def test_prompts_of_other_sentences_are_taken_with_a_warning(
    tree, monkeypatch, capsys, names, words
):
    state = {"ctx": prompt(10), "token_suffix": suffix(names)}
    path = dassl_files.save(tree / "m", state, monkeypatch)
    assert main(["import", "-q", str(path), *CELL]) == 0
    assert main(["tune", "-q"]) == 0
    assert words in capsys.readouterr().err
    differ = {"differ": int(words[0]), "all": 3}
    assert read("tune").results["imported"]["sentences"] == differ
    assert training_facts({"tuned": read("tune")})["imported"] == {"tuned": differ}


def test_a_missing_file_names_the_command_that_makes_it(tree, capsys):
    shutil.rmtree("imported")
    assert file_hashes(load(), "tuned", "coop") == {"imported": {"shapes 4 shots seed 1": None}}
    assert main(["doctor", "-q"]) == 1
    report = capsys.readouterr().out
    assert "imported/coop/shapes-shots4-seed1.safetensors: imported prompts that are not" in report
    said = refused(capsys, "tune")
    assert "imported/coop/shapes-shots4-seed1.safetensors is missing" in said
    assert "dpc import CHECKPOINT --backbone coop --dataset shapes --shots 4 --seed 1" in said


def test_prompts_of_another_cell_or_size_are_refused(tree, capsys, monkeypatch):
    assert main(["import", "-q", "out", *CELL[:-1], "2", "--out", "other.safetensors"]) == 0
    write_params("+imported.coop.tuned=other.safetensors")
    assert "was imported for seed 2" in refused(capsys, "tune")
    write_params(f"+imported.coop.tuned='{TUNED}'", "backbones.coop.init=a photo")
    said = refused(capsys, "tune")
    assert "context is (4, 128), (2, 128) is expected" in said
    assert "set backbones.coop.init=null backbones.coop.length=4" not in said
    assert "backbones.coop.init=null" in said
    long = dassl_files.save(tree / "long", {"ctx": torch.zeros(16, 128)}, monkeypatch)
    write_params()
    said = refused(capsys, "import", str(long), *CELL)
    assert "set backbones.coop.init=null backbones.coop.length=16" in said


def test_a_backbone_without_a_block_is_one_line(tree, capsys, monkeypatch):
    values = YAML(typ="safe").load(Path("params.yaml").read_text())
    del values["backbones"]["maple"]
    Path("params.yaml").write_text(json.dumps(values))
    state = {"context": torch.zeros(2, 4), "couplings.0.weight": torch.zeros(4, 4)}
    official = dassl_files.maple(state | {"couplings.0.bias": torch.zeros(4)})
    path = dassl_files.save(tree / "m", official, monkeypatch)
    assert "has no block backbones.maple" in refused(capsys, "import", str(path), *CELL)


def test_an_artefact_that_was_not_imported_is_refused(tree, capsys):
    write_params(f"+imported.coop.tuned=results/tune/{PLACE}")
    assert "stale" in refused(capsys, "tune")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stored", "mixed"], "--stored mixed needs --stage parallel"),
        (["--weight", "0.2"], "go with --stored mixed"),
        (["--seed", "-1"], "numbers from 0 on"),
        (["--dataset", "shape"], "did you mean shapes"),
        (["--backbone", "cop"], "no checkpoint layout of backbone 'cop'"),
        (
            ["--stage", "parallel", "--stored", "mixed", "--tuned", "out", "--weight", "0"],
            "above 0 and at most 1",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_line(tree, capsys, options, words):
    assert words in refused(capsys, "import", "out", *CELL, *options)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"cop": {"tuned": "a"}}, "imported.cop: no such prompt learner under backbones; did you"),
        ({"zero_shot": {"tuned": "a"}}, "imported.zero_shot: no such prompt learner"),
        ({"coop": {"tuned": "", "parallel": "a"}}, "imported.coop.tuned is empty"),
        ({"coop": {"tuned": "{dataset}-{sed}"}}, "{sed} is not put in"),
        ({"coop": {"tuned": "{dataset}"}}, "write {seed} into it"),
        ({"coop": {"tuned": "{dataset}{seed}", "parallel": "{seed}"}}, "write {dataset} into it"),
        ({"teacher": {"tuned": "{seed}"}}, "write {dataset} into it"),
        ({"teacher": {"tuned": "{dataset}", "parallel": "a"}}, "a teacher has none"),
    ],
)
def test_what_the_parameters_may_say(entry, words):
    values = preset("icons", ["run.backbones=[coop]", "run.seeds=[1,2]"])
    with pytest.raises(ParamsError) as caught:
        checked({**values, "imported": entry})
    assert words in str(caught.value)
    fine = {"coop": {"tuned": "{dataset}-{seed}"}, "teacher": {"tuned": "{dataset}"}}
    assert checked({**values, "imported": fine}).imported["coop"].parallel == ""


def test_the_teachers_file_is_missed_where_something_learns_from_it():
    entry = {"teacher": {"tuned": "nowhere/{dataset}-{seed}"}}
    values = preset("icons", ["run.backbones=[coop]", "run.budget=[]"])
    assert missing_files(checked({**values, "imported": entry})) == []
    values["run"]["backbones"] = ["promptkd"]
    missed = missing_files(checked({**values, "imported": entry}))
    assert len(missed) == len(values["run"]["datasets"])
    assert "--backbone teacher" in missed[0][1]


@pytest.mark.parametrize(
    ("stage", "learner", "part"),
    [
        ("tune", "coop", "tuned"),
        ("finetune", "coop", "parallel"),
        ("teacher", "teacher", "tuned"),
    ],
)
def test_both_engines_look_at_the_content_of_imported_files(
    stage, learner, part, tmp_path, monkeypatch
):
    """A file that appears, and one that changes, is new content of the slice of its stage alone,
    which the stage's rule of either engine names."""
    monkeypatch.chdir(tmp_path)
    one = ["run.backbones=[coop,promptkd]", "run.datasets=[icons-tabler]", "run.budget=[]"]
    files = {name: {"tuned": f"{name}-{{seed}}-tuned"} for name in ("coop", "teacher")}
    files["coop"]["parallel"] = "coop-{seed}-parallel"
    params = checked({**preset("icons", one), "imported": files})
    found = [all_slices(params)]
    for content in ("a", "other"):
        Path(f"{learner}-1-{part}").write_text(content)
        found.append(all_slices(params))
    name = "teacher" if stage == "teacher" else f"{stage}.coop"
    for before, after in itertools.pairwise(found):
        assert {key for key in after if after[key] != before[key]} == {name}
    place = str(Layout().slice(name.replace("coop", "{backbone}")))
    rule = re.search(rf"^rule {stage}:\n(.+?)^    output:", RULES.read_text(), re.M | re.S)
    assert rule is not None and f'"{place}"' in rule[1]
    stages = YAML(typ="safe").load(PIPELINE.read_text())["stages"]
    assert place.replace("{backbone}", "${item.backbone}") in stages[stage]["deps"]


def test_where_files_lie_is_not_on_the_page():
    entry = {"coop": {"tuned": "/home/me/{dataset}-{seed}"}}
    params = checked({**preset("icons", ["run.backbones=[coop]"]), "imported": entry})
    assert without_places(params)["imported"] == {"coop": {"tuned": True, "parallel": False}}


@pytest.mark.slow
def test_a_teacher_and_its_student_come_from_files(tmp_path, monkeypatch):
    """Nothing of stage one is trained: features are the imported teacher's, P is the student's."""
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path)
    kd = ["run.backbones=[promptkd]", "run.seeds=[1,2]", "run.together=2", "teacher.seed=3"]
    write_params(*kd)
    state = {}
    for name, official in (("teacher", dassl_files.promptsrc), ("promptkd", dassl_files.promptkd)):
        module = expected_backbone(load(), name)
        with torch.no_grad():
            for value in module.parameters():
                value.add_(0.25)
        state[name] = module.state_dict()
        path = dassl_files.save(
            tmp_path / name / "model.pth.tar-20", official(state[name]), monkeypatch
        )
        for seed in ("3",) if name == "teacher" else ("1", "2"):
            asked = ["--dataset", "shapes", "--shots", "4", "--seed", seed, "--backbone", name]
            assert main(["import", "-q", str(path), *asked]) == 0
    places = {name: {"tuned": standard_place("tuned", name)} for name in state}
    write_params(
        *kd, *(f"+imported.{name}.tuned='{each['tuned']}'" for name, each in places.items())
    )
    assert set(file_hashes(load(), "tuned", "teacher")["imported"]) == {"shapes 4 shots seed 3"}
    for stage in ("prepare", "features", "teacher", "tune", "finetune", "evaluate"):
        assert main([stage, "-q"]) == 0
    found = artifacts.read(Path("results/teacher/shapes/tuned.safetensors")).tensors
    assert found.keys() == state["teacher"].keys()
    assert all(np.array_equal(found[key], value) for key, value in state["teacher"].items())
    given = read("tune", "shapes/promptkd/shots4-seed2.safetensors").tensors
    assert all(np.array_equal(given[key], value) for key, value in state["promptkd"].items())
    row = read("evaluate", "shapes/promptkd/shots4-seed2.safetensors").results
    assert (row["imported"], row["steps"]) == ({"tuned": None}, 0)


@pytest.mark.parametrize("dual", ["image", "text"])
def test_a_student_takes_from_its_teacher_what_its_file_lacks(dual, tmp_path):
    """PromptKD's file has no text prompts; with dual: text they are the teacher's."""
    values = preset("icons", [f"backbones.promptkd.dual={dual}", "backbones.promptkd.depth=2"])
    params = checked({**values, "imported": {"promptkd": {"tuned": "{dataset}{seed}"}}})
    module, other = (expected_backbone(params, "promptkd") for _ in range(2))
    assert isinstance(other, PromptKD)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(1.0)
    own = {k: v.numpy() for k, v in other.state_dict().items() if not k.startswith("text.")}
    draw = draws(params)[0]
    cell = cell_of("tuned", "icons-tabler", "promptkd", draw)
    results = {"cell": cell, "source": "", "layout": "promptkd", "epoch": 20, "sentences": None}
    task = Task(clip_for(params), ("any",), torch.zeros(1, 77, dtype=torch.long))
    given = artifacts.Artifact(own, results)
    made = taken(params, "tuned", "icons-tabler", "promptkd", draw, module, task, given)
    state = module.state_dict()
    assert made.tensors.keys() == state.keys()
    assert any(name.startswith("text.") for name in state) == (dual == "text")
    for name, value in made.tensors.items():
        expected = state[name].numpy() if name.startswith("text.") else own[name]
        assert np.array_equal(value, expected), name


def test_the_expected_backbone_is_the_one_that_is_tuned():
    params = checked(preset("icons"))
    for name in ("coop", "maple", "promptsrc"):
        expected = new_backbone(params, name, clip_for(params), 1).state_dict()
        found = expected_backbone(params, name).state_dict()
        assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}
