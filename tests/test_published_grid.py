"""All fifteen published datasets through every protocol, on tiny images with the embedded CLIP."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
from coop_layout import write
from tree import Tree, made_once

from dpc import artifacts
from dpc.cli import main
from dpc.datasets.catalog import CATALOG
from dpc.params.load import description_for, preset
from dpc.params.render import render

ELEVEN = [name for name, published in CATALOG.items() if not published.test_only]
VARIANTS = [name for name, published in CATALOG.items() if published.test_only]
STAGES = ("prepare", "features", "teacher", "tune", "finetune", "evaluate", "report")
GRIDS = {
    "base-to-new": (ELEVEN, []),
    "generalized": (ELEVEN, []),
    "few-shot": (ELEVEN, []),
    "cross-dataset": (["imagenet"], ELEVEN[1:]),
    "domain-generalization": (["imagenet"], VARIANTS),
}


def overrides(protocol: str, datasets: list[str], targets: list[str]) -> list[str]:
    shots = "run.shots=[1,2]" if protocol == "few-shot" else "run.shots=[1]"
    return [
        f"protocol={protocol}",
        f"run.datasets=[{','.join(datasets)}]",
        f"run.targets=[{','.join(targets)}]",
        "run.seeds=[1]",
        shots,
        "run.budget=[]",
        "data.views.count=1",
        "dpc.epochs=1",
        "backbones.coop.epochs=1",
        "backbones.zero_shot.template='a photo of a {}.'",
        "backbones.coop.init=a photo of a",
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Every dataset with at most eight classes and two training images a class."""
    base = tmp_path_factory.getbasetemp()
    return made_once(base, "published", lambda root: write(root, classes=8, train=2))


def finished(protocol: str, data: Path, base: Path) -> Path:
    """A folder in which every stage of the protocol's grid ran, with what the doctor said."""

    def make(root: Path) -> None:
        root.mkdir()
        grid = [f"data.root={data}", *overrides(protocol, *GRIDS[protocol])]
        values = preset("smoke", grid)
        with contextlib.chdir(root), Path("doctor.txt").open("w") as told:
            Path("params.yaml").write_text(render(values, description_for(values)))
            with contextlib.redirect_stdout(told):
                assert main(["doctor", "-q"]) == 1  # tiny copies are not the published sets
            for stage in ("slices", *STAGES):
                assert main([stage, "-q"]) == 0, stage

    return made_once(base, f"finished-{protocol}", make)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list(GRIDS))
