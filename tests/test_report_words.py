"""The words of the report: effects tested, the headline in both directions, what is missing."""

import random
import re

import pytest
from report_rows import make_rows

from dpc.report import metrics
from dpc.report.context import ReportContext
from dpc.report.effects import effect, effects
from dpc.report.headline import gains, headline
from dpc.report.page import build
from dpc.report.protocols import BASE
from dpc.report.rows import Results, collect
from dpc.report.scores import Contender
from dpc.report.tested import beside_cells, gain_cells, gain_headings
from dpc.report.words import SPACE, amount, reading

SETS = ("icons-tabler", "icons-remix")
COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")


def table(results: Results) -> list[dict[str, str]]:
    """The table of gains by heading."""
    lines = [gain_cells(results, gain) for gain in gains({None: results})[None]]
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
    base, new, budget = headline({None: collect(rows)})
    assert base.startswith(f"On base classes, at ω_b = 0.2: {first}")
    assert new == "New classes: unchanged to the digit by construction (ω_n = 0)."
    assert budget.startswith(f"Against longer training: {second}")
    assert "a CoOp of the same total budget (10,400 against 10,240 images seen" in budget


def test_headline_says_where_a_finding_may_not_hold_on_another_data_set():
    gains = {"icons-tabler": 3.0, "icons-remix": 1.0}
    rows = make_rows(SETS, (1, 2, 3), noise=0.0)
    tuned = {(r["dataset"], r["seed"]): r["base"] for r in rows if r["method"] == "coop"}
    for row in rows:
        if row["dpc"]:
            change = gains[row["dataset"]] + 0.1 * row["seed"] - 0.2
            row["base"] = tuned[row["dataset"], row["seed"]] + change
    found = effect(collect(rows), DPC, COOP, BASE)
    assert found.seeds.p < 0.05 < found.sets.p
    assert found.without_one == pytest.approx((1.0, 3.0))
    line = headline({None: collect(rows)})[0]
    assert f"; p{SPACE}= 0.295 over data sets".replace(" 0", f"{SPACE}0") in line
    assert reading(found) == "gain" and "DPC gains 2.00 points over CoOp" in line
    assert beside_cells(found)[3] == f"+1.00{SPACE}to{SPACE}+3.00"


def test_the_weight_chosen_on_validation_shots_is_tested_too():
    rows = make_rows(SETS, (1, 2))
    results = collect(rows)
    chosen = [each for each in effects({None: results})[None] if each.first.selection == "val"]
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
        assert len(each.pairs) == len(gaps) == 4 and each.seeds.n == 2
        assert each.seeds.mean == pytest.approx(sum(gaps) / 4)
    mean = chosen[0].seeds.mean
    assert table(results)[0]["Gain, ω_b by validation"].startswith(f"{mean:+.2f} (p")


def test_no_words_on_validation_shots_without_any():
    rows = make_rows()
    for row in rows:
        if row["dpc"]:
            row["selected"] = {"val": None, "test_oracle": row["selected"]["test_oracle"]}
    results = collect(rows)
    assert not any(each.first.selection == "val" for each in effects({None: results})[None])
    assert table(results)[0]["Gain, ω_b by validation"] == "–"


def test_a_gain_below_one_test_image_says_so():
    rows = make_rows(gain=0.1, noise=0.0)  # six sets, three seeds, 400 test images each
    draw = random.Random(0)
    for row in rows:
        if row["dpc"]:
            row["base"] += draw.gauss(0, 0.02)
    line = headline({None: collect(rows)})[0]
    assert re.search(r"DPC gains 0\.\d\d points over CoOp \(less than one", line)
    line = headline({None: collect(make_rows(gain=1.0, noise=0.1))})[0]
    assert "less than one" not in line
    found = effect(collect(rows), DPC, COOP, BASE)
    assert found.one_image == pytest.approx(0.25)
    assert len(found.pairs) == 18 and (found.of_sets, found.of_seeds) == (6, 3)


@pytest.mark.parametrize(
    ("value", "text"), [(0.004, "less than 0.01"), (-0.004, "less than 0.01"), (-0.62, "0.62")]
)
def test_amounts_are_never_printed_as_nothing(value, text):
    assert amount(value) == text


def test_headline_counts_what_is_compared_where_runs_are_missing():
    rows = [
        row
        for row in make_rows(gain=1.5)
        if not (row["budget"] and row["dataset"] in SETS) and not (row["dpc"] and row["seed"] == 3)
    ]
    results = collect(rows)
    base, _, budget, two = headline({None: results})
    assert "; 2 of 3 seeds)" in base and "4 of 6 data sets, 2 of 3 seeds)" in budget
    assert two.startswith("Two seeds leave one degree of freedom")
    (line,) = table(results)
    counted = line["Seeds + / = / −"].replace(SPACE, " ")
    assert (
        counted == "2 / 0 / 0 (2 of 3 seeds)" and line["Base, alone"] == line["Base, + DPC"] == "–"
    )
    assert line["Gain"].startswith("+")


@pytest.mark.parametrize("missing", ["zero_shot", "coop", "coop+budget", "coop+dpc"])
def test_headline_without_one_of_the_methods(missing):
    rows = [row for row in make_rows() if row["method"] != missing]
    lines = headline({None: collect(rows)})
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
            row |= {"omega_n": 0.1, "new": row["new"] - 0.48 - 0.01 * row["seed"]}
    line = headline({None: collect(rows)})[1]
    assert "a loss of 0.50 points" in line and "construction" not in line
    for row in rows:
        if row["dpc"]:
            row["new"] += 0.01 * row["seed"]
    line = headline({None: collect(rows)})[1]
    assert line == "New classes: −0.48 points with each of 3 seeds, no spread to test."


def test_two_backbones_share_a_page():
    rows = make_rows(SETS, (1, 2))
    more = [
        row | {"backbone": "own.learners:Mine", "label": "Mine"}
        for row in rows
        if row["backbone"] == "coop"
    ]
    results = collect([*rows, *more])
    assert results.backbones == ("coop", "own.learners:Mine")
    line = headline({None: results})[0]
    assert "0.70 points over CoOp (p" in line and " and 0.70 points over Mine (p" in line
    assert [line["Backbone"] for line in table(results)] == ["CoOp", "Mine"]
    assert len(metrics.summary([*rows, *more])) == 10


@pytest.mark.parametrize(
    ("gain", "word"), [(4.0, "gain"), (-4.0, "loss"), (0.0, "not significant")]
)
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
