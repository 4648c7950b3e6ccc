"""Calibration: bins and their error against the words of the definition."""

import math

import numpy as np
import pytest

from dpc.evaluation.calibration import BINS, ece, overconfidence, pooled, reliability
from dpc.evaluation.confusion import confused, per_class


def slow_bins(logits, labels):
    """Image by image, bin by bin: ((m-1)/M, m/M]."""
    bins = []
    for m in range(1, BINS + 1):
        held = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            chances = [math.exp(value) / sum(map(math.exp, row)) for value in row]
            top = max(chances)
            if (m - 1) / BINS < top <= m / BINS:
                held.append((top, chances.index(top) == label))
        n = len(held)
        sure = 100 * sum(top for top, _ in held) / n if n else 0.0
        bins.append((n, sure, 100 * sum(right for _, right in held) / n if n else 0.0))
    return bins


def test_bins_are_those_of_the_slow_loop():
    draw = np.random.default_rng(0)
    logits = (3 * draw.standard_normal((200, 5))).astype(np.float32)
    labels = draw.integers(0, 5, 200)
    found, expected = reliability(logits, labels), slow_bins(logits, labels)
    assert [n for n, _, _ in found] == [n for n, _, _ in expected]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    error = sum(n * abs(sure - right) for n, sure, right in expected) / 200
    assert ece(found) == pytest.approx(error, rel=1e-9)


def test_more_rows_than_are_held_together(monkeypatch):
    draw = np.random.default_rng(1)
    logits, labels = draw.standard_normal((50, 3)), draw.integers(0, 3, 50)
    whole = reliability(logits, labels)
    monkeypatch.setattr("dpc.evaluation.calibration.ROWS", 7)
    assert reliability(logits, labels) == whole


def of_confidence(sure: float, right: int, images: int) -> list:
    """Images of two classes, all taken for the first with a probability of ``sure``."""
    logits = np.tile([math.log(sure / (1 - sure)), 0.0], (images, 1))
    return reliability(logits, np.array([0] * right + [1] * (images - right)))


def test_the_error_in_closed_form():
    """All at 90 % and 7 of 10 right: 20 points too sure; at 60 % and 8 of 10 right: too modest."""
    sure, modest = of_confidence(0.9, 7, 10), of_confidence(0.6, 8, 10)
    assert ece(sure) == overconfidence(sure) == pytest.approx(20)
    assert ece(modest) == pytest.approx(20)
    assert overconfidence(modest) == pytest.approx(-20)
    both = pooled([sure, modest])
    assert ece(both) == pytest.approx(20)
    assert overconfidence(both) == pytest.approx(0)


def test_a_calibrated_classifier_has_no_error():
    assert ece(of_confidence(0.75, 3, 4)) == pytest.approx(0)


def test_large_logits_are_sure_and_in_the_last_bin():
    (*others, last) = reliability(np.array([[800.0, 0.0]], np.float32), np.array([0]))
    assert last == (1, 100.0, 100.0)
    assert {each[0] for each in others} == {0}


def test_pooled_bins_are_those_of_all_images():
    draw = np.random.default_rng(2)
    logits, labels = draw.standard_normal((90, 4)), draw.integers(0, 4, 90)
    parts = [reliability(logits[s], labels[s]) for s in (slice(0, 30), slice(30, 90))]
    np.testing.assert_allclose(pooled(parts), reliability(logits, labels))


def test_no_image_has_no_calibration():
    with pytest.raises(ValueError, match="no image"):
        ece([(0, 0.0, 0.0)])


def test_classes_and_confusions_against_counting():
    draw = np.random.default_rng(3)
    labels, predictions = draw.integers(0, 6, 300), draw.integers(0, 6, 300)
    both = list(zip(labels.tolist(), predictions.tolist(), strict=True))
    counts = per_class(predictions, labels, 7)
    for label in range(7):  # the last has no image
        assert counts[label].tolist() == [
            sum(true == label for true, _ in both),
            both.count((label, label)),
        ]
    wrong = {pair: both.count(pair) for pair in both if pair[0] != pair[1]}
    assert confused(predictions, labels) == wrong
    assert confused(labels, labels) == {}
