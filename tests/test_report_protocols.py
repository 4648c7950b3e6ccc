"""The report of each protocol beside base-to-new: its numbers, its words, what is missing."""

import json
from statistics import fmean

import pytest
from report_protocols import (
    OFFSETS,
    ROWS,
    SETS,
    SHOTS,
    SOURCE,
    TARGETS,
    columns,
    context,
    files,
    generalized,
    page,
    table,
    values,
)
from report_rows import make_rows
from test_report import Tags

from dpc.errors import DpcError
from dpc.evaluation.statistics import harmonic_mean
from dpc.params import protocols as names
from dpc.report import page as page_module
from dpc.report.context import ReportContext
from dpc.report.headline import headline
from dpc.report.page import build
from dpc.report.parts import PARTS
from dpc.report.protocols import PROTOCOLS
from dpc.report.rows import collect
from dpc.report.scores import Contender
from dpc.report.sections import Section

pytestmark = pytest.mark.slow

COOP, DPC = Contender("coop", "plain"), Contender("coop", "dpc")
DECLARED = {
    *(f"table.{kind}" for kind in ("csv", "md", "tex")),
    *(f"{name}.csv" for name in ("ablations", "curves", "effects", "losses", "paper")),
    *("index.html", "metrics.json", "summary.json"),
}
BY = tuple(ROWS)


def test_every_protocol_of_the_params_has_a_report():
    assert set(PROTOCOLS) == set(PARTS) == set(names.PROTOCOLS)


