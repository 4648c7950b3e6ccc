"""What decides on the page: the test over seeds, its families, and the words that follow it."""

import csv
import io

import pytest
from report_protocols import SHOTS, few_shot
from report_rows import SETS, make_nine, make_rows

from dpc.evaluation.statistics import holm, paired_t
from dpc.report.context import series
from dpc.report.effects import effect, effects, on_each_set
from dpc.report.export import effects_csv, table_csv
from dpc.report.headline import by_shots_sentence, gains, headline
from dpc.report.metrics import build as metrics_of
from dpc.report.protocols import BASE, PROTOCOLS
from dpc.report.rows import collect
from dpc.report.scores import Contender
from dpc.report.tables import AVERAGE, selection_table
from dpc.report.tested import power

ZERO, COOP, DPC = (
    Contender("zero_shot", "zero_shot"),
    Contender("coop", "plain"),
    Contender("coop", "dpc"),
)
NAMES = ("coop", "maple", "promptsrc", "promptkd")
AGREE = {1: -0.02, 2: 0.0, 3: 0.02}  # what seeds add to a difference: a spread of 0.02
DIFFER = {1: -1.2, 2: 0.3, 3: 0.9}  # one of 1.08, mean 0


def changed(gains: dict[str, float], noise: dict[int, float], seeds=(1, 2, 3)) -> list[dict]:
    """Rows in which DPC adds this to each backbone, on every set, and this to each seed."""
    kept = ("zero_shot", *gains)
    rows = make_nine(tuple(SETS), seeds)
    rows = [row for row in rows if row["rung"] is None and row["backbone"] in kept]
    plain = {
        (r["backbone"], r["dataset"], r["seed"]): r["base"]
        for r in rows
        if not r["dpc"] and not r["budget"]
    }
    for row in rows:
        if row["dpc"]:
            own = plain[row["backbone"], row["dataset"], row["seed"]]
            row["base"] = own + gains[row["backbone"]] + noise[row["seed"]]
    return rows


@pytest.mark.parametrize(
    ("gain", "noise", "words"),
    [
        (0.8, AGREE, "DPC gains 0.80 points over CoOp (p"),
        (-0.8, AGREE, "DPC loses 0.80 points against CoOp (p"),
        (0.8, DIFFER, "there is no significant difference from CoOp (+0.80 points, p"),
        (-0.8, DIFFER, "there is no significant difference from CoOp (−0.80 points, p"),
        (0.0, dict.fromkeys(AGREE, 0.0), "DPC equals, in every pair, CoOp."),
        (0.8, dict.fromkeys(AGREE, 0.0), "DPC differs from CoOp (+0.80 points with each of 3"),
    ],
)
def test_the_headline_follows_the_seeds(gain, noise, words):
    """Where the seeds differ, six sets that all agree with them do not make it significant."""
    line = headline({None: collect(changed({"coop": gain}, noise))})[0]
    assert line.startswith(f"On base classes, at ω_b = 0.2: {words}")


def test_the_headline_of_mixed_backbones():
    rows = changed(dict(zip(NAMES, (0.8, -0.8, 0.0, 0.4), strict=True)), AGREE)
    for row in rows:
        if row["dpc"] and row["backbone"] == "promptkd":
            row["base"] += DIFFER[row["seed"]]
    line = headline({None: collect(rows)})[0]
    gained, lost, none = line.split("; ")
    assert "DPC gains 0.80 points over CoOp" in gained and lost.startswith("DPC loses 0.80 points")
    assert none.startswith("there is no significant difference from PromptSRC (0.00 points, p")
    assert "MaPLe" in lost and "PromptKD (+0.40 points, p" in none


@pytest.mark.parametrize(
    ("seeds", "words"), [((1,), "One seed has no spread"), ((1, 2), "reaches 12.7 standard errors")]
)
def test_one_and_two_seeds_say_so(seeds, words):
    lines = headline({None: collect(changed({"coop": 0.8}, AGREE, seeds))})
    assert words in lines[-1]
    assert ("gains" in lines[0]) == (len(seeds) == 2)
    assert not any(word in lines[0] for word in ("gains", "loses", "p =")) or len(seeds) == 2


