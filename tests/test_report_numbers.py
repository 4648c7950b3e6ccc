"""The numbers of the report: rows put in order, cells and averages, tables and metrics."""

import json
from collections import Counter

import pytest
from report_rows import make_rows

from dpc.errors import DpcError
from dpc.evaluation.statistics import harmonic_mean
from dpc.report import metrics
from dpc.report.effects import effect
from dpc.report.headline import headline
from dpc.report.page import ReportContext, build
from dpc.report.protocols import BASE
from dpc.report.rows import collect
from dpc.report.scores import Contender
from dpc.report.tables import main_table, selection_table

SETS = ("icons-tabler", "icons-remix")
COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")


@pytest.fixture(scope="module")
def built() -> dict[str, bytes]:
    return build(
        make_rows(SETS, (1, 2)), ReportContext(clip="icons", datasets=[{"name": s} for s in SETS])
    )


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
    assert list(found) == ["rows", "averages", "cells"]
    assert len(found["rows"]) == 2 * (1 + 2 * 3 + 2 * 2)  # DPC counts three times: three rules
    fields = "dataset source backbone dpc budget transductive shots seed protocol selection"
    fields += " parametrization inference omega_b omega_n clip base new h"
    assert all(list(row) == fields.split() for row in found["rows"])
    zero = found["rows"][0]
    assert zero == {
        "dataset": "icons-tabler",
        "source": "icons-tabler",
        "backbone": "zero_shot",
        "dpc": False,
        "budget": False,
        "transductive": False,
        "shots": None,
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


def test_single_seed_has_no_deviation():
    results = collect(make_rows(SETS[:1], (1,)))
    lines = {line.contender: line for line in main_table(results).blocks[1].lines}
    assert lines[COOP].text("base").endswith(" ± –")
    assert "±" not in lines[Contender("zero_shot", "zero_shot")].text("base")
    assert effect(results, DPC, COOP, BASE).seeds.p is None
    lines = headline({None: results})
    assert lines[0].endswith(" points with one seed).") and "DPC differs from CoOp" in lines[0]
    assert lines[-1] == "One seed has no spread: nothing is tested."


def test_best_is_bold_and_the_oracle_never():
    results = collect(make_rows(SETS, (1, 2)))
    for block in main_table(results).blocks:
        for metric in ("base", "new", "h"):
            lines = [line for line in block.lines if metric in line.best]
            assert lines and all(line.contender.selection == "last" for line in lines)
            top = max(
                line.shown[metric].mean
                for line in block.lines
                if line.contender.selection == "last"
            )
            assert all(round(x.shown[metric].mean, 2) == round(top, 2) for x in lines)
        assert "test_oracle" not in {line.contender.selection for line in block.lines}


def test_oracle_gap_stands_beside_the_fixed_weight():
    results = collect(make_rows(SETS, (1, 2)))
    for line in selection_table(results):
        assert line.gap == pytest.approx(line.oracle.mean - line.fixed.mean)
        assert line.oracle.mean >= line.val.mean


@pytest.mark.usefixtures("undrawn")
def test_inference_with_the_parallel_prompt_is_a_base_weight_of_one():
    rows = [row | {"inference": "parallel"} for row in make_rows(SETS[:1], (1,)) if row["dpc"]]
    lines = {line.contender: line for line in main_table(collect(rows)).blocks[1].lines}
    assert lines[DPC].note == "ω_b 1"
    assert headline({None: collect(rows)})[0].startswith("On base classes, at ω_b = 1: ")
    (last,) = (r for r in metrics.build(rows, "icons")["rows"] if r["selection"] == "last")
    assert (last["omega_b"], last["inference"]) == (1.0, "parallel")
    (val,) = (r for r in metrics.build(rows, "icons")["rows"] if r["selection"] == "val")
    assert val["omega_b"] == rows[0]["selected"]["val"]["weight"]
    assert val["inference"] == "mixed"  # a point of the ω_b curve is always one of the mix
    page = build(rows, ReportContext())["index.html"].decode()
    assert "DPC: ω<sub>b</sub> = 1, ω<sub>n</sub> = 0, fixed before the run" in page


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