@pytest.mark.parametrize("name", BY)
def test_pages_are_well_formed_and_have_the_declared_files(name):
    built = files(name)
    assert set(built) >= DECLARED
    html = built["index.html"].decode()
    tags = Tags(html)
    assert tags.open == [] and "http:" not in html and "https:" not in html
    ids = [a["id"] for _, a in tags.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    links = {a[n] for _, a in tags.tags for n in ("href", "xlink:href") if a.get(n)}
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert {link for link in links if link.startswith("figures/")} <= set(built)
    pictures = [a["aria-label"] for _, a in tags.tags if a.get("class") == "drawing"]
    figures = {key.rsplit(".", 1)[0] for key in built if key.startswith("figures/")}
    assert len(pictures) == len(figures) > 5 and all(len(text) > 40 for text in pictures)
    assert "ω_" not in page(built) and "P̃_" not in page(built)


@pytest.mark.parametrize("name", BY)
@pytest.mark.parametrize(
    "keep",
    [
        lambda row: False,
        lambda row: row["backbone"] == "zero_shot",
        lambda row: not row["dpc"],
        lambda row: row["dpc"] and row["dataset"] in (SETS[0], TARGETS[0]),
    ],
)
def test_reports_of_little_do_not_fail(name, keep):
    built = build([row for row in ROWS[name]() if keep(row)], context(name))
    assert Tags(built["index.html"].decode()).open == [] and set(built) >= DECLARED


@pytest.mark.parametrize("name", BY)
def test_metrics_name_protocol_shots_and_source(name):
    found = json.loads(files(name)["metrics.json"])["rows"]
    metrics = PROTOCOLS[name].metrics
    assert all(list(row)[-len(metrics) :] == list(metrics) for row in found)
    assert {row["protocol"] for row in found} == {name}
    shots = set(SHOTS) if name == "few-shot" else {16}
    assert {row["shots"] for row in found} == shots | {None}
    assert all((row["shots"] is None) == (row["seed"] is None) for row in found)
    expected = {SOURCE} if PROTOCOLS[name].transfers else set(SETS)
    assert {row["source"] for row in found} == expected
    runs = [tuple(row.values())[:10] for row in found]
    assert len(runs) == len(set(runs))
    summary = json.loads(files(name)["summary.json"])
    assert 0 < len(summary) <= 10 and all(isinstance(x, float) for x in summary.values())


def test_rows_of_another_protocol_are_refused():
    with pytest.raises(DpcError, match="is of protocol generalized, the report of few-shot"):
        build(generalized(SETS[:1], (1,)), context("few-shot"))
    with pytest.raises(DpcError, match="'zero-shot' has no report"):
        build([], ReportContext({"protocol": "zero-shot"}))


def test_generalized_numbers_are_those_of_the_joint_label_space():
    rows, built = generalized(SETS), files("generalized")
    averages = json.loads(built["metrics.json"])["averages"]["coop+dpc"]
    assert list(averages) == ["base", "new", "h", "h_mean", "overall"]
    for metric in ("base", "new", "overall"):
        assert averages[metric] == pytest.approx(
            fmean(values(rows, metric, method="coop+dpc")), abs=1e-4
        )
    h = harmonic_mean(averages["base"], averages["new"])
    assert averages["h"] == pytest.approx(h, abs=1e-3)
    gaps = [
        harmonic_mean(one["base"], one["new"]) - harmonic_mean(two["base"], two["new"])
        for one in rows
        for two in rows
        if (one["method"], two["method"]) == ("coop+dpc", "coop")
        and (one["dataset"], one["seed"]) == (two["dataset"], two["seed"])
    ]
    effect = next(
        line
        for line in table(built, "effects.csv")
        if (line["first"], line["second"], line["metric"]) == ("coop+dpc", "coop", "h")
    )
    assert float(effect["mean"]) == pytest.approx(fmean(gaps), abs=1e-6)
    assert (effect["seeds"], effect["sets"], effect["dataset"]) == ("2", "2", "Average")
    text = page(built)
    assert "the mix P̃b, at ωb, gives the logits of base names" in text
    assert "no label says which half it is from" in text and "is not stated here" in text


def test_generalized_offsets_are_means_over_data_sets_and_seeds():
    rows, built = generalized(SETS), files("generalized")
    lines = [
        line
        for line in table(built, "offsets.csv")
        if (line["dataset"], line["method"]) == ("Average", "coop+dpc")
    ]
    assert [float(line["offset"]) for line in lines] == list(OFFSETS)
    walks = [row["offsets"] for row in rows if row["method"] == "coop+dpc"]
    for number, line in enumerate(lines):
        for metric in ("base", "new", "overall"):
            expected = fmean(walk[number][metric] for walk in walks)
            assert float(line[metric]) == pytest.approx(expected, abs=1e-4)
        assert line["seeds"] == "2"
    best = max(lines, key=lambda line: harmonic_mean(float(line["base"]), float(line["new"])))
    h = harmonic_mean(float(best["base"]), float(best["new"]))
    found = f"{h:.2f} {best['offset']} {float(best['base']):.2f}".split()
    assert "".join(found) in page(built).replace(" ", "")
    assert "a bound, not a method" in page(built) and "figures/offsets.svg" in built


def test_generalized_never_says_by_construction():
    rows = generalized(SETS)
    plain = {(r["dataset"], r["seed"], r["backbone"]): r for r in rows if r["method"] == "coop"}
    for row in rows:
        if row["method"] == "coop+dpc":
            row |= {m: plain[row["dataset"], row["seed"], "coop"][m] for m in ("base", "new")}
            row["overall"] = plain[row["dataset"], row["seed"], "coop"]["overall"]
    rows = [row for row in rows if row["backbone"] in ("coop", "zero_shot")]
    lines = headline({None: collect(rows, SETS, (), PROTOCOLS["generalized"])})
    assert "DPC equals, in every pair, CoOp" in lines[0]
    assert lines[2] == "New classes: unchanged to the digit in every pair."
    assert not any("construction" in line for line in lines)


def test_generalized_shows_what_a_chosen_weight_costs_on_new_classes():
    rows, built = generalized(SETS), files("generalized")
    line = next(
        line
        for line in table(built, "table.csv")
        if (line["dataset"], line["method"], line["selection"]) == ("Average", "coop+dpc", "val")
    )
    chosen = [row["selected"]["val"] for row in rows if row["method"] == "coop+dpc"]
    means = {metric: fmean(each[metric] for each in chosen) for metric in ("base", "new")}
    for metric, mean in means.items():
        assert float(line[metric]) == pytest.approx(mean, abs=1e-4)
    assert float(line["h"]) == pytest.approx(harmonic_mean(*means.values()), abs=1e-3)
    assert means["new"] != pytest.approx(fmean(values(rows, "new", method="coop+dpc")), abs=1e-4)
    text = page(built)
    assert "CoOp + DPC (ωb chosen on validation shots)" in text
    assert "How ωb is chosen: base accuracy" in text
    assert "best on the test images of base classes" in text
    assert "so ωb is chosen by this accuracy" in text and "nor is" not in text


def test_generalized_leaves_out_a_choice_that_states_too_little():
    rows = generalized(SETS)
    for row in rows:
        for choice in (row["selected"] or {}).values():
            del choice["overall"]
    results = collect(rows, SETS, (), PROTOCOLS["generalized"])
    assert {contender.selection for contender in results.contenders} == {"last"}


@pytest.mark.usefixtures("undrawn")
def test_a_rung_has_a_cell_for_every_metric():
    rows = generalized(SETS)
    rungs = [
        row | {"method": "coop+ts", "rung": "ts", "curves": None, "selected": None}
        for row in rows
        if row["method"] == "coop+dpc"
    ]
    built = build([*rows, *rungs], context("generalized"))
    widths = columns(built)
    assert all(len(found) == 1 for found in widths.values()), widths
    assert widths["Ablation"] == {4 + len(PROTOCOLS["generalized"].metrics)}
    assert "RungωbωnBaseNewHOverallImages a step" in page(built)


@pytest.mark.parametrize("name", BY)
def test_every_row_of_every_table_is_as_wide_as_its_head(name):
    widths = columns(files(name))
    assert len(widths) > 4
    assert all(len(found) == 1 for found in widths.values()), widths


def test_a_figure_more_is_a_function_and_a_line(monkeypatch):
    def extra(report):
        return Section("extra", "One more", "More", words=(f"{len(report.results.seeds)} seeds",))

    monkeypatch.setattr(page_module, "PARTS", {**PARTS, "base-to-new": (extra,)})
    built = build(make_rows(SETS[:1], (1, 2)), ReportContext())
    assert "One more 2 seeds" in page(built)
