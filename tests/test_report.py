"""The report: its numbers, its words in both directions, its files and their bytes."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_rows import make_rows

from dpc.errors import DpcError
from dpc.evaluation.statistics import harmonic_mean
from dpc.report import metrics
from dpc.report.effects import effect
from dpc.report.page import ReportContext, build
from dpc.report.rows import Method, collect
from dpc.report.tables import AVERAGE, main_table, selection_table
from dpc.report.words import SPACE, headline, sentence

SETS = ("icons-tabler", "icons-remix")
COOP, BUDGET, DPC = Method("coop", "plain"), Method("coop", "budget"), Method("coop", "dpc")
CONTEXT = ReportContext(
    params={"seeds": [1, 2], "dpc": {"omega_b": 0.2, "negatives": {"k": 8}}},
    clip="icons",
    versions={"dpc": "0.1.0"},
    inputs={"results/evaluate/<b>": "00ff"},
    datasets=[{"name": name, "split_by": "drawing", "n_test": 400} for name in SETS],
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


def test_page_is_well_formed_and_refers_to_nothing_outside(page):
    tags = Tags(page)
    assert tags.open == []
    for tag, attributes in tags.tags:
        assert tag not in {"script", "link", "img", "iframe", "object"}
        for name, value in attributes.items():
            if name in {"src", "href", "xlink:href"}:
                assert value and value.startswith("#")
    assert "http:" not in page and "https:" not in page and "@import" not in page
    ids = Counter(a["id"] for _, a in tags.tags if a.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    targets = {a[n] for _, a in tags.tags for n in ("href", "xlink:href") if a.get(n)}
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_every_figure_has_alt_text_and_files(built, page):
    pictures = [a for _, a in Tags(page).tags if a.get("role") == "img"]
    drawings = [a["aria-label"] for a in pictures if a.get("class") == "drawing"]
    files = {name.rsplit(".", 1)[0] for name in built if name.startswith("figures/")}
    assert len(drawings) == len(files) == 8  # two scatters, two sets with three panels each
    assert all(label and len(label) > 40 for label in drawings)
    for name in files:
        assert built[f"{name}.svg"].startswith(b"<?xml") and built[f"{name}.pdf"].startswith(
            b"%PDF"
        )


def test_text_of_others_is_escaped(page):
    assert "A title with &lt;angles&gt;" in page and "results/evaluate/&lt;b&gt;" in page


def test_page_states_its_rules(page):
    for words in (
        "Split: by drawing",
        "Selection: the last epoch",
        "ω<sub>b</sub> = 0.2, ω<sub>n</sub> = 0",
        "ω<sub>b</sub> chosen on validation shots",
        "share its test images",
        "unchanged by construction",
        "Images seen",
        "negatives.k",
        "dpc run",
    ):
        assert words in page, words


def test_split_rules_may_be_phrases():
    rules = ("train and test split by image, at most 20 a class", "the split file a.json")
    datasets = [{"name": n, "split_by": rule} for n, rule in zip(SETS, rules, strict=True)]
    page = build([], ReportContext(datasets=datasets))["index.html"].decode()
    assert "Split: the split file a.json: icons-remix; train and test split by image" in page
    assert "may be in training): icons-tabler." in page


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


def test_h_is_the_h_of_the_means():
    names = ("icons-phosphor", "icons-bootstrap")
    rows = make_rows(names, (1, 2, 3))
    results = collect(rows, names)
    cells = {name: results.cell(name, COOP) for name in names}
    for name, cell in cells.items():
        runs = [row for row in rows if row["dataset"] == name and row["method"] == "coop"]
        base, new = (sum(row[metric] for row in runs) / 3 for metric in ("base", "new"))
        assert cell.h.mean == pytest.approx(2 * base * new / (base + new))
    average = results.average(COOP)
    base = sum(cell.base.mean for cell in cells.values()) / 2
    new = sum(cell.new.mean for cell in cells.values()) / 2
    assert average.h.mean == pytest.approx(2 * base * new / (base + new))
    assert average.h_mean == pytest.approx(sum(cell.h.mean for cell in cells.values()) / 2)
    assert average.h_mean != pytest.approx(average.h.mean, abs=1e-3)


def test_metrics_have_their_exact_form(built):
    rows = make_rows(SETS, (1, 2))
    found = json.loads(built["metrics.json"])
    assert found == metrics.build(rows, "icons", SETS)
    assert list(found) == ["rows", "averages"]
    assert len(found["rows"]) == 2 * (1 + 2 * 3 + 2 * 2)  # DPC counts three times: three rules
    fields = "dataset backbone dpc budget seed protocol selection parametrization inference"
    fields += " omega_b omega_n clip base new h"
    assert all(list(row) == fields.split() for row in found["rows"])
    zero = found["rows"][0]
    assert zero == {
        "dataset": "icons-tabler",
        "backbone": "zero_shot",
        "dpc": False,
        "budget": False,
        "seed": None,
        "protocol": "base-to-new",
        "selection": "last",
        "parametrization": None,
        "inference": None,
        "omega_b": None,
        "omega_n": None,
        "clip": "icons",
        "base": 64.4,
        "new": 74.7,
        "h": round(harmonic_mean(64.4, 74.7), 4),
    }
    rules = Counter((row["dpc"], row["selection"]) for row in found["rows"])
    assert rules == {
        (False, "last"): 10,
        (True, "last"): 4,
        (True, "val"): 4,
        (True, "test_oracle"): 4,
    }
    assert list(found["averages"]) == ["zero_shot", "coop", "coop+budget", "coop+dpc"]
    assert all(list(a) == ["base", "new", "h", "h_mean"] for a in found["averages"].values())


def test_summary_is_flat_and_short(built):
    found = json.loads(built["summary.json"])
    averages = json.loads(built["metrics.json"])["averages"]
    assert len(found) == 10 and all(isinstance(number, float) for number in found.values())
    gain = averages["coop+dpc"]["base"] - averages["coop"]["base"]
    assert found["gain_base"] == pytest.approx(gain, abs=1e-4)
    gain = averages["coop+dpc"]["base"] - averages["coop+budget"]["base"]
    assert found["gain_base_budget"] == pytest.approx(gain, abs=1e-4)
    assert found["coop_dpc_h"] == averages["coop+dpc"]["h"]


@pytest.mark.parametrize(
    ("gain", "budget_gain", "noise", "first", "second"),
    [
        (1.5, 0.2, 0.1, "DPC gains 1.", "DPC gains 1."),
        (-1.5, 0.2, 0.1, "DPC loses 1.", "DPC loses 1."),
        (0.6, 3.0, 0.1, "DPC gains 0.", "DPC loses 2."),
        (0.0, 0.0, 0.0, "DPC equals the CoOp it starts from", "DPC equals a CoOp"),
        (0.0, 0.0, 0.8, "there is no significant difference", "there is no significant difference"),
    ],
)
def test_headline_in_both_directions(gain, budget_gain, noise, first, second):
    rows = make_rows(gain=gain, budget_gain=budget_gain, noise=noise)
    (line,) = headline(collect(rows))
    start, budget = line.removeprefix("On base classes ").split("; ")
    assert start.startswith(first) and budget.startswith(second)
    assert "the CoOp it starts from" in start and "as many images as both its stages" in budget
    assert line.endswith("New classes are unchanged by construction (ω_n = 0).")


def test_headline_names_the_stricter_test_where_it_disagrees():
    gains = {"icons-tabler": 3.0, "icons-remix": 1.0}
    rows = make_rows(SETS, (1, 2, 3), noise=0.0)
    tuned = {(r["dataset"], r["seed"]): r["base"] for r in rows if r["method"] == "coop"}
    for row in rows:
        if row["dpc"]:
            row["base"] = tuned[row["dataset"], row["seed"]] + gains[row["dataset"]]
    found = effect(collect(rows), DPC, COOP, "base")
    assert found.pairs.p < 0.05 < found.sets.p
    assert found.without_one == pytest.approx((1.0, 3.0))
    (line,) = headline(collect(rows))
    assert f"but p{SPACE}=" in line and "over data sets" in line
    assert "does not agree" in sentence(found)


def test_headline_without_a_claim_on_new_classes():
    rows = make_rows()
    for row in rows:
        if row["dpc"]:
            row |= {"omega_n": 0.1, "new": row["new"] - 0.5}
    (line,) = headline(collect(rows))
    assert "a loss of 0.50 points" in line and "construction" not in line


def test_missing_runs_are_dashes():
    rows = make_rows(SETS, (1, 2))
    rows = [r for r in rows if (r["dataset"], r["method"]) != ("icons-remix", "coop+budget")]
    rows = [
        r for r in rows if (r["dataset"], r["method"], r["seed"]) != ("icons-tabler", "coop", 2)
    ]
    results = collect(rows, SETS)
    assert results.average(BUDGET) is None and results.cell("icons-remix", BUDGET) is None
    blocks = {
        block.name: {line.method: line for line in block.lines} for block in main_table(results)
    }
    assert blocks["icons-remix"][BUDGET].text("base") == "–"
    assert blocks[AVERAGE][BUDGET].text("h") == "–" and blocks[AVERAGE][BUDGET].images == "–"
    assert blocks["icons-tabler"][COOP].text("base").endswith("± – †")
    built = build([row | {"curves": None, "history": {}} for row in rows], CONTEXT)
    assert "† fewer seeds" in built["index.html"].decode()
    assert list(json.loads(built["metrics.json"])["averages"]) == ["zero_shot", "coop", "coop+dpc"]
    assert "gain_base_budget" not in json.loads(built["summary.json"])


@pytest.mark.parametrize(
    "keep", [lambda r: False, lambda r: r["backbone"] == "zero_shot", lambda r: not r["dpc"]]
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
    assert "No ω_b curve was recorded." in page and "How ω" not in page
    assert built["curves.csv"].count(b"\n") == 1


def test_single_seed_has_no_deviation():
    results = collect(make_rows(SETS[:1], (1,)))
    lines = {line.method: line for line in main_table(results)[1].lines}
    assert lines[COOP].text("base").endswith(" ± –")
    assert "±" not in lines[Method("zero_shot", "zero_shot")].text("base")
    assert effect(results, DPC, COOP, "base").pairs.p is None
    assert "one pair, no test" in headline(results)[0]


def test_best_is_bold_and_the_oracle_never():
    results = collect(make_rows(SETS, (1, 2)))
    for block in main_table(results):
        for metric in ("base", "new", "h"):
            lines = [line for line in block.lines if metric in line.best]
            assert lines and all(line.method.selection == "last" for line in lines)
            top = max(
                getattr(line.cell, metric).mean
                for line in block.lines
                if line.method.selection == "last"
            )
            assert all(round(getattr(x.cell, metric).mean, 2) == round(top, 2) for x in lines)
        assert "test_oracle" not in {line.method.selection for line in block.lines}


def test_oracle_gap_stands_beside_the_fixed_weight():
    results = collect(make_rows(SETS, (1, 2)))
    for line in selection_table(results):
        assert line.gap == pytest.approx(line.oracle.mean - line.fixed.mean)
        assert line.oracle.mean >= line.val.mean


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
    assert [line["pairs"] for line in tested] == ["4"] * 6


def test_inference_with_the_parallel_prompt_is_a_base_weight_of_one():
    rows = [row | {"inference": "parallel"} for row in make_rows(SETS, (1,)) if row["dpc"]]
    lines = {line.method: line for line in main_table(collect(rows))[1].lines}
    assert lines[DPC].note == "ω_b 1"


def test_two_backbones_share_a_page():
    rows = make_rows(SETS, (1, 2))
    more = [row | {"backbone": "maple"} for row in rows if row["backbone"] == "coop"]
    results = collect([*rows, *more])
    assert results.backbones == ("coop", "maple") and len(headline(results)) == 2
    assert len(metrics.summary([*rows, *more])) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": float("nan")}, "accuracies are percent"),
        ({"new": 120.0}, "accuracies are percent"),
        ({"seed": 1}, "comes twice"),
    ],
)
def test_rows_that_cannot_be_read(change, message):
    rows = make_rows(SETS[:1], (1, 2))
    rows[-1] |= change
    with pytest.raises(DpcError, match=message):
        collect(rows)


def test_a_row_without_a_field_names_it():
    row = make_rows(SETS[:1], (1,))[0]
    del row["new"]
    with pytest.raises(DpcError, match="lacks new"):
        collect([row])
