"""Both engines, from a bare tree to the report: what runs, what does not, which bytes they make."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from doc_blocks import run_by, words_of
from drawings import OVERRIDES, write_dataset
from PIL import Image
from tree import Tree, made_once

pytestmark = pytest.mark.engine

HEAVIER_LOSS = """

_plain_loss = contrastive_loss


def contrastive_loss(*arguments):
    return 3.0 * _plain_loss(*arguments)
"""
CELLS = {"tune", "budget", "finetune", "evaluate", "evaluate_budget"}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Tree:
    """A tree with a dataset on disk, built by Snakemake; work in a copy."""

    def make(root):
        tree = Tree(root, *OVERRIDES)
        write_dataset(root)
        tree.snakemake()

    return Tree.at(made_once(tmp_path_factory.getbasetemp(), "drawn", make))


def test_snakemake_and_dvc_write_the_same_bytes(tmp_path):
    """Each from nothing: a teacher and its student, image prompts, budget rows, ablation rungs,
    baselines, a sweep."""
    grid = (
        "run.backbones=[coop,maple,promptsrc,promptkd]",
        "run.budget=[coop]",
        "run.ablations=[maple]",
        "run.baselines=[linear_probe,tip_adapter]",
        "run.sweeps=[tiny]",
        "sweeps.tiny={backbones: [coop], points: {k3: {dpc.negatives.k: 3}}}",
        "run.seeds=[1]",
        "dpc.epochs=1",
    )
    trees = {engine: Tree(tmp_path / engine, *grid) for engine in ("snakemake", "dvc")}
    for engine, tree in trees.items():
        assert tree.build(engine)[1], engine
    ours, theirs = (tree.results() for tree in trees.values())
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert "Nothing to be done" in trees["snakemake"].snakemake().stderr
    assert trees["dvc"].build("dvc") == (set(), set())
    tree = trees["snakemake"]
    change = ("--from", "params.yaml", "--out", "params.yaml", "teacher.settings.lr=0.005")
    tree.run("dpc", "params", *change)
    ran, worked = tree.build("snakemake")
    assert ran == {"teacher", "tune", "finetune", "evaluate", "sweep", "report"}
    assert all("promptkd" in title or title.startswith("teacher") for title in worked)


def test_a_second_run_does_nothing(built, tmp_path):
    assert "Nothing to be done" in built.copy(tmp_path / "tree").snakemake().stderr


def test_dvc_after_snakemake_trains_nothing_and_snakemake_after_that_neither(settled, tmp_path):
    tree = settled.copy(tmp_path / "tree")
    again = tree.dvc().stdout
    assert "slices: everything is up to date" in again
    assert again.count("Running stage") == 1  # the look at params, code and data
    assert "Nothing to be done" in tree.snakemake().stderr


def test_committing_a_verified_snakemake_tree_brings_dvc_up_to_date(built, tmp_path):
    tree = built.copy(tmp_path / "tree")
    _, of_engines, _ = run_by(__file__)
    assert of_engines.lines == ("dpc verify && dvc commit -f",)
    tree.run("bash", "-c", *of_engines.lines)
    ran, worked = tree.build("dvc")
    assert (ran, worked) == (set(), set())


def after(tree: Tree, engine: str, expected: set[str], what: str) -> set[str]:
    """Build, see that only the expected stages ran, and tell what was worked out."""
    ran, worked = tree.build(engine)
    assert ran == expected, what
    return worked


@pytest.mark.parametrize(("engine", "other"), [("snakemake", "dvc"), ("dvc", "snakemake")])
def test_an_edited_number_reruns_what_reads_it_and_nothing_else(settled, tmp_path, engine, other):
    tree = settled.copy(tmp_path / "tree")
    for path in (
        "params.yaml",
        "src/dpc/training.py",
        "src/dpc/collaboration/loss.py",
        "results/.params/tune.coop.json",
        "results/features/icons-bootstrap/shots4-seed1.safetensors",
        "results/prepare/icons-bootstrap/images.zip",
    ):
        os.utime(tree.root / path)
    assert after(tree, engine, set(), "touched files") == set()

    tree.append("README.md", "words\n")
    assert after(tree, engine, set(), "a page of documentation") == set()

    tree.edit("  weight: 0.2", "  weight: 0.3")
    worked = after(tree, engine, {"evaluate", "report"}, "dpc.weight")
    assert worked == {f"evaluate icons-bootstrap coop+dpc 4 shots seed {seed}" for seed in (1, 2)}

    tree.edit("    lr: 0.004", "    lr: 0.01")
    worked = after(tree, engine, CELLS | {"report"}, "backbones.coop.lr")
    assert not any("zero_shot" in title or "features" in title for title in worked)

    # The other engine sees a tree that is right, and says so without training.
    assert tree.build(other)[1] == set()
    if other == "snakemake":
        assert "Nothing to be done" in tree.snakemake().stderr

    tree.edit("    lr: 0.01", "    lr: 0.004")
    ran, worked = tree.build(engine)
    assert worked == set()
    assert ran == (CELLS | {"report"} if engine == "snakemake" else set())  # DVC's own cache


@pytest.mark.parametrize("engine", ["snakemake", "dvc"])
def test_edited_code_reruns_what_uses_it_and_nothing_else(settled, tmp_path, engine):
    tree = settled.copy(tmp_path / "tree")
    tree.append("src/dpc/report/words.py", "\n# a note\n")
    after(tree, engine, {"report"}, "code of the report")
    tree.append("src/dpc/report/page.html.j2", "<!-- a note -->\n")
    after(tree, engine, {"report"}, "the page's template")

    tree.append("src/dpc/collaboration/loss.py", HEAVIER_LOSS)
    worked = after(tree, engine, {"finetune", "evaluate", "report"}, "code of the loss")
    assert {title.split()[0] for title in worked} == {"finetune", "evaluate"}
    assert not any(title.startswith("evaluate icons-bootstrap coop 4 shots") for title in worked)

    tree.append("src/dpc/collaboration/loss.py", "# a note\n")
    worked = tree.build(engine)[1]
    assert {title.split()[0] for title in worked} == {"finetune"}  # same numbers: nothing to test


@pytest.mark.parametrize("engine", ["snakemake", "dvc"])
def test_a_seed_or_a_dataset_more_or_less(settled, tmp_path, engine):
    tree = settled.copy(tmp_path / "tree")
    tree.edit("  - 1\n  - 2\n", "  - 1\n  - 2\n  - 3\n")
    worked = tree.build(engine)[1]
    assert worked
    assert all(title.endswith("seed 3") for title in worked)

    tree.edit("  - 1\n  - 2\n  - 3\n", "  - 2\n  - 3\n")
    ran, worked = tree.build(engine)
    assert worked == set()
    # Seeds share a stage: to DVC it is another one, and its two seeds come out of the store.
    seeded = CELLS | {"features", "evaluate_zero_shot", "report"}
    assert ran == ({"report"} if engine == "snakemake" else seeded)

    tree.edit("  - icons-bootstrap\n", "  - icons-bootstrap\n  - icons-remix\n")
    worked = tree.build(engine)[1]
    assert worked
    assert all("icons-remix" in title for title in worked)

    tree.edit("  - icons-remix\n", "")
    assert after(tree, engine, {"report"}, "a dataset less") == set()
    rows = json.loads((tree.root / "results/metrics.json").read_text())["rows"]
    assert {row["dataset"] for row in rows} == {"icons-bootstrap"}
    assert {row["seed"] for row in rows} == {None, 2, 3}


@pytest.mark.parametrize("engine", ["snakemake", "dvc"])
def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(built, tmp_path, engine):
    tree = Tree(tmp_path / "tree")
    command = ["snakemake", "--cores", "2", "all"] if engine == "snakemake" else ["dvc", "repro"]
    process = subprocess.Popen(
        command,
        cwd=tree.root,
        env=tree.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(tree.root.glob("results/tune/*/*/shots4-seed1.safetensors")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if engine == "snakemake":
        assert tree.snakemake(check=False).returncode != 0  # the dead run's lock
        tree.snakemake("--unlock")
    tree.build(engine)
    ours, theirs = tree.results(), built.results()
    assert {name for name in theirs | ours if ours.get(name) != theirs.get(name)} == set()
    tree.edit("  weight: 0.2", "  weight: 0.3")
    assert tree.build(engine)[0] == {"evaluate", "report"}


@pytest.mark.parametrize("engine", ["snakemake", "dvc"])
def test_wrong_params_stop_both_engines_with_our_lines(built, tmp_path, engine):
    tree = built.copy(tmp_path / "tree")
    tree.edit("  weight: 0.2", "  weight: 1.5")
    tree.edit("  inference: mixed", "  inferense: mixed")
    done = tree.snakemake(check=False) if engine == "snakemake" else tree.dvc(check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "dpc: params.yaml: dpc.weight is 1.5; a number in [0, 1] is expected" in text
    assert "dpc.inferense is not a parameter; did you mean dpc.inference?" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("engine", ["snakemake", "dvc"])
def test_a_changed_image_is_seen_and_a_missing_one_is_named(drawn, tmp_path, engine):
    tree = drawn.copy(tmp_path / "tree")
    assert tree.build(engine)[1] == set()
    image = tree.root / "data/shapes/images/house/6.png"  # a test image: nothing is trained anew
    Image.new("RGB", (64, 64), "grey").save(image)
    worked = tree.build(engine)[1]
    assert {title.split()[0] for title in worked} == {"prepare", "features", "shots", "evaluate"}
    image.unlink()
    done = tree.snakemake(check=False) if engine == "snakemake" else tree.dvc(check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "dpc: image data/shapes/images/house/6.png is missing" in text
    assert "Traceback" not in text


def test_two_runs_in_one_tree_do_not_collide(built, tmp_path):
    tree = built.copy(tmp_path / "tree")
    tree.edit("\n  epochs: 2\n", "\n  epochs: 40\n")  # of stage two
    first = subprocess.Popen(
        ["snakemake", "--cores", "1", "all"],
        cwd=tree.root,
        env=tree.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list((tree.root / ".snakemake/locks").glob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = tree.snakemake(check=False)
    assert second.returncode != 0
    assert "lock" in second.stderr.lower()
    assert first.wait(timeout=300) == 0
    tree.run("dpc", "verify")


def test_dvc_experiments_show_as_rows(settled, tmp_path):
    tree = settled.copy(tmp_path / "tree")
    of_readme, _, of_engines = run_by(__file__)
    assert words_of(of_readme)[1:] == words_of(of_engines)
    committed, heavier, line = of_readme.lines
    tree.run("bash", "-c", committed)
    tree.run("bash", "-c", heavier)
    tree.run("dpc", "params", "--from", "params.yaml", "--out", "params.yaml")  # comments back
    changed = tree.run("git", "diff", "-U0", "params.yaml").stdout.splitlines()[4:]
    assert [x for x in changed if "#" not in x and x[0] in "+-"] == [
        "-  weight: 0.2",
        "+  weight: 0.3",
    ]
    assert "heavier" in tree.run("bash", "-c", f"{line} --json").stdout
    text = tree.run("bash", "-c", line).stdout
    rows = [row for row in text.splitlines() if re.search(r"workspace|heavier", row)]
    assert len(rows) == 2
    assert "0.3" in text
    assert "!" not in text
