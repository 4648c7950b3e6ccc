"""`dpc doctor` as a command: what it prints, its JSON, its exit codes."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from coop_layout import write
from doc_blocks import run_by, words_of
from doctor_trees import published

from dpc.cli import main
from dpc.datasets.catalog import CATALOG
from dpc.doctor import findings
from dpc.doctor.text import amount, duration

pytestmark = pytest.mark.slow  # whole stages and commands

PAGE = Path(__file__).parents[1] / "docs/data.md"


@pytest.fixture()
def project(monkeypatch, tmp_path):
    """A working folder; what it returns writes its params.yaml."""
    monkeypatch.chdir(tmp_path)

    def make(*overrides):
        assert main(["params", "--preset", "smoke", "--out", "params.yaml", *overrides]) == 0

    return make


def told(capsys, *arguments):
    code = main(["doctor", *arguments])
    return code, capsys.readouterr().out


def test_a_grid_that_can_run(project, capsys):
    project()
    code, text = told(capsys)
    assert code == 0
    assert text.rstrip().endswith("no problem: the grid of params.yaml can run")
    assert "icons-bootstrap  embedded" in text
    assert re.search(r"tune +4 cells", text)
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text


def test_problems_are_numbered_and_have_their_fixes(project, capsys):
    project("run.datasets=[dtd,eurosat]", "clip.device=cpu")
    code, text = told(capsys)
    assert code == 1
    assert "2 problems\n  1. dtd: DTD was not found below data/\n     fix: put it" in text
    assert "  2. eurosat: " in text
    assert "split_zhou_EuroSAT.json" in text
    assert "https://github.com/phelber/EuroSAT" in text
    assert "published numbers stand in for dtd, eurosat" in text
    assert max(len(line) for line in text.splitlines() if "https://" not in line) <= 100


def test_named_datasets_are_looked_at_alone(project, capsys, monkeypatch):
    project()
    published(monkeypatch, Path("data"), "dtd")
    code, text = told(capsys, "dtd")
    assert (code, "no problem: the datasets are fine" in text) == (0, True)
    assert "CLIP" not in text
    assert "icons-bootstrap" not in text
    assert "no image was opened" in text
    code, text = told(capsys, "dtd", "--images")
    assert code == 0
    assert "images opened, none damaged" in text
    assert told(capsys, "dtd", "ucf101")[0] == 1


def test_the_commands_of_the_page_find_nothing_wrong_where_nothing_is(project, monkeypatch):
    project("clip.device=cpu")
    published(monkeypatch, Path("data"), "dtd")
    published(monkeypatch, Path("data"), "eurosat")
    (block,) = run_by(__file__)
    assert [main(words[1:]) for words in words_of(block)] == [0] * 3


def test_all_looks_at_the_others_and_does_not_mind_them(project, capsys):
    project()
    write(Path("data"), ["dtd"], classes=4)
    code, text = told(capsys, "--all")
    assert code == 0
    assert "wrong: data/dtd/split_zhou_DescribableTextures.json says something else" in " ".join(
        text.split()
    )
    assert "imagenet_r" in text


def test_a_clip_that_cannot_be_used_stops_the_estimate(project, capsys):
    project("clip.model=ViT-B-16", "clip.pretrained=nobodys")
    code, text = told(capsys)
    assert code == 1
    assert "grid: not planned" in text
    assert "1. clip: " in text


def test_an_unknown_name_and_wrong_params(project, capsys):
    project()
    assert main(["doctor", "dtdd"]) == 1
    assert "dataset 'dtdd' is not known" in capsys.readouterr().err
    Path("params.yaml").write_text("run: 3\n")
    assert main(["doctor"]) == 2


def keys_of(kind):
    return {field.name for field in fields(kind)}


def test_the_json_has_the_keys_that_the_page_documents(project, capsys):
    project("run.datasets=[icons-remix,dtd]", "run.backbones=[promptkd]", "run.budget=[]")
    code, text = told(capsys, "--json")
    found = json.loads(text)
    assert (code, found["ok"]) == (1, False)
    top = {"dpc", "params", "ok", "datasets", "clips", "machine", "grid", "problems"}
    assert set(found) == top
    page = PAGE.read_text(encoding="utf-8")
    for kind, value in (
        (findings.DatasetReport, found["datasets"][1]),
        (findings.Counts, found["datasets"][1]["counts"]),
        (findings.Files, found["datasets"][1]["missing"]),
        (findings.ClipReport, found["clips"][0]),
        (findings.MachineReport, found["machine"]),
        (findings.GridReport, found["grid"]),
        (findings.Problem, found["problems"][0]),
    ):
        assert set(value) == keys_of(kind), kind
        for key in keys_of(kind) | top:
            assert f"`{key}`" in page, key
    assert [clip["role"] for clip in found["clips"]] == ["clip", "teacher"]
    assert found["datasets"][0]["counts"]["classes"] == 30
    assert found["problems"][0]["where"] == "dtd"


def test_json_of_named_datasets_has_the_same_keys(project, capsys):
    project()
    found = json.loads(told(capsys, "dtd", "--json")[1])
    assert (found["machine"], found["grid"], found["clips"]) == (None, None, [])


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom dpc.cli import main\n"
        "try: main(['doctor', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'open_clip', 'PIL', 'numpy'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "dpc doctor dtd eurosat --images" in done.stdout


def test_numbers_in_words():
    assert [amount(n) for n in (5, 2048, 3 * 2**20, 5 * 2**29)] == [
        *("5 bytes", "2.0 KiB", "3.0 MiB", "2.5 GiB")
    ]
    assert [duration(s) for s in (3, 150, 8000, 200_000)] == [
        *("3 s", "2 minutes", "2 hours", "2 days")
    ]


def test_the_page_names_folders_files_and_counts_of_the_catalog():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    for entry in CATALOG.values():
        (row,) = [line for line in rows if line.startswith(f"| `{entry.name}` | `{entry.folder}/`")]
        numbers = (entry.train, entry.val, entry.test)
        said = " / ".join("–" if number is None else f"{number:,}" for number in numbers)
        for part in (entry.images, entry.split, f"| {entry.classes:,} |", said, *entry.pages):
            assert part in row, entry.name
