"""The report of the few-shot protocol: a column, and a test, a number of shots."""

import json
from statistics import fmean

import pytest
from report_protocols import SETS, SHOTS, context, few_shot, page, table, undrawn_files, values

from dpc.errors import DpcError
from dpc.report.context import series
from dpc.report.grids import shots_table
from dpc.report.headline import by_shots_sentence, headline
from dpc.report.page import build
from dpc.report.protocols import PROTOCOLS
from dpc.report.scores import Contender
from dpc.report.tables import AVERAGE

COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")


def test_few_shot_tables_go_by_shots():
    rows, built = few_shot(SETS, gain=0.3), undrawn_files("few-shot")
    averages = json.loads(built["metrics.json"])["averages"]
    for shots in SHOTS:
        for method in ("coop", "coop+dpc"):
            expected = fmean(values(rows, "accuracy", method=method, shots=shots))
            assert averages[f"{method}@{shots}"]["accuracy"] == pytest.approx(expected, abs=1e-4)
    assert averages["zero_shot"]["accuracy"] == pytest.approx(
        fmean(values(rows, "accuracy", method="zero_shot")), abs=1e-4
    )
    summary = json.loads(built["summary.json"])
    assert summary["coop_dpc_accuracy"] == averages["coop+dpc@16"]["accuracy"]
    gain = fmean(
        averages[f"{name}+dpc@16"]["accuracy"] - averages[f"{name}@16"]["accuracy"]
        for name in ("coop", "maple")
    )
    assert summary["gain_accuracy"] == pytest.approx(gain, abs=1e-3)
    first, head = built["table.md"].decode().splitlines()[::2][:2]
    assert first.endswith("| 0 shots | 1 shot | 2 shots | 4 shots | 8 shots | 16 shots |")
    assert head.startswith(
        f"| Average | Zero-shot CLIP | {averages['zero_shot']['accuracy']:.2f} |"
    )
    lines = table(built, "table.csv")
    zero = [line for line in lines if line["method"] == "zero_shot"]
    assert [line["shots"] for line in zero] == [""] * 3
    assert r"\begin{tabular}{llrrrrrr}" in built["table.tex"].decode()
    assert {line["shots"] for line in table(built, "curves.csv")} == {str(n) for n in SHOTS}


def test_few_shot_effects_are_tested_at_each_number_of_shots():
    rows, built = few_shot(SETS, gain=0.3), undrawn_files("few-shot")
    tested = [
        line
        for line in table(built, "effects.csv")
        if (line["first"], line["selection"], line["second"]) == ("coop+dpc", "last", "coop")
        and line["dataset"] == AVERAGE
    ]
    assert [line["shots"] for line in tested] == [str(shots) for shots in SHOTS]
    for shots, line in zip(SHOTS, tested, strict=True):
        means = [
            fmean(values(rows, "accuracy", method=m, shots=shots)) for m in ("coop+dpc", "coop")
        ]
        assert float(line["mean"]) == pytest.approx(means[0] - means[1], abs=1e-6)
    text = page(built)
    assert f"CoOp {float(tested[0]['mean']):+.2f}" in text and "at ωb = 0.2, 16 shots:" in text


@pytest.mark.parametrize(
    ("change", "lead"),
    [(-2.0, "DPC loses 2.00 points"), (0.0, "DPC equals, in every pair,"), (2.0, "DPC gains 2.00")],
)
def test_few_shot_headline_in_both_directions(change, lead):
    rows = [row for row in few_shot(SETS) if row["method"] in ("coop", "coop+dpc")]
    plain = {
        (r["dataset"], r["shots"], r["seed"]): r["accuracy"] for r in rows if r["method"] == "coop"
    }
    for row in rows:
        if row["dpc"]:
            # seeds that do not agree to the digit, or there is no spread to test
            shift = change * (1 + 0.002 * (row["seed"] - 1.5))
            row["accuracy"] = plain[row["dataset"], row["shots"], row["seed"]] + shift
    by_shots = series(rows, SETS, (), PROTOCOLS["few-shot"])
    assert headline(by_shots)[0].startswith(f"On all classes, at ω_b = 0.2, 16 shots: {lead}")
    sentence = by_shots_sentence(by_shots).replace("\u00a0", " ")
    text = {-2.0: "−2.00* at 1", 0.0: "0.00 at 1", 2.0: "+2.00* at 1"}[change]
    assert f"CoOp {text}, " in sentence


@pytest.mark.usefixtures("undrawn")
def test_few_shot_shows_what_is_missing_and_all_images_last():
    rows = [row | {"shots": 0} if row["shots"] == 8 else row for row in few_shot(SETS)]
    rows = [row for row in rows if (row["method"], row["shots"]) != ("coop+dpc", 4)]
    rows = [row for row in rows if (row["method"], row["shots"], row["seed"]) != ("coop", 2, 1)]
    by_shots = series(rows, SETS, (), PROTOCOLS["few-shot"])
    assert list(by_shots) == [1, 2, 4, 16, 0]
    made = shots_table(by_shots)
    assert list(made.columns.values())[-1] == "All images"
    lines = {line.contender: line for line in made.blocks[0].lines}
    assert lines[DPC].text("4") == "–" and lines[DPC].text("0") == ""
    assert lines[COOP].text("2").endswith("± – †") and "†" not in lines[COOP].text("4")
    built = build(rows, context("few-shot"))
    assert "† fewer seeds than the others" in page(built) and "A dash: not run" in page(built)
    assert "coop+dpc@0" in json.loads(built["metrics.json"])["averages"]
    with pytest.raises(DpcError, match="of coop on icons-tabler, seed 1, lacks shots"):
        build([row | {"shots": None} for row in rows], context("few-shot"))