def test_every_dataset_goes_through_every_protocol(protocol, data, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(finished(protocol, data, tmp_path_factory.getbasetemp()))
    told = Path("doctor.txt").read_text()
    datasets, targets = GRIDS[protocol]
    for name in (*datasets, *targets):
        assert name in told
        shown = artifacts.read(Path(f"results/features/{name}/test.safetensors")).results
        assert shown["template"] == CATALOG[name].template
        assert shown["published"] is False
        rows = list(Path(f"results/evaluate/{name}").rglob("*.safetensors"))
        assert len(rows) == 1 + 2 * (2 if protocol == "few-shot" else 1)
    assert {path.name for path in Path("results/tune").iterdir()} == set(datasets)
    page = Path("results/report/index.html").read_text()
    drawn = artifacts.read(Path(f"results/features/{datasets[-1]}/shots1-seed1.safetensors"))
    assert drawn.results["draw"][:12] in page


ENGINES = [
    ("snakemake", "base-to-new", ["caltech101"]),
    ("snakemake", "few-shot", ["oxford_flowers"]),
    ("dvc", "generalized", ["eurosat"]),
]
# These have many cells and no stage of their own: an engine only has to find and order them.
FROM_THE_STORE = [("snakemake", "cross-dataset"), ("dvc", "domain-generalization")]


def agree(tree: Tree, engine: str) -> None:
    """The other engine has nothing to add to what this one built."""
    if engine == "dvc":
        assert "Nothing to be done" in tree.snakemake().stderr
    else:
        tree.run("dpc", "verify")
        tree.run("dvc", "commit", "-f")
        assert tree.build("dvc") == (set(), set())


def protocols_and_sets(tree: Tree) -> tuple[set[str], set[str]]:
    """Protocols and datasets of the rows."""
    rows = json.loads((tree.root / "results/metrics.json").read_text())["rows"]
    return {row["protocol"] for row in rows}, {row["dataset"] for row in rows}


@pytest.mark.engine
@pytest.mark.parametrize(("engine", "protocol", "datasets"), ENGINES)
def test_one_engine_runs_a_protocol_and_the_other_has_nothing_to_add(
    engine, protocol, datasets, data, tmp_path
):
    tree = Tree(tmp_path / "tree", f"data.root={data}", *overrides(protocol, datasets, []))
    ran, worked = tree.build(engine)
    assert {"features", "tune", "finetune", "evaluate", "report"} <= ran
    assert {"tune", "finetune", "evaluate"} <= {title.split()[0] for title in worked}
    assert protocols_and_sets(tree) == ({protocol}, set(datasets))
    agree(tree, engine)


@pytest.mark.engine
@pytest.mark.parametrize(("engine", "protocol"), FROM_THE_STORE)
def test_an_engine_finds_every_cell_of_a_transfer_in_the_store_that_the_stages_filled(
    engine, protocol, data, tmp_path, tmp_path_factory
):
    datasets, targets = GRIDS[protocol]
    tree = Tree(tmp_path / "tree", f"data.root={data}", *overrides(protocol, datasets, targets))
    done = finished(protocol, data, tmp_path_factory.getbasetemp())
    shutil.copytree(done / ".cache/store", tree.root / ".cache/store")
    ran, worked = tree.build(engine)
    assert {"features", "tune", "finetune", "evaluate", "report"} <= ran
    assert worked == set()
    trained = [path.parent for path in (tree.root / "results/tune").rglob("*.safetensors")]
    assert [path.relative_to(tree.root).as_posix() for path in trained] == [
        "results/tune/imagenet/coop"
    ]
    assert protocols_and_sets(tree) == ({protocol}, {*datasets, *targets})
    ours = tree.results()
    made = Tree.at(done).results()
    assert {name for name in made | ours if ours.get(name) != made.get(name)} == set()
    agree(tree, engine)


def test_the_engines_cover_every_dataset_and_protocol():
    alone = {protocol: set(datasets) for _, protocol, datasets in ENGINES}
    whole = {
        protocol: {x for sets in GRIDS[protocol] for x in sets} for _, protocol in FROM_THE_STORE
    }
    assert alone.keys() | whole.keys() == set(GRIDS)
    assert set().union(*alone.values(), *whole.values()) == set(CATALOG)


@pytest.mark.engine
def test_the_plan_of_the_paper_is_exactly_its_grid(tmp_path):
    """Eleven datasets, eleven rows, three seeds; a job is a stage of a dataset and backbone."""
    tree = Tree(tmp_path / "tree")
    tree.run("dpc", "params", "--preset", "paper-base-to-new", "--out", "params.yaml")
    write(tree.root / "data", sets=ELEVEN, classes=12)
    planned = tree.run("snakemake", "-n", "all", "--cores", "1").stdout
    table = planned[planned.index("Job stats:") :].partition("Reasons:")[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}
    assert counts == {
        "prepare_on_disk": 11,
        "features": 11,
        "teacher": 11,
        "evaluate_zero_shot": 11,
        "tune": 44,
        "finetune": 44,
        "evaluate": 44,
        "evaluate_baseline": 22,
        "report": 1,
        "all": 1,
        "total": 200,
    }
    outputs = set(re.findall(r"results/evaluate/\S+?\.safetensors", planned))
    assert len(outputs) == 11 * (1 + 10 * 3)


@pytest.mark.engine
def test_cross_dataset_plans_one_source_for_each_backbone(tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.run("dpc", "params", "--preset", "paper-cross-dataset", "--out", "params.yaml")
    write(tree.root / "data", sets=ELEVEN, classes=12)
    planned = tree.run("snakemake", "-n", "all", "--cores", "1").stdout
    outputs = set(re.findall(r"results/tune/\S+?\.safetensors", planned))
    assert outputs == {
        f"results/tune/imagenet/{backbone}/shots16-seed{seed}.safetensors"
        for backbone in ("coop", "maple", "promptsrc")
        for seed in (1, 2, 3)
    }
    rows = set(re.findall(r"results/evaluate/\S+?\.safetensors", planned))
    assert len(rows) == 11 * (1 + 6 * 3)
