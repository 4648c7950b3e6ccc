"""Means, spreads, H and the paired t test, against scipy and against numbers done by hand."""

import math
import random

import pytest
import torch
from scipy import stats

from dpc.evaluation.accuracy import accuracy
from dpc.evaluation.statistics import (
    critical,
    detectable,
    harmonic_mean,
    holm,
    paired_t,
    summarize,
)

# differences, t, two-sided p, 95 % interval; from scipy.stats.ttest_1samp
GOLDEN = [
    ([0.5, 1.5, 0.2, -0.3], 1.25191604, 0.29932114, (-0.73247873, 1.68247873)),
    ([1.0, -1.0], 0.0, 1.0, (-12.70620474, 12.70620474)),
    ([-2.1, -1.9, -2.4, -0.2, -1.0, -3.3], -4.09358093, 0.00941376, (-2.95745035, -0.67588298)),
]


@pytest.mark.parametrize(("differences", "t", "p", "interval"), GOLDEN)
def test_paired_t_against_golden_numbers(differences, t, p, interval):
    test = paired_t(differences)
    assert (test.t, test.p) == (pytest.approx(t, abs=1e-7), pytest.approx(p, abs=1e-7))
    assert (test.low, test.high) == pytest.approx(interval, abs=1e-6)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("differences", [case[0] for case in GOLDEN])
def test_paired_t_against_scipy(differences, level):
    first = [80.0 + difference for difference in differences]
    reference = stats.ttest_rel(first, [80.0] * len(first))
    interval = reference.confidence_interval(level)
    test = paired_t(differences, level)
    assert test.t == pytest.approx(float(reference.statistic), abs=1e-9)
    assert test.p == pytest.approx(float(reference.pvalue))
    assert (test.low, test.high) == pytest.approx((float(interval.low), float(interval.high)))


def test_wins_ties_and_losses():
    test = paired_t([0.5, 0.0, 1e-12, -0.25, 2.0])
    assert (test.wins, test.ties, test.losses, test.n) == (2, 2, 1, 5)


def test_differences_without_spread():
    none = paired_t([0.0, 0.0, 0.0])
    assert (none.mean, none.t, none.p, none.low, none.high) == (0.0, 0.0, 1.0, 0.0, 0.0)
    same = paired_t([0.1 + 0.2, 0.3, 0.3])  # equal but for rounding: scipy says p = 0
    assert (same.mean, same.t, same.p, same.low) == (pytest.approx(0.3), None, None, None)
    assert (same.wins, same.ties, same.losses) == (3, 0, 0)
    single = paired_t([0.4])
    assert (single.n, single.mean, single.t, single.p, single.low) == (1, 0.4, None, None, None)


def test_standard_deviation_has_n_minus_one_below():
    assert summarize([1.0, 2.0, 4.0]).std == pytest.approx(math.sqrt(7 / 3))
    assert summarize([3.0]).std is None
    with pytest.raises(ValueError, match="no value"):
        summarize([])


@pytest.mark.parametrize("values", [[72.4, 71.9, 73.0], [1.0, 2.0, 4.0, 8.0, 9.5], [3.0, 3.5]])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_of_a_mean_against_scipy(values, level):
    expected = stats.t.interval(
        level, len(values) - 1, sum(values) / len(values), stats.sem(values)
    )
    assert summarize(values).interval(level) == pytest.approx(tuple(map(float, expected)))
    assert summarize(values[:1]).interval() is None


def test_critical_values_are_those_of_the_tables():
    tabled = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262}
    assert {n: round(critical(n), 3) for n in tabled} == tabled
    with pytest.raises(ValueError, match="between 0 and 1"):
        critical(2, 1.0)


# by hand: 4·0.01, then max(0.04, 3·0.02), 2·0.03 is no larger, 1·0.04 is not either
HOLM = [
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ([0.02, None, 0.01, 0.03, 0.04], [0.06, None, 0.04, 0.06, 0.06]),
    ([0.5, 0.9, 0.4], [1.0, 1.0, 1.0]),
    ([0.013, 0.056, 0.731, 0.801], [0.052, 0.168, 1.0, 1.0]),
    ([None], [None]),
    ([], []),
]


@pytest.mark.parametrize(("values", "expected"), HOLM)
def test_holm_by_hand(values, expected):
    assert holm(values) == [None if p is None else pytest.approx(p) for p in expected]


def test_holm_against_its_definition():
    """The adjusted p is the least level at which stepping down rejects the test."""

    def rejected(values, level):
        """Smallest first, each against level over what is left, until one is not below it."""
        found = set()
        for rank, place in enumerate(sorted(range(len(values)), key=lambda at: values[at])):
            if values[place] * (len(values) - rank) > level:
                break
            found.add(place)
        return found

    draw = random.Random(2)
    for _ in range(50):
        values = [draw.random() ** 3 for _ in range(draw.randint(1, 6))]
        adjusted = holm(values)
        for level in (0.001, 0.01, 0.05, 0.2, 0.7):
            assert rejected(values, level) == {at for at, p in enumerate(adjusted) if p <= level}


@pytest.mark.parametrize("differences", [case[0] for case in GOLDEN[::2]] + [[0.3, 0.9]])
def test_what_is_detectable_is_found_four_times_out_of_five(differences):
    test = paired_t(differences)
    freedom, error = test.n - 1, test.std / math.sqrt(test.n)
    found = stats.nct(freedom, detectable(test) / error)
    assert found.sf(stats.t.ppf(0.975, freedom)) == pytest.approx(0.8, abs=1e-4)
    assert detectable(paired_t([0.4])) is None and detectable(paired_t([0.0, 0.0])) is None


@pytest.mark.parametrize(
    ("base", "new", "h"), [(0, 0, 0), (0, 50, 0), (60, 60, 60), (85.15, 68.84, 76.13126)]
)
def test_harmonic_mean(base, new, h):
    assert harmonic_mean(base, new) == pytest.approx(h, abs=1e-4)


def test_harmonic_mean_refuses_negative_numbers():
    with pytest.raises(ValueError, match="at least 0"):
        harmonic_mean(-1.0, 2.0)


def test_accuracy_is_correct_over_total():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 4.0], [1.0, 0.0]])
    assert accuracy(logits, torch.tensor([0, 1, 0, 0])) == 75.0
    assert accuracy(logits.half(), torch.tensor([0, 1, 0, 0])) == 75.0


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), "empty"),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.long), "logits are"),
        (torch.zeros(1, 2), torch.tensor([2]), "labels 2..2"),
        (torch.tensor([[math.nan, 0.0]]), torch.tensor([0]), "not numbers"),
    ],
)
def test_accuracy_refuses_what_has_no_meaning(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        accuracy(logits, labels)
