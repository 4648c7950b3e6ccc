"""The bootstrap over test images: against drawing image by image, and in the report."""

import math

import numpy as np
import pytest
from report_rows import make_rows

from dpc.evaluation.resampling import resampled_accuracies
from dpc.report.effects import effect
from dpc.report.image_spread import image_interval, with_images
from dpc.report.protocols import BASE, OVERALL, PROTOCOLS, H
from dpc.report.rows import collect
from dpc.report.scores import Contender

SETS = ("icons-tabler", "icons-remix")
ZERO, COOP, DPC = (
    Contender("zero_shot", "zero_shot"),
    Contender("coop", "plain"),
    Contender("coop", "dpc"),
)
CHOSEN = Contender("coop", "dpc", "val")


class Scripted:
    """A generator that draws the images it is told to, as counts of each kind."""

    def __init__(self, correct: np.ndarray, drawn: np.ndarray):
        kinds, of = np.unique(correct, axis=0, return_inverse=True)
        self.counts = np.stack([np.bincount(of[row], minlength=len(kinds)) for row in drawn])

    def multinomial(self, n, shares, size):
        assert self.counts.shape == (size, len(shares)) and math.isclose(sum(shares), 1)
        assert (self.counts.sum(axis=1) == n).all()
        return self.counts


def slowly(correct: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Accuracies of test sets, image by image."""
    return np.array(
        [
            [100 * sum(bool(correct[image, run]) for image in row) / len(row) for run in range(2)]
            for row in drawn
        ]
    )


@pytest.fixture
def correct() -> np.ndarray:
    draw = np.random.default_rng(3)
    hard = draw.random((60, 1))
    return draw.random((60, 2)) < 0.3 + 0.5 * hard


def test_kinds_of_images_are_the_images(correct):
    drawn = np.random.default_rng(0).integers(0, 60, (20, 60))
    fast = resampled_accuracies(correct, 20, Scripted(correct, drawn))
    np.testing.assert_allclose(fast, slowly(correct, drawn), rtol=0, atol=1e-12)


def test_drawing_kinds_has_the_spread_of_drawing_images(correct):
    drawn = np.random.default_rng(0).integers(0, 60, (2000, 60))
    fast = resampled_accuracies(correct, 2000, np.random.default_rng(1))
    slow = 100 * correct[drawn].mean(axis=1)
    gaps = [each[:, 0] - each[:, 1] for each in (fast, slow)]
    exact = 100 * (correct[:, 0] * 1.0 - correct[:, 1]).std() / math.sqrt(60)
    for gap in gaps:
        assert gap.std() == pytest.approx(exact, rel=0.06)
        assert gap.mean() == pytest.approx(
            100 * (correct[:, 0].mean() - correct[:, 1].mean()), abs=1
        )
    np.testing.assert_allclose(*(np.percentile(gap, [2.5, 50, 97.5]) for gap in gaps), atol=1.7)


def test_no_image_is_no_test_set():
    with pytest.raises(ValueError, match="N above 0"):
        resampled_accuracies(np.zeros((0, 2), bool), 5, np.random.default_rng(0))


def predictions(rows) -> dict:
    """Predictions whose accuracies are those of the rows to an image; what is hard for one run is
    so for the others, or test images drawn apart for each would give the same interval."""
    found = {}
    for row in rows:
        draw = np.random.default_rng(len(found))
        held = {}
        for part in ("base", "new"):
            count = row[f"n_{part}"]
            hardness = np.random.default_rng(count).random(count) + 0.2 * draw.random(count)
            hits = hardness.argsort().argsort() < round(row[part] * count / 100)
            held |= {f"{part}.labels": np.arange(count) % 25}
            held[f"{part}.predictions"] = np.where(hits, held[f"{part}.labels"], 99)
        name = "all" if row["seed"] is None else f"shots16-seed{row['seed']}"
        found[row["dataset"], row["method"], name] = held
    return found


@pytest.fixture(scope="module")
def rows():
    rows = [row | {"shots": 16, "overall": 70.0} for row in make_rows(SETS, (1, 2, 3))]
    for row in rows:
        for part in ("base", "new"):
            row[part] = 100 * round(row[part] * row[f"n_{part}"] / 100) / row[f"n_{part}"]
        row["overall"] = (400 * row["base"] + 410 * row["new"]) / 810
        row["protocol"] = "generalized"
    return rows


@pytest.fixture(scope="module")
def slow(rows) -> dict[str, list[float]]:
    """The gaps of DPC to CoOp on 300 test sets, one image, one seed, one set after the other."""
    held, generator = predictions(rows), np.random.default_rng(7)
    gaps = {"base": np.zeros(300), "h": np.zeros(300), "overall": np.zeros(300)}
    for draw, name in ((draw, name) for draw in range(300) for name in SETS):
        rows = {part: generator.integers(0, n, n) for part, n in (("base", 400), ("new", 410))}
        for seed, (method, sign) in (
            (seed, each) for seed in (1, 2, 3) for each in (("coop+dpc", 100), ("coop", -100))
        ):
            own = held[name, method, f"shots16-seed{seed}"]
            hits = {p: (own[f"{p}.predictions"] == own[f"{p}.labels"])[rows[p]] for p in rows}
            base, new = (hits[part].mean() for part in ("base", "new"))
            gaps["base"][draw] += sign * base / 6
            gaps["h"][draw] += sign * 2 * base * new / (base + new) / 6
            gaps["overall"][draw] += sign * np.concatenate(list(hits.values())).mean() / 6
    return {metric: list(np.percentile(each, [2.5, 97.5])) for metric, each in gaps.items()}


@pytest.mark.parametrize("measure", [BASE, H, OVERALL])
def test_the_interval_is_that_of_the_slow_loop(rows, slow, measure):
    held = predictions(rows)
    found = effect(collect(rows, protocol=PROTOCOLS["generalized"]), DPC, COOP, measure)
    low, high = image_interval(held, found, 4000)
    assert [low, high] == pytest.approx(slow[measure.metric], abs=0.12 * (high - low))
    assert low < found.seeds.mean < high
    assert image_interval(held, found) == image_interval(held, found)  # no chance in it


def test_what_no_predictions_belong_to_has_no_interval(rows):
    held, results = predictions(rows), collect(rows, protocol=PROTOCOLS["generalized"])
    tuned, chosen = (effect(results, one, two, BASE) for one, two in ((COOP, ZERO), (CHOSEN, COOP)))
    (told,) = with_images([tuned], held)
    assert told.over_images[0] < tuned.seeds.mean < told.over_images[1]
    assert image_interval(held, chosen) is None and image_interval({}, tuned) is None
    del held[SETS[0], "coop", "shots16-seed2"]
    assert image_interval(held, tuned) is None