def test_the_deciding_test_is_of_the_seeds_means_over_the_sets():
    rows = make_rows()
    found = effect(collect(rows), DPC, COOP, BASE)
    gaps = {
        seed: [
            one["base"] - two["base"]
            for one in rows
            for two in rows
            if (one["method"], two["method"]) == ("coop+dpc", "coop")
            and (one["dataset"], one["seed"]) == (two["dataset"], two["seed"])
            and one["seed"] == seed
        ]
        for seed in (1, 2, 3)
    }
    assert all(len(each) == 6 for each in gaps.values())
    expected = paired_t([sum(each) / 6 for each in gaps.values()])
    assert found.seeds.n == 3 and found.seeds.p == pytest.approx(expected.p)
    assert (found.seeds.mean, found.seeds.low) == pytest.approx((expected.mean, expected.low))
    zero = effect(collect(rows), COOP, ZERO, BASE)  # one sample: zero-shot CLIP has no seed
    assert zero.seeds.n == 3 and zero.sets.n == 6


def test_p_is_adjusted_over_the_backbones_of_one_question():
    results = collect(changed(dict.fromkeys(NAMES, 0.3), DIFFER))
    tested = effects({None: results})[None]
    for measure, first, second in (("base", "dpc", "plain"), ("new", "plain", "zero_shot")):
        family = [
            each
            for each in tested
            if (each.measure.key, each.first.kind, each.second.kind) == (measure, first, second)
            and each.first.selection == "last"
        ]
        assert [each.first.backbone for each in family] == list(NAMES)
        assert [each.adjusted for each in family] == holm([each.seeds.p for each in family])
        assert {each.family for each in family} == {4}
    (budget,) = [e for e in tested if e.second.kind == "budget" and e.measure == BASE][:1]
    assert (budget.family, budget.adjusted) == (1, budget.seeds.p)
    leads = [gain.lead for gain in gains({None: results})[None]]
    assert [each.adjusted for each in leads] == holm([each.seeds.p for each in leads])


def test_what_passes_alone_may_not_pass_among_four():
    """A p of 0.02 on its own is none of a family of four."""
    noise = {1: -0.2, 2: 0.0, 3: 0.2}
    alone = collect(changed({"coop": 0.8}, noise))
    assert "DPC gains 0.80 points over CoOp" in headline({None: alone})[0]
    four = collect(changed(dict(zip(NAMES, (0.8, 0.1, 0.0, -0.1), strict=True)), noise))
    line = headline({None: four})[0]
    assert "no significant difference from CoOp (+0.80 points, p\u00a0=\u00a00.081)" in line


def test_shots_are_of_one_family():
    by_shots = series(
        few_shot(tuple(SETS)[:2], (1, 2, 3)), tuple(SETS)[:2], (), PROTOCOLS["few-shot"]
    )
    found = [gain.lead for group in gains(by_shots).values() for gain in group]
    assert len(found) == 2 * len(SHOTS) == found[0].family
    assert [each.adjusted for each in found] == holm([each.seeds.p for each in found])
    stars = sum(each.adjusted < 0.05 for each in found)
    assert by_shots_sentence(by_shots).count("* at") == stars


def test_missing_runs_leave_the_largest_block_without_a_gap():
    rows = [
        row
        for row in make_rows()
        if not (row["dpc"] and row["dataset"] == "icons-remix" and row["seed"] == 2)
    ]
    found = effect(collect(rows), DPC, COOP, BASE)
    assert (found.sets.n, found.seeds.n, len(found.pairs)) == (5, 3, 15)
    assert "icons-remix" not in {name for name, _ in found.pairs}
    rows = [row for row in rows if not (row["dpc"] and row["seed"] == 3)]
    found = effect(collect(rows), DPC, COOP, BASE)
    assert (found.sets.n, found.seeds.n) == (5, 2)  # 10 pairs; the six sets of seed 1 are 6
    crossed = [
        row
        for row in make_rows(("icons-tabler", "icons-remix"), (1, 2))
        if not row["dpc"] or (row["dataset"] == "icons-tabler") == (row["seed"] == 1)
    ]
    found = effect(collect(crossed), DPC, COOP, BASE)
    assert len(found.pairs) == found.seeds.n == 1 and found.seeds.p is None


