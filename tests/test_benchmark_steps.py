"""The benchmark's plain side is a second opinion on stage two: its losses are ours."""

import sys
from pathlib import Path

import pytest
import torch
from golden_data import FORWARD

from dpc.backbones import resolve

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import steps

NAMES = ["cat", "annual_crop_land", "F/A-18", "Bee's nest", "red fox", "house"]
PARAMS = {
    "coop": {},
    "maple": {"depth": 2},
    "promptsrc": {"text_depth": 2, "image_depth": 2},
}


@pytest.mark.parametrize(
    ("name", "labels"),
    [("coop", [4, 0, 2]), ("coop", [1, 1, 5]), ("maple", [1, 1, 5]), ("promptsrc", [4, 0, 2])],
)
def test_both_sides_have_equal_losses(student, name, labels, monkeypatch):
    monkeypatch.setattr(steps, "LR", 0.05)
    params = resolve(name).Params(**PARAMS[name])
    course = steps.prepare(student, name, params, NAMES, torch.tensor(labels), k=3, views=3)
    ours, plain, pairs = steps.race(course, 2)
    assert len(ours) == len(plain) == 3
    assert len(labels) < pairs <= 9
    assert ours[0].losses.keys() == plain[0].losses.keys()
    assert steps.largest_difference(ours, plain) < 20 * FORWARD
    moved = [abs(lap.losses["contrastive"] - ours[0].losses["contrastive"]) for lap in ours[1:]]
    assert min(moved) > 100 * FORWARD  # by views and by steps


def test_a_plain_step_of_another_rate_is_seen(student, monkeypatch):
    params = resolve("coop").Params()
    course = steps.prepare(student, "coop", params, NAMES, torch.tensor([4, 0]), k=3, views=1)
    monkeypatch.setattr(steps, "LR", 0.05)
    rates = steps.warmup_cosine
    monkeypatch.setattr(steps, "warmup_cosine", lambda *numbers: [2 * r for r in rates(*numbers)])
    ours, plain, _ = steps.race(course, 2)
    assert steps.largest_difference(ours[:1], plain[:1]) < 20 * FORWARD
    assert steps.largest_difference(ours, plain) > 20 * FORWARD
