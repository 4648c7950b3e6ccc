"""The words of the report: effects tested, the headline in both directions, what is missing."""

import random
import re

import pytest
from report_rows import make_rows

from dpc.report import metrics
from dpc.report.context import ReportContext
from dpc.report.effects import effect, effects
from dpc.report.headline import gain_cells, gain_headings, gains, headline
from dpc.report.page import build
from dpc.report.protocols import BASE
from dpc.report.rows import Results, collect
from dpc.report.scores import Contender
from dpc.report.words import SPACE, amount, reading

SETS = ("icons-tabler", "icons-remix")
COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")


def table(results: Results) -> list[dict[str, str]]:
    """The table of gains by heading."""
    lines = [gain_cells(results, gain) for gain in gains(results)]
    return [dict(zip(gain_headings(results), cells, strict=True)) for cells in lines]


@pytest.mark.parametrize(
    ("gain", "budget_gain", "noise", "first", "second"),
    [
        (1.5, 0.2, 0.1, "DPC gains 1.", "DPC gains 1."),
        (-1.5, 0.2, 0.1, "DPC loses 1.", "DPC loses 1."),
        (0.6, 3.0, 0.1, "DPC gains 0.", "DPC loses 2."),
        (0.0, 0.0, 0.0, "DPC equals, in every pair, CoOp", "DPC equals, in every pair, a CoOp"),
        (0.0, 0.0, 0.8, "there is no significant difference", "there is no significant difference"),
    ],
)
def test_headline_in_both_directions(gain, budget_gain, noise, first, second):
    rows = make_rows(gain=gain, budget_gain=budget_gain, noise=noise)
    base, new, budget = headline(collect(rows))
    assert base.startswith(f"On base classes, at ω_b = 0.2: {first}")
    assert new == "New classes: unchanged to the digit by construction (ω_n = 0)."
    assert budget.startswith(f"Against longer training: {second}")
    assert "a CoOp of the same total budget (10,400 against 10,240 images seen" in budget


def test_headline_names_the_stricter_test_where_it_disagrees():
    gains = {"icons-tabler": 3.0, "icons-remix": 1.0}
    rows = make_rows(SETS, (1, 2, 3), noise=0.0)
    tuned = {(r["dataset"], r["seed"]): r["base"] for r in rows if r["method"] == "coop"}
    for row in rows:
        if row["dpc"]:
            row["base"] = tuned[row["dataset"], row["seed"]] + gains[row["dataset"]]
    found = effect(collect(rows), DPC, COOP, BASE)
    assert found.pairs.p < 0.05 < found.sets.p
    assert found.without_one == pytest.approx((1.0, 3.0))
    line = headline(collect(rows))[0]
    assert f"but p{SPACE}=" in line and "over data sets" in line
    assert reading(found) == "gain, not over sets"
    assert table(collect(rows))[0]["One set left out"] == f"+1.00{SPACE}to{SPACE}+3.00"


def test_the_weight_chosen_on_validation_shots_is_tested_too():
    rows = make_rows(SETS, (1, 2))
    results = collect(rows)
    chosen = [each for each in effects(results) if each.first.selection == "val"]
    assert [(each.second.kind, each.measure.key) for each in chosen] == [
        ("plain", "base"),
        ("budget", "base"),
    ]
    for each in chosen:
        budget = each.second.kind == "budget"
        gaps = [
            row["selected"]["val"]["base"] - other["base"]
            for row in rows
            for other in rows
            if row["dpc"] and other["backbone"] == "coop" and not other["dpc"]
            if other["budget"] == budget
            if (row["dataset"], row["seed"]) == (other["dataset"], other["seed"])
        ]
        assert each.pairs.n == len(gaps) == 4
        assert each.pairs.mean == pytest.approx(sum(gaps) / 4)
    mean = chosen[0].pairs.mean
    assert table(results)[0]["Gain, ω_b by validation"].startswith(f"{mean:+.2f} (p")


def test_no_words_on_validation_shots_without_any():
    rows = make_rows()
    for row in rows:
        if row["dpc"]:
            row["selected"] = {"val": None, "test_oracle": row["selected"]["test_oracle"]}
    results = collect(rows)
    assert not any(each.first.selection == "val" for each in effects(results))
    assert table(results)[0]["Gain, ω_b by validation"] == "–"


