"""A killed training goes on to the bytes of an undisturbed one, whenever the kill came."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dpc.artifacts import read
from dpc.files import staged
from dpc.params.load import description_for, preset
from dpc.params.render import render

EPOCHS = 5
DATASET = "icons-bootstrap"
BACKBONES = ["coop", "promptsrc"]
AVERAGING = ["promptsrc"]  # those that stage one averages over its epochs
# moment -> epochs that need not be trained again
MOMENTS = {
    "epoch": 2,  # in the middle of one
    "write": 2,  # half of a checkpoint is written
    "rename": 2,  # all of it, under its temporary name
    "average": EPOCHS - 2,
    "last": EPOCHS - 1,  # in the last epoch
    "store": EPOCHS,  # all is written to the store, under a temporary name
    "publish": EPOCHS,  # and under its name; the tree of results has a temporary file
}
CELLS = [
    (stage, backbone, moment)
    for backbone in BACKBONES
    for stage in ("tune", "finetune")
    for moment in MOMENTS
    if moment != "average" or backbone in AVERAGING
]


class Driver:
    """The process that forks commands (killed_run.py), and the trees they run in."""

    def __init__(self, root: Path):
        self.root = root
        environment = {key: value for key, value in os.environ.items() if key != "DPC_STORE"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killed_run.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, tree: Path, *command: str, moment: str | None = None) -> dict:
        request = {"tree": str(tree), "command": command, "moment": moment, "epochs": EPOCHS}
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["status"] == (0 if moment is None else -9), answer["error"]
        return answer

    def copy(self, tree: Path, name: str) -> Path:
        """A copy that shares the files: none is ever written in place."""
        return Path(shutil.copytree(tree, self.root / name, copy_function=os.link))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    driver = Driver(tmp_path_factory.mktemp("killed"))
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def before(driver) -> dict[str, Path]:
    """Trees in which all is done that a stage needs, by the stage's name; "" has everything."""
    overrides = [
        "run.seeds=[1]",
        f"run.backbones=[{','.join(BACKBONES)}]",
        "run.budget=[]",
        "dpc.average=true",
        f"dpc.epochs={EPOCHS}",
        *(f"backbones.{name}.epochs={EPOCHS}" for name in BACKBONES),
    ]
    values = preset("smoke", overrides)
    tree = driver.root / "start"
    tree.mkdir()
    (tree / "params.yaml").write_text(render(values, description_for(values)))
    driver.run(tree, "prepare")
    driver.run(tree, "features")
    tuned = driver.copy(tree, "tuned")
    driver.run(tuned, "tune")
    finished = driver.copy(tuned, "finished")
    driver.run(finished, "finetune")
    return {"tune": tree, "finetune": tuned, "": finished}


def output(tree: Path, stage: str, backbone: str) -> Path:
    return tree / "results" / stage / DATASET / backbone / "shots4-seed1.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "backbone", "moment"), CELLS)
def test_a_killed_training_goes_on_to_the_same_bytes(driver, before, stage, backbone, moment):
    tree = driver.copy(before[stage], f"{stage}-{backbone}-{moment}")
    driver.run(tree, stage, "--backbone", backbone, moment=moment)
    assert not output(tree, stage, backbone).exists()
    again = driver.run(tree, stage, "--backbone", backbone)
    whole = output(before[""], stage, backbone)
    assert output(tree, stage, backbone).read_bytes() == whole.read_bytes()
    assert again["steps"] == read(whole).results["steps"] * (EPOCHS - MOMENTS[moment]) / EPOCHS
    assert not list((tree / "results").rglob("*.tmp"))
    assert not list((tree / ".cache/checkpoints").iterdir())


def test_the_file_of_a_living_writer_stays(tmp_path):
    path = tmp_path / "result.bin"
    (tmp_path / ".result.bin.killed.tmp").write_bytes(b"half")
    with staged(path) as first:
        first.write_bytes(b"first")
        with staged(path) as second:
            second.write_bytes(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
