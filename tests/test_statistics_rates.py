"""How often the page calls a difference significant where there is none: simulated nulls."""

import numpy as np
import pytest
from scipy import stats

from dpc.evaluation.statistics import ALPHA, holm
from dpc.report.effects import over_seeds

RUNS, BACKBONES, SETS, SEEDS = 4000, 4, 6, 3
RIGHT = (0.03, 0.07)  # of rates that are to be 0.05; their own deviation is 0.0034


def null(seed_effect: float, sets: int = SETS) -> np.ndarray:
    """Differences (runs, backbones, sets, seeds) of mean 0: what a run does on its own, and what a
    seed does to all data sets of a backbone, in units of the former."""
    draw = np.random.default_rng(11)
    shared = seed_effect * draw.normal(size=(RUNS, BACKBONES, 1, SEEDS))
    return shared + draw.normal(size=(RUNS, BACKBONES, sets, SEEDS))


def decided(differences: np.ndarray) -> list[list[float | None]]:
    """p values of the test that the page goes by, for each run of each backbone."""
    keys = [(str(d), seed) for d in range(differences.shape[2]) for seed in range(SEEDS)]
    return [
        [over_seeds(dict(zip(keys, each.flat, strict=True))).p for each in run]
        for run in differences
    ]


def rate(found) -> float:
    return float(np.mean(found))


@pytest.mark.parametrize("seed_effect", [0.0, 1.0])
def test_the_deciding_test_errs_as_often_as_it_says(seed_effect):
    values = decided(null(seed_effect))
    assert RIGHT[0] < rate(np.array(values) < ALPHA) < RIGHT[1]
    errs = [min(holm(each)) < ALPHA for each in values]
    assert RIGHT[0] < rate(errs) < RIGHT[1]  # in any of the backbones
    assert rate(np.array(values).min(axis=1) < ALPHA) > 0.15  # without Holm's rule


@pytest.mark.parametrize(
    ("seed_effect", "low", "high"), [(0.0, 0.04, 0.06), (0.5, 0.15, 0.19), (1.0, 0.31, 0.37)]
)
def test_a_test_over_pairs_errs_too_often_where_seeds_matter(seed_effect, low, high):
    """Why the page does not test all pairs of set and seed as if they were independent."""
    pairs = null(seed_effect).reshape(RUNS, BACKBONES, SETS * SEEDS)
    found = rate(stats.ttest_1samp(pairs, 0, axis=-1).pvalue < ALPHA)
    assert low < found < high, found


@pytest.mark.parametrize("images", [40, 400])
def test_few_test_images_do_not_make_it_err_more(images):
    """One data set, whose accuracies move in steps of an image: equal differences are no test."""
    draw = np.random.default_rng(5)
    gained, lost = draw.binomial(images, 0.02, size=(2, RUNS, 1, 1, SEEDS))
    values = [p for (p,) in decided(100 * (gained - lost) / images)]
    assert rate([p is not None and p < ALPHA for p in values]) < RIGHT[1]
