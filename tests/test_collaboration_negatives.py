"""Negative Sampler: lists made by an independent program, the obvious walk, and properties."""

import pytest
import torch
from golden_data import facts, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from dpc.collaboration.negatives import Pool, extend, hard_negatives, rank
from dpc.errors import DpcError

CASES = facts("dpc_sampler_ours")["cases"]
RELEASED = {case["name"]: case for case in facts("dpc_sampler")["cases"]}


def lists(similarities, labels, k, refill=False):
    return hard_negatives(rank(similarities, labels), labels, k, refill)


@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_extended_batches_are_those_of_the_independent_walk(name, refill):
    case, features = CASES[name], tensors("dpc_sampler")
    similarities = features[f"{name}.image_features"] @ features[f"{name}.text_features"].T
    labels = torch.tensor(case["labels"])
    rows = extend(labels, lists(similarities, labels, case["K"], refill))
    expected = case["extended_labels_refill" if refill else "extended_labels"]
    assert rows.labels.tolist() == expected
    assert rows.labels[rows.own].tolist() == case["labels"]


def test_the_released_list_agrees_as_far_as_the_rules_do():
    """Image by image, until a ground truth outside the top K or a list that it fills up."""
    compared = 0
    for name, case in CASES.items():
        if RELEASED[name]["error"] is not None:
            continue
        features = tensors("dpc_sampler")
        similarities = features[f"{name}.image_features"] @ features[f"{name}.text_features"].T
        labels = torch.tensor(case["labels"])
        prefix = []
        for label, mine, inside in zip(
            case["labels"],
            lists(similarities, labels, case["K"]),
            RELEASED[name]["gt_in_topk"],
            strict=True,
        ):
            if not inside or len(mine) < 2:
                break
            prefix += [label, *mine]
        assert RELEASED[name]["extended_labels"][: len(prefix)] == prefix
        compared += len(prefix)
    assert compared > 30


@st.composite
def batches(draw):
    classes = draw(st.integers(2, 9))
    size = draw(st.integers(1, 6))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size))
    values = draw(
        st.lists(
            st.lists(st.integers(0, 5), min_size=classes, max_size=classes),  # many ties
            min_size=size,
            max_size=size,
        )
    )
    return torch.tensor(values, dtype=torch.float32), torch.tensor(labels), draw(st.integers(2, 12))


def slow_walk(similarities, labels, k, refill):
    """The rule, word by word."""
    taken, result = set(labels.tolist()), []
    for row, label in zip(similarities.tolist(), labels.tolist(), strict=True):
        others = [c for c in range(len(row)) if c != label]
        others.sort(key=lambda c: (-row[c], c))
        mine = []
        for place, candidate in enumerate(others):
            if len(mine) == k - 1 or (not refill and place == k - 1):
                break
            if candidate not in taken:
                mine.append(candidate)
                taken.add(candidate)
        result.append(mine)
    return result


@given(batch=batches(), refill=st.booleans())
@settings(deadline=None, max_examples=200)
def test_against_the_slow_walk_and_its_properties(batch, refill):
    similarities, labels, k = batch
    negatives = lists(similarities, labels, k, refill)
    assert negatives == slow_walk(similarities, labels, k, refill)
    flat = [candidate for mine in negatives for candidate in mine]
    assert len(flat) == len(set(flat))  # a class once in the whole batch
    assert not set(flat) & set(labels.tolist())  # no ground truth is a negative
    classes = similarities.shape[1]
    for row, mine in zip(similarities, negatives, strict=True):
        assert len(mine) <= min(k, classes) - 1
        values = [float(row[candidate]) for candidate in mine]
        assert values == sorted(values, reverse=True)
    if refill:
        left = classes - len(set(labels.tolist()))
        assert len(flat) == min(left, len(labels) * (k - 1))


@given(batch=batches())
@settings(deadline=None, max_examples=50)
def test_a_short_ranking_is_enough_without_refill(batch):
    similarities, labels, k = batch
    short = rank(similarities, labels)[:, : k - 1]
    assert hard_negatives(short, labels, k) == lists(similarities, labels, k)


def test_ties_go_to_the_lower_class():
    labels = torch.tensor([2])
    assert lists(torch.zeros(1, 5), labels, 4) == [[0, 1, 3]]


def test_a_batch_that_holds_every_class_has_no_negatives():
    labels = torch.arange(3)
    assert lists(torch.randn(3, 3), labels, 3) == [[], [], []]


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=100)
def test_drawn_images_show_the_classes_asked_for(labels, seed):
    pool = torch.tensor(labels)
    present = pool.unique()
    drawn = Pool(pool).draw(present, torch.Generator().manual_seed(seed))
    assert torch.equal(pool[drawn], present)
    again = Pool(pool).draw(present, torch.Generator().manual_seed(seed))
    assert torch.equal(drawn, again)


def test_every_image_of_a_class_is_drawn_equally_often(generator):
    pool = torch.tensor([1, 0, 1, 1, 0])
    drawn = Pool(pool).draw(torch.ones(30_000, dtype=torch.long), generator)
    counts = torch.bincount(drawn, minlength=5) / 30_000
    assert counts[[1, 4]].sum() == 0
    assert (counts[[0, 2, 3]] - 1 / 3).abs().max() < 0.02


@pytest.mark.parametrize("missing", [2, 7])
def test_a_class_without_images_is_named(missing, generator):
    pool = Pool(torch.tensor([0, 1, 3]))
    with pytest.raises(DpcError, match=f"class {missing} has no image"):
        pool.draw(torch.tensor([0, missing]), generator)
