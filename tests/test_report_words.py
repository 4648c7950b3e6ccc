"""The words of the report: effects tested, the headline in both directions, what is missing."""

import random
import re

import pytest
from report_rows import make_rows

from dpc.report import metrics
from dpc.report.effects import effect, effects
from dpc.report.headline import details, headline
from dpc.report.rows import VALIDATED, Contender, collect
from dpc.report.words import SPACE, amount, sentence

SETS = ("icons-tabler", "icons-remix")
COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")


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
    at, _, clauses = line.partition(": ")
    assert at == "On base classes, at ω_b = 0.2"
    start, budget = re.split(r"; (?=DPC|there)", clauses.split(" New classes ")[0])
    assert start.startswith(first) and budget.startswith(second)
    assert "the CoOp it starts from" in start
    assert "a CoOp of the same total budget (10,400 against 10,240 images seen" in budget
    assert f". New classes are unchanged by construction (ω_n = 0). With {VALIDATED}: " in line


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


def test_the_weight_chosen_on_validation_shots_is_tested_too():
    rows = make_rows(SETS, (1, 2))
    results = collect(rows)
    chosen = [each for each in effects(results) if each.first.selection == "val"]
    assert [(each.second.kind, each.metric) for each in chosen] == [
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
    (line,) = headline(results)
    assert f" With {VALIDATED}: " in line and "points against the CoOp of the same budget (" in line
    assert sum(VALIDATED in text for text in details(results)) == 2


def test_no_words_on_validation_shots_without_any():
    rows = make_rows()
    for row in rows:
        if row["dpc"]:
            row["selected"] = {"val": None, "test_oracle": row["selected"]["test_oracle"]}
    results = collect(rows)
    assert VALIDATED not in headline(results)[0]
    assert not any(VALIDATED in line for line in details(results))
    assert sentence(effects(results)[3]).endswith("Not measured: no pair of runs.")


def test_a_gain_below_one_test_image_says_so():
    rows = make_rows(gain=0.1, noise=0.0)  # six sets, three seeds, 400 test images each
    draw = random.Random(0)
    for row in rows:
        if row["dpc"]:
            row["base"] += draw.gauss(0, 0.02)
    (line,) = headline(collect(rows))
    assert re.search(r"DPC gains 0\.\d\d points over the CoOp it starts from \(less than one", line)
    (line,) = headline(collect(make_rows(gain=1.0, noise=0.1)))
    assert "less than one" not in line
    found = effect(collect(rows), DPC, COOP, "base")
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
    (line,) = headline(results)
    start, budget = line.split(" New classes ")[0].split("images seen")
    assert "; 12 of 18 pairs)" in start and "8 of 18 pairs)" in budget
    (detail,) = (text for text in details(results) if text.startswith("CoOp + DPC against CoOp on"))
    assert detail.startswith("CoOp + DPC against CoOp on base: difference +")
    assert "of 12 seed × data-set pairs, where 18 were possible" in detail


@pytest.mark.parametrize("missing", ["zero_shot", "coop", "coop+budget", "coop+dpc"])
def test_headline_without_one_of_the_methods(missing):
    rows = [row for row in make_rows() if row["method"] != missing]
    (line,) = headline(collect(rows))
    none = {
        "coop": "there is no run of the CoOp it starts from to compare DPC with",
        "coop+budget": "there is no run of a CoOp of the same total budget to compare DPC with",
        "coop+dpc": "CoOp: DPC was not run",
    }
    assert (none.get(missing) or "New classes are unchanged by construction") in line
    if missing == "coop":
        assert "New classes were not compared." in line
        assert "points against that CoOp" not in line


def test_headline_without_a_claim_on_new_classes():
    rows = make_rows()
    for row in rows:
        if row["dpc"]:
            row |= {"omega_n": 0.1, "new": row["new"] - 0.5}
    (line,) = headline(collect(rows))
    assert "a loss of 0.50 points" in line and "construction" not in line


def test_two_backbones_share_a_page():
    rows = make_rows(SETS, (1, 2))
    more = [row | {"backbone": "maple"} for row in rows if row["backbone"] == "coop"]
    results = collect([*rows, *more])
    assert results.backbones == ("coop", "maple") and len(headline(results)) == 2
    assert len(metrics.summary([*rows, *more])) == 10
