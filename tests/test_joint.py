"""Base and new classes in one label space: closed forms, and the offset by the slow formula."""

import pytest
import torch

from dpc.evaluation.joint import OFFSETS, joint_accuracies, offset_curve


def test_joint_accuracies_by_hand():
    logits = torch.tensor([[3.0, 0, 1, 0], [0, 1, 2, 0], [0, 0, 1, 5], [9, 0, 1, 5], [0, 0, 2, 1]])
    labels = torch.tensor([0, 1, 3, 3, 2])
    found = joint_accuracies(logits, labels, base=2)
    assert found == {
        "base": pytest.approx(50),
        "new": pytest.approx(200 / 3),
        "overall": pytest.approx(60),
    }


def test_an_offset_moves_images_between_the_halves_one_by_one():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(200, 7, generator=generator)
    labels = torch.randint(7, (200,), generator=generator)
    for point in offset_curve(logits, labels, base=4):
        right = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            moved = [x - point["offset"] if i < 4 else x for i, x in enumerate(row)]
            right.append(moved.index(max(moved)) == label)
        base = [r for r, label in zip(right, labels.tolist(), strict=True) if label < 4]
        new = [r for r, label in zip(right, labels.tolist(), strict=True) if label >= 4]
        assert point["base"] == pytest.approx(100 * sum(base) / len(base))
        assert point["new"] == pytest.approx(100 * sum(new) / len(new))
        assert point["overall"] == pytest.approx(100 * sum(right) / len(right))


def test_base_falls_and_new_rises_with_the_offset_and_zero_is_among_them():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(300, 6, generator=generator)
    labels = torch.randint(6, (300,), generator=generator)
    points = offset_curve(logits, labels, base=3)
    assert [point["offset"] for point in points] == sorted(OFFSETS)
    base, new = ([point[half] for point in points] for half in ("base", "new"))
    assert base == sorted(base, reverse=True)
    assert new == sorted(new)
    zero = next(point for point in points if point["offset"] == 0)
    assert joint_accuracies(logits, labels, 3).items() <= zero.items()
