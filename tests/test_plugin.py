"""docs/add-a-backbone.md: its file, taken out of the page, goes through everything that a backbone
of the package goes through."""

import copy
import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_backbones_contract as contract
import torch
from ruamel.yaml import YAML
from test_backbones_contract import NAMES, made
from test_packaging import parsed
from torch.nn import functional as F
from tree import REPOSITORY, Tree

from dpc.backbones import BACKBONES, resolve
from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.clip.views import FrozenBank
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning
from dpc.collaboration.weighting import mixed_backbone
from dpc.params.backbones import backbone_module, traits
from dpc.params.load import checked, compose, description_for, preset
from dpc.params.render import render

PAGE = (REPOSITORY / "docs/add-a-backbone.md").read_text(encoding="utf-8")
ADDED = ["run.backbones=[coop,kgcoop]", "backbones.kgcoop.class=kgcoop:KgCoOp"]
SMALL = ["backbones.kgcoop.epochs=2", "backbones.kgcoop.batch=16"]
teacher, task, views = contract.teacher, contract.task, contract.views  # fixtures
CHECKS = {
    name: check
    for name, check in vars(contract).items()
    if name.startswith("test_")
    and "backbone" in inspect.signature(check).parameters
    and not getattr(check, "pytestmark", [])
}


def fenced(language: str) -> list[str]:
    """The blocks of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


LEARNER, REGISTRY_LINE = fenced("python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder that holds the page's file."""
    root = tmp_path_factory.mktemp("plugin")
    (root / "kgcoop.py").write_text(LEARNER)
    return root


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture()
def kind(_there):
    return resolve("kgcoop", {"class": "kgcoop:KgCoOp"})


@pytest.fixture()
def backbone(kind, student, generator):
    return made(kind, student, generator, None)


@pytest.fixture(scope="module")
def bank(student):
    generator = torch.Generator().manual_seed(8)
    images = torch.randn(18, 3, 32, 32, generator=generator)
    return FrozenBank(student.encode_image(images)[:, None], torch.arange(18) % 6)


