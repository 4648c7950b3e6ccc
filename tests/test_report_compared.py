"""What stands in one sentence or file is compared on the same sets, seeds and shots."""

import re
from dataclasses import replace

import pytest
from report_protocols import ROWS, SOURCE
from report_rows import make_nine, make_rows
from report_sections import CONTEXT, SEEDS, SETS, bins, every_section, rows, table

from dpc.errors import DpcError
from dpc.evaluation.statistics import paired_t
from dpc.report import bars, calibration, sweeps
from dpc.report.against import against
from dpc.report.context import ReportContext, report
from dpc.report.effects import Effect
from dpc.report.headline import few_seeds
from dpc.report.page import build
from dpc.report.protocols import BASE
from dpc.report.scores import Contender
from dpc.report.svg import colors, line_marker, tone
from dpc.report.swept import sweep
from dpc.report.tested import effects_section


def test_calibration_compares_the_same_sets_and_seeds_alone(undrawn):
    every = rows()
    for row in every:  # the data set matters, the seed too, the method does not
        over = 20 * (row["dataset"] == SETS[1]) + 5 * (row["seed"] == 2)
        row["reliability"] = {"base": bins(60, 62, 62 - over)}

    def told(left_out):
        made = report([row for row in every if not left_out(row)], CONTEXT)
        cells = {m.key: texts for m, texts in calibration.section(made).values["lines"]}
        return calibration.sentence(made.results, "base"), cells["coop+dpc"]

    sentence, cells = told(lambda row: row["dpc"] and row["dataset"] == SETS[1])
    assert sentence.endswith("; CoOp too sure by 12.50.") and cells == ["–", "–"]
    sentence, cells = told(lambda row: row["dpc"] and row["seed"] == 2)
    assert "CoOp too sure by 10.00, with DPC the same" in sentence
    assert "(1 of 2 seeds, those that all methods have)" in sentence


@pytest.mark.parametrize("protocol", ["few-shot", "cross-dataset"])
def test_calibration_of_other_protocols(protocol, undrawn):
    """Over the targets alone where there are any; of every number of shots in the file."""
    every = [
        row | {"reliability": {"test": bins(60, 62, 62 - 8 * (row["dataset"] != SOURCE))}}
        for row in ROWS[protocol]()
    ]
    context = replace(CONTEXT, params={"protocol": protocol, "run": {"backbones": ["coop"]}})
    made = report(every, replace(context, datasets=()))
    assert "too sure by 8.00; CoOp too sure by 8.00" in calibration.sentence(made.results, "test")
    lines = table(calibration.section(made), "calibration.csv")
    assert len(lines) == len(every)
    assert {line["dataset"] for line in lines} == set(made.results.datasets)
    assert len({line.get("shots") for line in lines} - {""}) == len(made.series)


def test_few_seeds_are_said_of_the_backbones_that_have_them():
    def lead(name, seeds):
        test = paired_t([0.5 + seed for seed in range(seeds)])
        first = Contender(name, "dpc", name=name)
        return Effect(first, Contender(name, "plain"), BASE, "", 1, 3, {}, test)

    three = [lead("A", 3), lead("B", 3)]
    assert few_seeds(three) == []
    assert few_seeds([lead("A", 1)]) == ["One seed has no spread: nothing is tested."]
    one, two = few_seeds([*three, lead("C", 1), lead("D", 2)])
    assert one == "On C, one seed has no spread: nothing is tested."
    assert two.startswith("On D, two seeds leave")