def test_a_gain_below_one_test_image_says_so():
    rows = make_rows(gain=0.1, noise=0.0)  # six sets, three seeds, 400 test images each
    draw = random.Random(0)
    for row in rows:
        if row["dpc"]:
            row["base"] += draw.gauss(0, 0.02)
    line = headline(collect(rows))[0]
    assert re.search(r"DPC gains 0\.\d\d points over CoOp \(less than one", line)
    line = headline(collect(make_rows(gain=1.0, noise=0.1)))[0]
    assert "less than one" not in line
    found = effect(collect(rows), DPC, COOP, BASE)
    assert found.one_image == pytest.approx(0.25) and found.possible == found.pairs.n == 18


@pytest.mark.parametrize(
    ("value", "text"), [(0.004, "less than 0.01"), (-0.004, "less than 0.01"), (-0.62, "0.62")]
)
def test_amounts_are_never_printed_as_nothing(value, text):
    assert amount(value) == text


def test_headline_counts_the_pairs_where_runs_are_missing():
    rows = [
        row
        for row in make_rows(gain=1.5)
        if not (row["budget"] and row["dataset"] in SETS) and not (row["dpc"] and row["seed"] == 3)
    ]
    results = collect(rows)
    base, _, budget = headline(results)
    assert "; 12 of 18 pairs)" in base and "8 of 18 pairs)" in budget
    (line,) = table(results)
    assert line["Pairs"] == "12 of 18" and line["Base, alone"] == line["Base, + DPC"] == "–"
    assert line["Gain"].startswith("+")


@pytest.mark.parametrize("missing", ["zero_shot", "coop", "coop+budget", "coop+dpc"])
def test_headline_without_one_of_the_methods(missing):
    rows = [row for row in make_rows() if row["method"] != missing]
    lines = headline(collect(rows))
    if missing == "coop+dpc":
        assert lines == ["DPC was not run on CoOp: there is nothing to compare."]
        return
    if missing == "coop":
        assert lines[0].endswith("there is no run to compare DPC with of CoOp.")
        assert lines[1] == "New classes were not compared."
    else:
        assert "unchanged to the digit by construction" in lines[1]
    assert len(lines) == (2 if missing == "coop+budget" else 3)


def test_headline_without_a_claim_on_new_classes():
    rows = make_rows()
    for row in rows:
        if row["dpc"]:
            row |= {"omega_n": 0.1, "new": row["new"] - 0.5}
    line = headline(collect(rows))[1]
    assert "a loss of 0.50 points" in line and "construction" not in line


def test_two_backbones_share_a_page():
    rows = make_rows(SETS, (1, 2))
    more = [
        row | {"backbone": "own.learners:Mine", "label": "Mine"}
        for row in rows
        if row["backbone"] == "coop"
    ]
    results = collect([*rows, *more])
    assert results.backbones == ("coop", "own.learners:Mine")
    assert "difference from CoOp (+0.70 points, p" in headline(results)[0]
    assert " and Mine (+0.70 points, p" in headline(results)[0]
    assert [line["Backbone"] for line in table(results)] == ["CoOp", "Mine"]
    assert len(metrics.summary([*rows, *more])) == 10


@pytest.mark.parametrize(("gain", "word"), [(4.0, "gain"), (-4.0, "loss"), (0.0, "none found")])
def test_a_reading_is_a_word(gain, word):
    assert reading(effect(collect(make_rows(gain=gain)), DPC, COOP, BASE)) == word


@pytest.mark.usefixtures("undrawn")
def test_imported_prompts_of_other_sentences_are_named():
    rows = make_rows(SETS, (1,))
    for row in rows:
        if row["backbone"] == "coop" and not row["budget"]:
            other = 2 if row["dataset"] == SETS[0] else 0
            row["imported"] = {"tuned": {"differ": other, "all": 3}}
            row["imported"] |= {"parallel": None} if row["dpc"] else {}
    page = build(rows, ReportContext({}, "icons"))["index.html"].decode()
    assert "Tuned elsewhere and imported: P of CoOp, P&#39; of CoOp; images" in page
    said = (
        "other sentences (class names, words or CLIP): P of CoOp on icons-tabler (2 of 3 differ)."
    )
    assert said in page
    for row in rows:
        row["imported"] = dict.fromkeys(row.get("imported", ()))
    assert "other sentences" not in build(rows, ReportContext({}, "icons"))["index.html"].decode()