def test_each_data_set_is_tested_in_a_family_of_all():
    results = collect(changed(dict.fromkeys(NAMES, 0.3), DIFFER))
    found = on_each_set({None: results})[None]
    assert len(found) == 4 * 6 == found[0].family
    assert [each.adjusted for each in found] == holm([each.seeds.p for each in found])
    for each in found:
        ((name, _), *_) = each.pairs
        cells = [results.cell(name, m).base.mean for m in (each.first, each.second)]
        assert each.seeds.mean == pytest.approx(cells[0] - cells[1])
        assert each.seeds.n == 3 and each.sets.p is None
    assert on_each_set({None: collect(make_rows(("icons-remix",)))}) == {None: []}


def test_effects_are_written_on_average_and_on_each_set():
    by_shots = {None: collect(changed({"coop": 0.8}, DIFFER))}
    text = effects_csv(effects(by_shots), on_each_set(by_shots))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["dataset"] for line in lines] == [AVERAGE] * 8 + list(by_shots[None].datasets)
    assert not any(None in line or None in line.values() for line in lines)  # as wide as the head
    (lead,) = [
        line
        for line in lines
        if (line["dataset"], line["selection"], line["second"], line["metric"])
        == (AVERAGE, "last", "coop", "base")
    ]
    test = paired_t([0.8 + each for each in DIFFER.values()])
    assert float(lead["p"]) == pytest.approx(test.p, abs=1e-6)
    assert float(lead["low"]) == pytest.approx(test.low, abs=1e-6)
    assert (lead["seeds"], lead["sets"], lead["family"]) == ("3", "6", "1")
    assert float(lead["detectable"]) == pytest.approx(3.2640436 * test.std, abs=1e-4)


def test_every_cell_has_its_interval():
    rows = make_rows()
    lines = list(csv.DictReader(io.StringIO(table_csv({None: collect(rows)}))))
    cells = metrics_of(rows, "icons")["cells"]
    assert [(c["dataset"], c["method"]) for c in cells] == [
        (line["dataset"], line["method"]) for line in lines
    ]
    for line, cell in zip(lines, cells, strict=True):
        for metric in ("base", "new", "h"):
            held = [line[f"{metric}{end}"] for end in ("", "_std", "_low", "_high")]
            assert list(cell[metric].values()) == [float(x) if x else None for x in held]
    (tabler,) = [
        c
        for c in cells
        if (c["dataset"], c["method"], c["selection"]) == ("icons-tabler", "coop", "last")
    ]
    values = [r["base"] for r in rows if (r["dataset"], r["method"]) == ("icons-tabler", "coop")]
    expected = paired_t(values)
    assert (tabler["base"]["low"], tabler["base"]["high"]) == pytest.approx(
        (expected.low, expected.high), abs=1e-4
    )
    assert cells[0]["method"] == "zero_shot" and cells[0]["base"]["std"] is None


def test_the_chosen_weight_is_tested_against_the_fixed_one():
    results = collect(changed(dict.fromkeys(NAMES, 0.3), DIFFER))
    lines = selection_table(results)
    averages = [line.chosen for line in lines if line.name == AVERAGE]
    assert [each.adjusted for each in averages] == holm([each.seeds.p for each in averages])
    assert {each.family for each in averages} == {4}
    for line in lines:
        assert line.chosen.seeds.mean == pytest.approx(line.val.mean - line.fixed.mean)
        assert line.chosen.seeds.n == 3


def test_power_is_said_where_something_was_tested():
    text = power(gains({None: collect(changed({"coop": 0.8}, AGREE))})[None])
    assert text.startswith("A true gain of 0.07 points on CoOp is found by so many seeds")
    assert power(gains({None: collect(changed({"coop": 0.8}, AGREE, (1,)))})[None]) == ""
