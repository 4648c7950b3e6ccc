"""The section on channels: its verdict follows from the numbers, whichever way they point."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from report_rows import make_rows

from dpc.evaluation import channels as measured
from dpc.evaluation.channels import agreement, compare, profile
from dpc.report import invariance
from dpc.report.channels import CONFIRMED, CONTRADICTED, OPEN, Line, lines, parts
from dpc.report.context import ReportContext, report
from dpc.report.page import build
from dpc.report.scores import Contender

SETS = ("icons-tabler", "icons-remix")
COOP = Contender("coop", "dpc", name="CoOp")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(measured, "PERMUTATIONS", 60)
    monkeypatch.setattr(measured, "STEPS", 30)
    measured._orders.cache_clear()
    yield
    measured._orders.cache_clear()


def normal(*key):
    return np.random.default_rng([len(str(part)) + ord(str(part)[-1]) for part in key])


def prompts(dataset, seed, kind):
    """P and P' (4, 64) that keep their channels, change them, or are a short step apart."""
    draw = normal(dataset, seed)
    own = draw.permutation(np.linspace(0.1, 2, 64))
    tuned = own * draw.normal(size=(4, 64))
    if kind == "common":  # sizes that every tuning comes to
        own = np.linspace(0.1, 2, 64)
        tuned = own * (1 + 0.2 * draw.normal(size=(4, 64)))
    noise = draw.normal(size=(4, 64))
    return tuned, {
        "kept": tuned + 0.9 * own * noise,  # moves where channels are large already
        "common": tuned + 0.9 * own * noise,
        "short": tuned + 0.3 * noise,
        "new": 2 * noise,
        "against": tuned + 0.6 * np.exp(-3 * own) * noise * 6,
    }[kind]


def made(kind, seeds=(1, 2, 3), gain=0.6):
    """Rows and context; every run of DPC holds text prompts of this kind."""
    rows, held = make_rows(SETS, seeds, gain, noise=0.0), {}
    for row in rows:
        if row["dpc"]:
            before, after = prompts(row["dataset"], row["seed"], kind)
            row["shots"] = 16
            row["channels"] = {
                "groups": {"text_prompts": compare([before], [after]) | {"start": None}},
                "beyond": [{"weight": 1.2, "test": row["base"] - 1}],
            }
            key = (row["dataset"], row["method"], f"shots16-seed{row['seed']}")
            profiles = np.stack([[profile(before)], [profile(after)]]).astype("float32")
            held[key] = {"text_prompts.profiles": profiles}
    sets = [{"name": name} for name in SETS]
    return rows, ReportContext(datasets=sets, predictions=held)


@pytest.mark.parametrize(
    ("kind", "verdict", "why"),
    [
        ("kept", CONFIRMED, "more alike than chance, such a step and another seed explain"),
        ("common", OPEN, "prompts tuned apart are as well"),
        ("short", OPEN, "no more than after a step of that length"),
        ("new", CONTRADICTED, "no more alike than with channels in any order"),
        ("against", CONTRADICTED, "less alike than after a step of that length"),
    ],
)
def test_the_verdict_follows_from_the_numbers(kind, verdict, why):
    made_report = report(*made(kind))
    (part,) = parts(made_report.results, made_report.context)
    own, reason = part.reason
    assert (own, why in reason) == (verdict, True), (reason, part.value, part.other)
    words = invariance.verdict([part])
    assert words.startswith(invariance.VERDICTS[verdict])
    assert f"CoOp's text prompts ({part.value:.2f}, step" in words and reason in words
    assert not any(start in words for key, start in invariance.VERDICTS.items() if key != verdict)
    assert part.above + part.below <= len(part.runs) == 6


def test_another_seed_is_the_mean_over_pairs_of_one_data_set():
    rows, context = made("kept")
    (part,) = parts(report(rows, context).results, context)
    values = []
    for name in SETS:
        profiles = [profile(prompts(name, seed, "kept")[0])[None] for seed in (1, 2, 3)]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            values.append(agreement(profiles[one], profiles[other])["pearson"])
    assert part.other == pytest.approx(np.mean(values), abs=1e-5)


def test_one_seed_compares_with_no_other_and_says_so():
    rows, context = made("kept", seeds=(1,))
    (part,) = parts(report(rows, context).results, context)
    assert part.other is None
    assert "Without a second seed" in invariance.verdict([part])
    assert invariance.cells(part)[8] == "–"
    null = {"low": 0.1, "mean": 0.15, "high": 0.2}
    clear = {"statistics": {"pearson": {"value": 0.9, "permuted": null, "step": null}}}
    runs = [(score, clear) for score, _ in part.runs]
    assert replace(part, runs=runs).reason[0] == "open"
    assert replace(part, runs=runs, others={SETS[0]: [{"pearson": 0.5}]}).reason[0] == "confirmed"


def test_the_line_is_the_mean_over_runs_and_its_depth_is_below_the_straight_one():
    rows, context = made("kept")
    (line,) = lines(report(rows, context).results)
    runs = [row for row in rows if row["dpc"]]
    for point in runs[0]["curves"]["omega_b"]:
        weight = point["weight"]
        walks = [{p["weight"]: p["test"] for p in row["curves"]["omega_b"]} for row in runs]
        expected = np.mean([walk[weight] - walk[0.0] for walk in walks])
        assert line.points[weight] == pytest.approx(expected)
    ends = np.mean([row["base"] - 1 - row["curves"]["omega_b"][0]["test"] for row in runs])
    assert line.points[1.2] == pytest.approx(ends)
    sunk = {**line.points, 0.3: 0.3 * line.points[1.0] - 2.5}
    for row in runs:
        (point,) = (p for p in row["curves"]["omega_b"] if p["weight"] == 0.3)
        point["test"] += sunk[0.3] - line.points[0.3]
    (line,) = lines(report(rows, context).results)
    assert (line.dip, line.at) == (pytest.approx(2.5), 0.3)
    assert "2.50 points with CoOp (t = 0.3);" in invariance.along_words([line])[0]
    (words,) = invariance.along_words([Line(COOP, line.points, 6, 0.0, None)])
    assert "nowhere with CoOp" in words and "points" not in words


def test_a_page_without_measured_channels_has_no_such_section():
    context = ReportContext(datasets=[{"name": name} for name in SETS])
    rows = make_rows(SETS, (1, 2))
    assert invariance.section(report(rows, context)) is None


def test_the_page_shows_figures_tables_and_a_file_of_every_run(undrawn):
    built = build(*made("kept"))
    page = built["index.html"].decode()
    assert '<section id="channels">' in page
    assert {"agreement", "line", "coop"} <= {
        name.removeprefix("figures/channels-").removesuffix(".svg") for name in built
    }
    found = list(csv.DictReader(io.StringIO(built["invariance.csv"].decode())))
    statistics = ("pearson", "spearman", "top16", "top32")  # 64 of 64 would say nothing
    assert len(found) == 6 * (len(statistics) + 1)
    assert {line["statistic"] for line in found if not line["layer"]} == set(statistics)
    first = found[0]
    before, after = (profile(each)[None] for each in prompts("icons-tabler", 1, "kept"))
    assert float(first["value"]) == pytest.approx(agreement(before, after)["pearson"], abs=1e-4)
    assert 0 < float(first["permuted_p"]) <= float(first["step_p"]) <= 1
    assert first["start"] == "" and abs(float(first["other_seeds"])) < 0.5
