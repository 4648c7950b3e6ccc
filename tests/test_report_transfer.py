"""The report from a source to its targets: averages of targets, and what needs no test."""

import json
from statistics import fmean

import pytest
from report_protocols import (
    ALL,
    SOURCE,
    TARGETS,
    context,
    page,
    table,
    transfer,
    undrawn_files,
    values,
)

from dpc.report.effects import effects
from dpc.report.headline import headline
from dpc.report.page import build
from dpc.report.protocols import PROTOCOLS
from dpc.report.rows import collect
from dpc.report.scores import Contender

COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")


def test_transfer_averages_leave_the_source_out():
    rows, built = transfer(), undrawn_files("cross-dataset")
    averages = json.loads(built["metrics.json"])["averages"]["coop+dpc"]
    source = fmean(values(rows, "accuracy", method="coop+dpc", dataset=SOURCE))
    targets = fmean(
        fmean(values(rows, "accuracy", method="coop+dpc", dataset=name)) for name in TARGETS
    )
    assert averages == {
        "source": pytest.approx(source, abs=1e-4),
        "targets": pytest.approx(targets, abs=1e-4),
    }
    first, _, *lines = built["table.md"].decode().splitlines()
    wanted = f"| method | {SOURCE} (source) | {' | '.join(TARGETS)} | Average of 3 targets |"
    assert first == wanted
    (line,) = [line for line in lines if line.startswith("| CoOp + DPC |")]
    assert line.split("|")[2].strip().startswith(f"{source:.2f}")
    assert line.split("|")[-2].strip().startswith(f"{targets:.2f}")
    names_of = {each["dataset"] for each in table(built, "losses.csv")}
    assert names_of == {SOURCE}  # a target's row repeats the source's training


def test_transfer_says_what_needs_no_test():
    text = page(undrawn_files("cross-dataset"))
    assert "Targets: unchanged to the digit by construction (ωn = 0)." in text
    assert "a test between them would say nothing" in text
    results = collect(transfer(), ALL, (), PROTOCOLS["cross-dataset"])
    tested = [(e.first.kind, e.second.kind, e.measure.key) for e in effects({None: results})[None]]
    assert ("dpc", "plain", "source") in tested and ("dpc", "plain", "targets") not in tested
    assert ("plain", "zero_shot", "targets") in tested


def test_transfer_tests_targets_where_the_parallel_prompt_reads_them():
    text, rows = page(undrawn_files("domain-generalization")), transfer(omega_n=0.1)
    assert "Targets: −0.20 points with each of 2 seeds" in text and "by construction" not in text
    results = collect(rows, ALL, (), PROTOCOLS["cross-dataset"])
    (found,) = [
        each
        for each in effects({None: results})[None]
        if (each.first, each.second, each.measure.key) == (DPC, COOP, "targets")
        and each.first.selection == "last"
    ]
    assert len(found.pairs) == 6 and (found.seeds.n, found.sets.n) == (2, 3)
    assert found.seeds.mean == pytest.approx(-0.2)


def test_a_difference_at_an_omega_n_of_zero_is_not_hidden():
    rows = transfer()
    for row in rows:
        if row["dpc"] and row["dataset"] == TARGETS[0]:
            row["accuracy"] -= 1
    results = collect(rows, ALL, (), PROTOCOLS["cross-dataset"])
    assert not any("construction" in line for line in headline({None: results}))
    assert any(
        (e.first, e.second, e.measure.key) == (DPC, COOP, "targets")
        for e in effects({None: results})[None]
    )


def test_transfer_curves_are_of_the_source_and_of_the_targets():
    built = undrawn_files("cross-dataset")
    figures = {name for name in built if name.endswith(".svg")}
    assert {f"figures/omega-n-change-{name}.svg" for name in TARGETS} <= figures
    assert not any(name.startswith("figures/omega-b-change") for name in figures)
    curves = {(line["dataset"], line["curve"]) for line in table(built, "curves.csv")}
    assert curves == {(SOURCE, "omega_b"), *((name, "omega_n") for name in TARGETS)}


@pytest.mark.usefixtures("undrawn")
def test_a_target_that_did_not_run_is_a_dash():
    rows = [row for row in transfer() if (row["method"], row["dataset"]) != ("coop", TARGETS[1])]
    built = build(rows, context("cross-dataset"))
    (line,) = [x for x in built["table.md"].decode().splitlines() if x.startswith("| CoOp |")]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells[2] == cells[-1] == "–" and "–" not in (cells[0], cells[1], cells[3])
    averages = json.loads(built["metrics.json"])["averages"]
    assert list(averages["coop"]) == ["source"]
