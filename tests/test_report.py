"""The report: its numbers, its words in both directions, its files and their bytes."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_rows import make_rows

from dpc.report.page import ReportContext, build
from dpc.report.rows import collect
from dpc.report.scores import Contender
from dpc.report.tables import AVERAGE, main_table

SETS = ("icons-tabler", "icons-remix")
COOP, BUDGET, DPC = (
    Contender("coop", "plain"),
    Contender("coop", "budget"),
    Contender("coop", "dpc"),
)
CONTEXT = ReportContext(
    params={"seeds": [1, 2], "dpc": {"omega_b": 0.2, "negatives": {"k": 8}}},
    clip="icons",
    versions={"dpc": "0.1.0"},
    inputs={"results/evaluate/<b>": "00ff"},
    datasets=[
        {"name": name, "split_by": "drawing", "n_shots": 208, "n_train": 934, "n_test": 738}
        for name in SETS
    ],
    commands=["dpc run"],
    title="A title with <angles>",
)


@pytest.fixture(scope="module")
def built() -> dict[str, bytes]:
    return build(make_rows(SETS, (1, 2)), CONTEXT)


@pytest.fixture(scope="module")
def page(built) -> str:
    return built["index.html"].decode()


class Tags(HTMLParser):
    """Every start tag with its attributes, and whether elements are closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_refers_to_nothing_outside(built, page):
    tags = Tags(page)
    assert tags.open == []
    links = set()
    for tag, attributes in tags.tags:
        assert tag not in {"img", "iframe", "object"} and "src" not in attributes
        links |= {attributes[name] for name in ("href", "xlink:href") if name in attributes}
    assert {link for link in links if not link.startswith(("#", "data:"))} == {
        name for name in built if name.startswith("figures/")
    }
    (policy,) = [a["content"] for _, a in tags.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;") and "'sha256-" in policy
    assert "http:" not in page and "https:" not in page and "@import" not in page
    ids = Counter(a["id"] for _, a in tags.tags if a.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(ids)
    letters = re.findall(r' d="([^"]+)" transform="scale\(0\.015625\)"', page)
    assert letters and len(letters) == len(set(letters))  # of all figures together, each once


def test_every_figure_has_alt_text_and_files(built, page):
    pictures = [a for _, a in Tags(page).tags if a.get("role") == "img"]
    drawings = [a["aria-label"] for a in pictures if a.get("class") == "drawing"]
    files = {name.rsplit(".", 1)[0] for name in built if name.startswith("figures/")}
    assert len(drawings) == len(files) == 13  # scatters, bars, ω panels and changes by set, losses
    assert all(label and len(label) > 40 for label in drawings)
    for name in files:
        assert built[f"{name}.svg"].startswith(b"<?xml")
        assert built[f"{name}.pdf"].startswith(b"%PDF")
        fields, *numbers = csv.reader(io.StringIO(built[f"{name}.csv"].decode()))
        assert numbers and all(len(line) == len(fields) for line in numbers), name


def test_text_of_others_is_escaped(page):
    assert "A title with &lt;angles&gt;" in page and "results/evaluate/&lt;b&gt;" in page


def test_page_states_its_rules(page):
    for words in (
        "Split: by drawing",
        "Selection: the last epoch",
        "ω<sub>b</sub> = 0.2, ω<sub>n</sub> = 0",
        "ω<sub>b</sub> chosen on validation shots",
        "paired t over the seeds",
        "unchanged to the digit by construction",
        "Images seen",
        "negatives.k",
        "dpc run",
        "a CoOp of the same total budget (10,400 against 10,240 images seen",
        "Versions of this environment",
    ):
        assert words in page, words
    assert "as many images" not in page and "ω_b" not in _visible(page)


def _visible(page: str) -> str:
    """Text of the page without tags, styles and drawings."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(style|script|svg)\b.*?</\1>", " ", page))


def test_data_sets_tell_the_shots_from_the_split(page):
    table = page[page.index('aria-label="Data sets"') :]
    text = " ".join(_visible(table[table.index("<table") : table.index("</table>")]).split())
    assert text.startswith(
        "Data set Training images Training images in the split Test images Split "
        "icons-tabler 208 934 738 drawing"
    )
    without = ReportContext(datasets=[{"name": SETS[0], "n_train": 934}])
    text = _visible(build([], without)["index.html"].decode())
    assert "Training images in the split" in text and "Training images:" not in text


def test_split_rules_may_be_phrases():
    rules = ("train and test split by image, at most 20 a class", "the split file a.json")
    datasets = [{"name": n, "split_by": rule} for n, rule in zip(SETS, rules, strict=True)]
    page = build([], ReportContext(datasets=datasets))["index.html"].decode()
    assert "Split: the split file a.json: icons-remix; train and test split by image" in page
    assert "may be in training): icons-tabler." in page


@pytest.mark.slow
def test_bytes_depend_on_nothing_but_the_rows(built):
    """Another process, another order of rows, another hash seed and time zone: the same bytes."""
    program = (
        "import hashlib; from test_report import CONTEXT, SETS, build, make_rows\n"
        "files = build(reversed(make_rows(SETS, (1, 2))), CONTEXT)\n"
        "print(hashlib.sha256(repr(files).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "MPLBACKEND": "svg"}
    paths = [str(Path(__file__).parent), *sys.path]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == hashlib.sha256(repr(built).encode()).hexdigest()


def test_report_needs_no_torch():
    program = "import sys, dpc.report.page; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0


@pytest.mark.slow
def test_missing_runs_are_dashes():
    rows = make_rows(SETS, (1, 2))
    rows = [r for r in rows if (r["dataset"], r["method"]) != ("icons-remix", "coop+budget")]
    rows = [
        r for r in rows if (r["dataset"], r["method"], r["seed"]) != ("icons-tabler", "coop", 2)
    ]
    results = collect(rows, SETS)
    assert results.average(BUDGET) is None and results.cell("icons-remix", BUDGET) is None
    blocks = {
        block.name: {line.contender: line for line in block.lines}
        for block in main_table(results).blocks
    }
    assert blocks["icons-remix"][BUDGET].text("base") == "–"
    assert blocks[AVERAGE][BUDGET].text("h") == "–" and blocks[AVERAGE][BUDGET].extras == ("–", "–")
    assert blocks["icons-tabler"][COOP].text("base").endswith("± – †")
    built = build([row | {"curves": None, "history": {}} for row in rows], CONTEXT)
    assert "† fewer seeds" in built["index.html"].decode()
    assert list(json.loads(built["metrics.json"])["averages"]) == ["zero_shot", "coop", "coop+dpc"]
    assert "gain_base_budget" not in json.loads(built["summary.json"])


@pytest.mark.parametrize(
    "keep",
    [
        lambda r: False,
        lambda r: r["backbone"] == "zero_shot",
        lambda r: not r["dpc"],
        lambda r: r["method"] != "coop",
        lambda r: r["dpc"],
    ],
)
def test_reports_of_little_do_not_fail(keep):
    built = build([row for row in make_rows(SETS[:1], (1,)) if keep(row)], CONTEXT)
    assert Tags(built["index.html"].decode()).open == []


def test_rows_without_curves_history_or_selection():
    rows = [
        row | {"curves": None, "selected": None, "history": {}} for row in make_rows(SETS[:1], (1,))
    ]
    built = build(rows, ReportContext())
    page = built["index.html"].decode()
    assert "No ω<sub>b</sub> curve was recorded." in page and "How ω" not in page
    assert built["curves.csv"].count(b"\n") == 1


def test_files_hold_the_same_numbers(built):
    lines = list(csv.DictReader(io.StringIO(built["table.csv"].decode())))
    average = next(
        line
        for line in lines
        if (line["dataset"], line["method"], line["selection"]) == (AVERAGE, "coop+dpc", "last")
    )
    expected = json.loads(built["metrics.json"])["averages"]["coop+dpc"]
    assert {name: float(average[name]) for name in expected} == expected
    text = f"{expected['base']:.2f}"
    markdown, latex = built["table.md"].decode(), built["table.tex"].decode()
    assert text in markdown and text in latex and text in built["index.html"].decode()
    assert (
        r"\toprule" in latex
        and r"\bottomrule" in latex
        and "_b chosen" not in latex.replace(r"$\omega_b$", "")
    )
    curves = list(csv.DictReader(io.StringIO(built["curves.csv"].decode())))
    assert {line["split"] for line in curves} == {"test", "val"}
    assert len(curves) == 2 * (7 + 7 + 7)
    losses = list(csv.DictReader(io.StringIO(built["losses.csv"].decode())))
    assert len(losses) == 2 * (10 + 20 + 10)
    tested = list(csv.DictReader(io.StringIO(built["effects.csv"].decode())))
    average = [line for line in tested if line["dataset"] == AVERAGE]
    assert [(line["seeds"], line["sets"]) for line in average] == [("2", "2")] * 8
    assert [line["dataset"] for line in tested[8:]] == list(SETS)
    rules = [(x["first"], x["selection"], x["second"]) for x in tested if x["selection"] != "last"]
    assert rules == [("coop+dpc", "val", "coop"), ("coop+dpc", "val", "coop+budget")]
