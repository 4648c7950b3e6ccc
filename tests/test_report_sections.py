"""Class by class, hard negatives, calibration and provenance: their numbers by plain counting,
their words in both directions, their pictures."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from report_protocols import ROWS
from report_rows import make_rows
from report_sections import CONTEXT, NAMES, NEGATIVES, SEEDS, SETS, rows, table

from dpc.report import calibration, classes, negatives, provenance
from dpc.report.context import ReportContext, report
from dpc.report.page import build
from dpc.report.parts import PARTS
from dpc.report.pictures import MOST, Album
from dpc.report.predictions import Run


@pytest.fixture(scope="module")
def made():
    return report(rows(), CONTEXT)


def held(dataset, method, seed):
    return CONTEXT.predictions[dataset, method, "all" if seed is None else f"shots16-seed{seed}"]


def test_every_class_by_plain_counting(made):
    lines = table(classes.section(made), "classes.csv")
    # new classes are left out of DPC against its backbone: there is nothing that differs
    kinds = Counter((line["first"], line["second"], line["part"]) for line in lines)
    assert kinds == {
        ("coop+dpc", "coop", "base"): 8,
        ("coop", "zero_shot", "base"): 8,
        ("coop", "zero_shot", "new"): 4,
    }
    for line in lines:
        start = 4 if line["part"] == "new" else 0
        label = NAMES.index(line["class"]) - start
        for side in ("first", "second"):
            shares = []
            for seed in (None,) if line[side] == "zero_shot" else SEEDS:
                arrays = held(line["dataset"], line[side], seed)
                guess, true = (arrays[f"{line['part']}.{k}"] for k in ("predictions", "labels"))
                own = [g == t for g, t in zip(guess, true, strict=True) if t == label]
                shares.append(100 * sum(own) / len(own))
                assert int(line["images"]) == len(own)
            expected = sum(shares) / len(shares)
            assert float(line[f"{side}_accuracy"]) == pytest.approx(expected, rel=1e-5)


def test_every_confusion_by_plain_counting(made):
    lines = table(classes.section(made), "confusions.csv")
    for line in lines:
        pair = [
            NAMES.index(line[name]) - 4 * (line["part"] == "new") for name in ("class", "taken_for")
        ]
        for column, method in (("alone", "coop"), ("with_dpc", "coop+dpc")):
            images = 0
            for seed in SEEDS:
                arrays = held(line["dataset"], method, seed)
                guess, true = (arrays[f"{line['part']}.{k}"] for k in ("predictions", "labels"))
                images += sum([t, g] == pair for g, t in zip(guess, true, strict=True))
            assert float(line[column]) == images / 2
    base = [line for line in lines if line["part"] == "base" and line["dataset"] == SETS[0]]
    wrong = [held(SETS[0], "coop", seed) for seed in SEEDS]
    total = sum((each["base.predictions"] != each["base.labels"]).sum() for each in wrong)
    assert sum(float(line["alone"]) for line in base) == total / 2


def test_the_largest_changes_come_in_order():
    def change(label, first, second, images=10):
        return classes.Change("set", label, f"c{label}", images, 1, first, second)

    every = [change(0, 50, 50), change(1, 60, 50), change(2, 90, 50), change(3, 60, 50, images=20)]
    every += [change(4, 10, 50), change(5, 40, 50)]
    up, down = classes.largest(every)
    assert [each.label for each in up] == [2, 3, 1]
    assert [each.label for each in down] == [4, 5]
    assert classes.largest(every[:1]) == ([], [])


def test_summary_counts_classes_and_names_the_largest(made):
    (first, *_) = classes.comparison_list(made)
    every = [change for changes in first.changes.values() for change in changes]
    number, better, equal, worse, up, _ = classes.summary_cells(first)
    moves = [round(change.difference, 9) for change in every]
    assert [int(number), int(better)] == [8, sum(move > 0 for move in moves)]
    assert [int(equal), int(worse)] == [moves.count(0), sum(move < 0 for move in moves)]
    assert up.startswith(f"+{max(moves):.1f} (") and up.endswith((f"{SETS[0]})", f"{SETS[1]})"))


def run(first, second, labels, pairs) -> Run:
    arrays = [np.array(each) for each in (first, second, labels)]
    return Run(1, *arrays, None if pairs is None else np.array(pairs, np.int32))


def test_coverage_of_mistakes_by_drawn_pairs():
    #                 mix             P               truth
    one = run([0, 2, 1, 0, 2], [1, 2, 1, 0, 5], [0, 0, 1, 1, 2], [[0, 1, 3], [2, 1, 1]])
    # wrong under P: 0 for 1 (drawn, repaired), 0 for 2 and 1 for 0 (not drawn); the class 5 that 2
    # is taken for competes, but was never tuned on
    assert negatives.coverage(one, 3) == negatives.Coverage(2, 6, 1, 2, 1, 0)
    assert negatives.coverage(one._replace(pairs=None), 3) is None


def test_verdict_in_both_directions():
    hit, miss = negatives.Coverage(10, 100, 5, 5, 0, 0), negatives.Coverage(60, 100, 5, 5, 0, 0)
    assert negatives.verdict({"A": [hit]}).startswith("With A, ")
    assert "training more often than other" in negatives.verdict({"A": [hit]})
    assert "training no more often than other" in negatives.verdict({"A": [miss]})
    assert negatives.verdict({"A": [hit]}).endswith(negatives.UNTESTED)
    both = negatives.verdict({"A": [hit], "B": [miss]})
    assert both.index("With A") < both.index("With B")
    assert negatives.verdict({"A": [replace(hit, inside=0, outside=0)]}) == ""


def test_what_mistakes_meet_by_chance_is_counted_set_by_set():
    few = negatives.Coverage(12, 12, 90, 0, 1, 0)  # every pair was drawn
    many = negatives.Coverage(980, 9900, 8, 92, 0, 1)  # 9.9 % drawn, 8 % met
    assert negatives.expected([few, many]) == pytest.approx((90 + 100 * 980 / 9900) / 190)
    assert "no more often" in negatives.verdict({"A": [few, many]})
    cells = negatives.coverage_cells([few, many])
    assert cells[2:4] == [f"{100 * 98 / 190:.1f} %", f"{100 * (90 + 980 / 99) / 190:.1f} %"]


def test_strongest_pairs_stand_beside_what_the_test_takes_them_for(made):
    section = negatives.section(made)
    (dataset, ((label, lines),)), _ = section.values["sets"]
    assert (dataset, label) == (SETS[0], "CoOp + DPC")
    arrays = held(SETS[0], "coop", 1)
    taken = [
        str(
            sum(
                (arrays["base.labels"] == p["label"])
                & (arrays["base.predictions"] == p["negative"])
            )
        )
        for p in NEGATIVES
    ]
    assert [line[2] for line in lines] == ["7", "4"]
    assert [line[3] for line in lines] == taken
    first = table(section, "negatives.csv")[0]
    assert (first["class"], first["negative_class"], first["drawn"]) == (
        "cat & dog",
        "cloud",
        "cloud/2.png",
    )


def test_calibration_says_which_side_of_the_diagonal(made, undrawn):
    section = calibration.section(made)
    base, new = section.words[1:]
    assert base == (
        "Base classes, in points: zero-shot CLIP is too sure by 60.00; CoOp too modest by 3.00, "
        "with DPC the same."
    )
    assert "zero-shot CLIP is too modest by 5.00; CoOp too sure by 12.00" in new
    cells = {m.key: texts for m, texts in section.values["lines"]}
    assert cells["coop"] == ["3.00 ± 0.00", "−3.00", "12.00 ± 0.00", "+12.00"]
    assert cells["zero_shot"][:2] == ["60.00", "+60.00"]
    assert "coop+budget" not in cells  # its rows do not tell
    assert len(table(section, "calibration.csv")) == 2 * (2 * 5)


def test_sections_without_material_are_left_out():
    bare = report(make_rows(SETS, SEEDS), ReportContext())
    for part in (classes, negatives, calibration, provenance):
        assert part.section(bare) is None


@pytest.fixture(scope="module")
def page():
    with pytest.MonkeyPatch.context() as patch:
        own = (classes.section, negatives.section, provenance.section)
        patch.setitem(PARTS, CONTEXT.protocol.name, own)
        asked: list = []

        def thumbnail(dataset, image):
            asked.append((dataset, image))
            return "" if image == "bell/1.png" else f"data:image/jpeg;base64,{len(asked)}"

        built = build(rows(), replace(CONTEXT, thumbnail=thumbnail))
        return built["index.html"].decode(), asked


def test_a_picture_is_held_once_and_shown_where_it_helps(page):
    text, asked = page
    assert len(asked) == len(set(asked))
    held = re.findall(r'<image id="([^"]+)"[^>]* href="data:', text)
    used = re.findall(r'role="img" aria-label="[^"]+"><use href="#([^"]+)"/>', text)
    assert set(used) == set(held) and len(held) == len(set(held))
    assert len(used) > len(held) > 8
    named = re.findall(r'aria-label="([^"]+)"><use href="[^"]+"/></svg> ', text)
    assert set(named) == {"Training image", "Test image"} and len(named) == len(used)
    assert text.count("no picture") == len(SETS)  # one image that cannot be read, in each set


def test_without_pictures_names_stand_alone():
    album = Album(CONTEXT, "x")
    assert album.show(SETS[0], 1, "cat & dog") == "cat &amp; dog"
    assert album.sheet() == ""


def test_a_data_set_has_so_many_pictures_and_no_more():
    album = Album(replace(CONTEXT, thumbnail=lambda *_: "data:,"), "x")
    shown = [album.show(SETS[0], number, "cat") for number in (*range(MOST + 1), 0)]
    assert [each == "cat" for each in shown] == [*[False] * MOST, True, False]
    assert album.show(SETS[1], MOST, "cat") != "cat"


def test_provenance_has_a_line_for_each_row(page, made):
    lines = table(provenance.section(made), "provenance.csv")
    assert [line["key"] for line in lines] == [f"key of {n}" for n in range(4)]
    assert "target of 3" in page[0]


@pytest.mark.parametrize("protocol", ["few-shot", "cross-dataset"])
def test_protocols_without_halves_have_all_classes_in_one_part(protocol):
    """At the most shots; a target has no negatives of its own, and nothing new to compare."""
    draw, found = np.random.default_rng(1), {}
    lines = [row | {"negatives": None} for row in ROWS[protocol]()]
    sets = list(dict.fromkeys(row["dataset"] for row in lines))
    true = draw.integers(0, 6, 40)
    for row in lines:
        guess = draw.integers(0, 6, 40)
        seed = "all" if row["seed"] is None else f"shots{row.get('shots')}-seed{row['seed']}"
        row["negatives"] = NEGATIVES if row["dpc"] and row["dataset"] == sets[0] else None
        held = {"test.predictions": guess, "test.labels": true}
        if row["negatives"]:
            held["record/negatives"] = np.array([[0, 1, 2]], np.int32)
        found[row["dataset"], row["method"], seed] = held
    context = replace(
        CONTEXT,
        params={"protocol": protocol, "run": {"backbones": ["coop"]}},
        datasets=[{"name": name, "classnames": NAMES, "classes_base": 0} for name in sets],
        predictions=found,
    )
    made = report(lines, context)
    assert {line["part"] for line in table(classes.section(made), "classes.csv")} == {"test"}
    series = {(str(shots) if shots else None) for shots in made.series}
    for section, name in ((classes, "classes"), (classes, "confusions"), (negatives, "negatives")):
        found = table(section.section(made), f"{name}.csv")
        assert {line.get("shots") for line in found} == series
    section = negatives.section(made)
    assert [name for name, _ in section.values["sets"]] == sets[:1]
    counted = section.values["lines"][made.results.contender("coop", "dpc")]
    assert counted[0] == f"{100 / 30:.1f} %"