def test_the_file_is_short_and_in_shape():
    assert len(LEARNER.splitlines()) < 120
    as_file = ["--stdin-filename", "src/dpc/backbones/kgcoop.py", "-"]
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, *as_file]
        subprocess.run(ruff, input=LEARNER, text=True, cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("name", CHECKS)
def test_the_contract(name, request):
    wanted = inspect.signature(CHECKS[name]).parameters
    CHECKS[name](**{fixture: request.getfixturevalue(fixture) for fixture in wanted})


def test_the_loss_is_the_released_one(student, backbone, generator):
    """Half the paper's formula, which is the squared distance of features of length 1."""
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    with torch.no_grad():
        backbone.context.add_(0.1 * torch.randn(backbone.context.shape, generator=generator))
    texts, frozen = backbone.text_features(task), task.frozen_text_features()
    squared = (F.normalize(texts, dim=-1) - F.normalize(frozen, dim=-1)).pow(2).sum(-1)
    for classes in (None, torch.tensor([1, 4])):
        rows = slice(None) if classes is None else classes
        found = backbone.regularizers(task, None, None, texts[rows], classes)["knowledge"]
        torch.testing.assert_close(found, 8 * squared[rows].mean() / 2)
        assert found > 1e-3


def test_without_the_weight_it_is_coop(kind, student, bank):
    """Trained alike, to the bit; with the weight it stays nearer to CLIP's own sentences."""

    def tuned(weight):
        generator = torch.Generator().manual_seed(0)
        learner = kind.from_clip(student, kind.Params(weight=weight), generator)
        task = make_task(student, learner, NAMES, "a photo of a {}.")
        tune(task, learner, bank, Recipe(lr=0.02, epochs=3, batch=6), seed=1)
        frozen, texts = task.frozen_text_features(), learner.text_features(task)
        return learner, float(1 - F.cosine_similarity(texts, frozen).mean().detach())

    free, far = tuned(0.0)
    coop = CoOp.from_clip(student, CoOp.Params(), torch.Generator().manual_seed(0))
    task = make_task(student, coop, NAMES, "a photo of a {}.")
    tune(task, coop, bank, Recipe(lr=0.02, epochs=3, batch=6), seed=1)
    assert torch.equal(free.context, coop.context)
    assert tuned(8.0)[1] < 0.7 * far


def test_dpc_works_on_it(student, backbone, bank):
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    tune(task, backbone, bank, Recipe(lr=0.01, epochs=1, batch=6), seed=1)
    before = copy.deepcopy(backbone.state_dict())
    recipe = Finetuning(lr=0.01, epochs=2, batch=3, k=3)
    parallel, statistics = finetune(task, backbone, bank, recipe, seed=1)
    assert set(statistics.history) == {"contrastive", "knowledge"}
    assert torch.equal(backbone.context, before["context"])
    assert not torch.equal(parallel.context, backbone.context)
    mixed = mixed_backbone(backbone, parallel, 0.25)
    expected = torch.lerp(backbone.context, parallel.context, 0.25)
    assert torch.equal(mixed.context, expected)


def test_the_block_of_the_page_loads():
    (block,) = fenced("yaml")
    written = YAML(typ="safe").load(block)
    values = preset("smoke")
    values["run"] |= written["run"]
    values["backbones"] |= written["backbones"]
    params = checked(values)
    assert params.block("kgcoop") == {
        "init": "an icon of a",
        "length": 4,
        "weight": 8.0,
        "lr": 0.03,
        "epochs": 20,
        "batch": 32,
    }
    assert traits(params, "kgcoop") == {
        "label": "KgCoOp",
        "transductive": False,
        "needs_teacher": False,
        "kept_losses": ["knowledge"],
        "prompted": {"text": ""},
        "elsewhere": False,
    }
    assert backbone_module(params, "kgcoop") == "kgcoop"
    text = render(values, description_for(values))
    assert "# Weight of the distance to frozen CLIP" not in text  # the key is left out
    assert "# KgCoOp: CoOp's context, held near the hand-written sentence." in text


def commands() -> list[str]:
    found = [line for block in fenced("sh") for line in block.splitlines() if line]
    return [line for line in found if line.startswith("dpc ")]


def test_the_commands_of_the_page_are_understood():
    assert len(commands()) == 6
    typed = parsed(commands()[0])
    (block,) = fenced("yaml")
    values = compose(preset("smoke"), typed.overrides, "smoke")
    assert values["backbones"]["kgcoop"] == YAML(typ="safe").load(block)["backbones"]["kgcoop"]
    for command in commands()[1:]:
        parsed(command)
    assert parsed(commands()[-1]).overrides == ADDED


def test_the_paths_of_the_page_exist():
    for name in re.findall(r"`((?:src|tests)/[\w./-]+)`", PAGE):
        assert (REPOSITORY / name).exists(), name
    for name in re.findall(r"`(\w+\.py)`", PAGE):
        assert name == "kgcoop.py" or (REPOSITORY / "src/dpc/backbones" / name).is_file(), name
    for name in re.findall(r"\]\(([\w./-]+)\)", PAGE):
        assert (REPOSITORY / "docs" / name).is_file(), name


def package_with_kgcoop(root: Path) -> None:
    """The package, and in it one file and one line more."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", root / "src", ignore=ignored)
    folder = root / "src/dpc/backbones"
    (folder / "kgcoop.py").write_text(LEARNER)
    text = (folder / "__init__.py").read_text()
    table = re.search(r"^BACKBONES = \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    end = table.end(1)
    (folder / "__init__.py").write_text(text[:end] + REGISTRY_LINE + text[end:])


def changes(root: Path) -> dict[str, int]:
    """Files of the copied package that differ from the repository's, and by how many lines."""
    found = {}
    for path in (root / "src").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            original = REPOSITORY / path.relative_to(root)
            before = original.read_bytes().splitlines() if original.is_file() else []
            after = path.read_bytes().splitlines()
            if before != after:
                assert [line for line in before if line not in after] == []
                found[path.name] = len(after) - len(before)
    return found


@pytest.mark.slow
def test_inside_the_package_it_is_one_file_and_one_line(tmp_path):
    package_with_kgcoop(tmp_path)
    assert changes(tmp_path) == {"__init__.py": 1, "kgcoop.py": len(LEARNER.splitlines())}
    environment = Tree.environment.fget(type("At", (), {"root": tmp_path})())

    def run(*command: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listed = run("dpc", "list").partition("\nbackbones: ")[2].splitlines()[0]
    assert "kgcoop" in listed.split(", ")
    grid = "run.backbones=[coop,kgcoop]"
    run("dpc", "params", "--preset", "smoke", "--out", "params.yaml", grid)
    text = (tmp_path / "params.yaml").read_text()
    assert "    # Weight of the distance to frozen CLIP. [a number of at least 0]" in text
    assert "kgcoop+dpc" in run("dpc", "check")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    checked_by = "tests/test_backbones_contract.py"
    passed = run(*tests, checked_by, "-k", "kgcoop", cwd=REPOSITORY)
    assert int(re.search(r"(\d+) passed", passed)[1]) >= len(CHECKS)


@pytest.mark.engine
def test_both_engines_run_it_end_to_end(built, tmp_path):
    tree = built.copy(tmp_path / "tree")  # CoOp's cells are there
    (tree.root / "kgcoop.py").write_text(LEARNER)
    rewrite = ("dpc", "params", "--from", "params.yaml", "--out", "params.yaml")
    tree.run(*rewrite, *ADDED, *SMALL, "dpc.by_backbone.kgcoop.weight=0.5")
    assert "kgcoop+dpc" in tree.run("dpc", "check").stdout
    tree.run("git", "add", "-A")
    tree.run("git", "commit", "-qm", "KgCoOp")
    tree.build("snakemake")
    tree.run("dpc", "verify")
    results = tree.results()
    metrics = json.loads(results["metrics.json"])
    assert {"coop", "coop+dpc", "kgcoop", "kgcoop+dpc"} < set(metrics["averages"])
    assert "KgCoOp + DPC" in results["report/index.html"].decode()
    assert tree.build("dvc")[1] == set()  # from the store
    assert tree.results() == results
    tree.edit('"knowledge": self.weight', '"knowledge": 2 * self.weight', name="kgcoop.py")
    worked = tree.build("snakemake")[1]
    assert worked and all("kgcoop" in title for title in worked)
    # One cell by hand, into a scratch folder, with nothing in params.yaml
    tree.run("git", "checkout", "-q", "HEAD~1", "params.yaml")
    last = parsed(commands()[-1])
    arguments = ["--backbone", "kgcoop", "--seeds", "1", *last.overrides, *SMALL]
    done = tree.run("dpc", "evaluate", *arguments)
    assert "base" in done.stdout + done.stderr


def test_a_module_is_not_shadowed_by_a_folder_of_the_same_name(kind):
    """What the working directory holds comes last: a library keeps its name."""
    assert importlib.import_module("kgcoop").KgCoOp is kind
    assert sys.path.index(str(Path.cwd())) == len(sys.path) - 1
    assert "kgcoop" not in BACKBONES