def test_a_sweep_without_any_effect_is_compared_with_the_grid_unless_it_is_the_grid():
    (each,) = make_rows(SETS[:1], SEEDS[:1])[-1:]
    points = {name: {"dpc.depth": depth} for name, depth in (("one", 1), ("two", 2))}
    here = {"dataset": each["dataset"], "backbone": "coop", "label": "CoOp", "transductive": False}
    drawn = [each | {"point": name} for name in points]
    cell = here | {"lacking": "", "rows": drawn}
    grid = report([each | {"base": each["base"] - 2}], ReportContext()).results
    for own, end in ((None, "+2.00 points against the grid"), ("two", "at every point.")):
        given = {"name": "depth", "title": "Depth", "points": points, "cells": [cell]}
        found = sweep(given | {"own": {"coop": own}}, grid, ())
        (told,) = sweeps._sentences(found, grid)
        assert f"is {each['base']:.2f} at every point" in told and end in told


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_figures_of_two_names_are_two_and_one_name_is_refused():
    names = {"icons-tabler": "my_set", "icons-remix": "my-set", "icons-phosphor": "average"}
    every = [row | {"dataset": names[row["dataset"]]} for row in make_rows(tuple(names), SEEDS)]
    built = build(every, ReportContext())
    for name in ("bars", "bars-my_set", "bars-my-set", "bars-average"):
        assert f"figures/{name}.csv" in built
    clash = [
        row | {"dataset": "a" if row["dataset"] == "my_set" else "b", "backbone": backbone}
        for row in every
        if row["dataset"] in ("my_set", "my-set") and row["seed"]
        for backbone in ("coop", "change-a")
    ]
    with pytest.raises(DpcError, match="two figures of the report would be called omega-b-change"):
        build(clash, ReportContext())


def test_a_label_with_dollars_is_a_label():
    """Drawn by the real thing, which would read formulas."""
    every = [row | {"label": r"A $\foo$ B"} for row in make_rows(SETS[:1], SEEDS)]
    assert bars.bars(report(every, ReportContext()).results)


def test_lines_of_a_colour_have_other_marks():
    names = [f"learner{number}" for number in range(36)]
    marks = {(tone(names, name), line_marker(names, name)) for name in names}
    assert len(marks) == len(names)
    assert "comes again" in colors(names) and "again" not in colors(names[:6])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_every_part_stands_in_a_section_and_every_link_leads_somewhere():
    every, context = every_section(make_nine(SETS, SEEDS))
    built = build(every, context)["index.html"].decode()
    for name in ("prompts", "classes", "negatives", "sweeps", "channels", "calibration"):
        assert f'<section id="{name}"' in built
    # without anything that differs there is no section of classes for the other one to point to
    same = {key: dict(arrays) for key, arrays in CONTEXT.predictions.items()}
    for arrays in same.values():
        for part in ("base", "new"):
            arrays[f"{part}.predictions"] = arrays[f"{part}.labels"]
    bare = build(rows(), replace(CONTEXT, predictions=same))["index.html"].decode()
    assert 'id="classes"' not in bare and 'id="negatives"' in bare
    for text in (built, bare):
        ids = set(re.findall(r' id="([^"]+)"', text))
        assert set(re.findall(r'<a[^>]* href="#([^"]+)"', text)) <= ids
        main = text[text.index("<main") : text.index("</main>")]
        outside = re.sub(r"(?s)<section .*?</section>", "", main)
        assert "<p" not in outside and "<table" not in outside


@pytest.mark.usefixtures("undrawn")
def test_tests_against_baselines_are_in_the_file_of_effects():
    every = make_rows(SETS, SEEDS)
    probe = {"method": "linear_probe", "backbone": "linear_probe", "label": "Probe"}
    probe |= {"baseline": {"lr": 0.1}, "images_seen": 900}
    for row in [row for row in every if row["backbone"] == "zero_shot"]:
        every += [row | probe | {"seed": seed, "source": row["dataset"]} for seed in SEEDS]
    made = report(every, ReportContext({"run": {"backbones": ["coop"]}}))
    lines = table(effects_section(made), "effects.csv")
    found = [line for line in lines if line["second"] == "linear_probe"]
    wanted = [each for group in against(made.series)[None].values() for each in group]
    assert [(line["first"], line["metric"], float(line["mean"])) for line in found] == [
        (each.first.key, each.measure.key, pytest.approx(each.seeds.mean, abs=1e-6))
        for each in wanted
    ]
    assert len(found) == 4 and {line["dataset"] for line in found} == {"Average"}
