"""The record of hard negatives: what training really drew, from its artefact to the row."""

import dataclasses

import numpy as np
import pytest
import torch
from test_collaboration_finetune import NAMES, RECIPE, bank, tuned_of  # noqa: F401

from dpc.artifacts import Artifact
from dpc.backbones.coop import CoOp
from dpc.clip.model import similarity
from dpc.collaboration.extended import Sampler
from dpc.collaboration.finetune import Pair, finetune, finetune_together
from dpc.collaboration.negatives import rank
from dpc.datasets.base import Item
from dpc.errors import DpcError
from dpc.stages.negatives import PAIRS, STRONGEST, of_row, recorded
from dpc.stages.states import restored


class Asked:
    """A bank that remembers the rows that training shows."""

    def __init__(self, inner):
        self.labels, self.count = inner.labels, inner.count
        self._inner, self.rows = inner, []

    def views(self, indices, view):
        self.rows.append((view, indices.tolist()))
        return self._inner.views(indices, view)


@pytest.mark.parametrize("refill", [False, True])
def test_the_record_is_what_training_showed(bank, tuned_of, refill):  # noqa: F811
    """The pool's rows in the order they were asked for, each under a class that P ranks near."""
    task, tuned = tuned_of(CoOp)
    recipe = dataclasses.replace(RECIPE, refill=refill)
    pool = Asked(bank)
    _, statistics = finetune(task, tuned, bank, recipe, seed=2, pool=pool)
    sampler = Sampler(task, tuned, bank, bank, recipe, 2)
    counts, last = {}, {}
    shown = iter(pool.rows)
    for epoch in range(recipe.epochs):
        for choice in sampler.chosen(epoch):
            assert next(shown) == (epoch, choice.drawn.tolist())
            with torch.no_grad():
                images = tuned.image_features(task.clip, bank.views(choice.anchors, epoch))
                labels = bank.labels[choice.anchors]
                near = rank(similarity(images, tuned.text_features(task)), labels).tolist()
            own = zip(choice.anchors.tolist(), choice.drawn.tolist(), near, strict=True)
            for anchor, drawn, ranking in own:
                pair = int(bank.labels[anchor]), int(bank.labels[drawn])
                assert pair[1] in (ranking if refill else ranking[: recipe.k - 1])
                counts[pair] = counts.get(pair, 0) + 1
                last[pair] = anchor, drawn
    assert next(shown, None) is None
    assert statistics.negatives == tuple((*p, counts[p], *last[p]) for p in sorted(counts))
    negatives = statistics.images_seen - statistics.steps * recipe.batch
    assert sum(each.times for each in statistics.negatives) == negatives > 0


@pytest.mark.slow
def test_trainings_side_by_side_keep_records_of_their_own(bank, tuned_of):  # noqa: F811
    task, tuned = tuned_of(CoOp)
    pairs = [Pair(task, tuned, bank, seed) for seed in (1, 2)]
    together = [statistics.negatives for _, statistics in finetune_together(pairs, RECIPE)]
    alone = [finetune(task, tuned, bank, RECIPE, seed)[1].negatives for seed in (1, 2)]
    assert together == alone
    assert together[0] != together[1]


def test_cross_entropy_draws_none(bank, tuned_of):  # noqa: F811
    task, tuned = tuned_of(CoOp)
    recipe = dataclasses.replace(RECIPE, objective="cross_entropy", epochs=1)
    assert finetune(task, tuned, bank, recipe, seed=1)[1].negatives is None
    assert recorded(None, [], []) == ({}, {"negatives": None})


def items(name: str, count: int) -> list[Item]:
    return [Item(f"{name}{n}", 0, "") for n in range(count)]


def test_the_strongest_pairs_name_their_images():
    drawn = [(a, b, 1 + (a + b) % 3, a, b) for a in range(9) for b in range(9) if a != b]
    tensors, results = recorded(drawn, items("anchor", 9), items("pool", 9))
    assert tensors[PAIRS].tolist() == [list(each[:3]) for each in drawn]
    strongest = results["negatives"]
    assert len(strongest) == STRONGEST
    assert [each["times"] for each in strongest] == [3] * STRONGEST
    assert strongest[0] == {
        "label": 0,
        "negative": 2,
        "times": 3,
        "image": "anchor0",
        "drawn": "pool2",
    }
    row = of_row({"parallel": Artifact(tensors, results)})
    assert row[0][PAIRS] is tensors[PAIRS] and row[1] == results


def test_rows_without_a_record_have_none():
    assert of_row({}) == ({}, {"negatives": None})
    imported = Artifact({"context": np.zeros(1)}, {"negatives": None})
    assert of_row({"parallel": imported}) == ({}, {"negatives": None})


def test_a_record_is_no_weight():
    backbone = torch.nn.Linear(2, 1, bias=False)
    held = {"weight": np.ones((1, 2), np.float32), PAIRS: np.zeros((3, 3), np.int32)}
    assert restored(backbone, Artifact(held), "toy").weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(DpcError, match="toy: the artefact holds"):
        restored(backbone, Artifact({PAIRS: held[PAIRS]}), "toy")
