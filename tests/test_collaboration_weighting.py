"""Weighting-Decoupling: arithmetic on states."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Projected, Toy

from dpc.collaboration.weighting import mix, mixed_backbone, unmix

WEIGHTS = [0.0, 1e-6, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.2]


def states(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"context": (4, 8), "deep.0": (2, 8)}
    return [
        {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for _ in range(2)
    ]


@given(seed=st.integers(0, 10**6), weight=st.floats(0, 1.2))
@settings(deadline=None, max_examples=50)
def test_a_mix_is_the_formula(seed, weight):
    tuned, parallel = states(seed)
    got = mix(tuned, parallel, weight)
    for name in tuned:
        expected = weight * parallel[name].double() + (1 - weight) * tuned[name].double()
        torch.testing.assert_close(got[name].double(), expected, rtol=1e-5, atol=1e-6)


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_a_mix_is_exact_at_both_ends(seed):
    tuned, parallel = states(seed)
    for name in tuned:
        assert torch.equal(mix(tuned, parallel, 0)[name], tuned[name])
        assert torch.equal(mix(tuned, parallel, 1)[name], parallel[name])


@pytest.mark.parametrize("weight", [w for w in WEIGHTS if w >= 0.1])
def test_unmix_takes_a_mix_back(weight):
    tuned, parallel = states(3)
    back = unmix(mix(tuned, parallel, weight), tuned, weight)
    for name in tuned:
        torch.testing.assert_close(back[name], parallel[name], rtol=0, atol=1e-6 / weight)


def test_weight_zero_cannot_be_unmixed():
    tuned, parallel = states(3)
    with pytest.raises(ValueError, match="nothing of the parallel"):
        unmix(mix(tuned, parallel, 0.0), tuned, 0.0)


def test_states_that_do_not_fit_are_refused():
    tuned, parallel = states(3)
    with pytest.raises(ValueError, match=r"deep\.0"):
        mix(tuned, {"context": parallel["context"]}, 0.2)
    with pytest.raises(ValueError, match=r"\(4, 8\) and \(3, 8\)"):
        mix(tuned, {**parallel, "context": torch.zeros(3, 8)}, 0.2)


def test_counters_mix_only_where_they_are_equal():
    tuned = {"norm.num_batches_tracked": torch.tensor(7)}
    assert mix(tuned, {"norm.num_batches_tracked": torch.tensor(7)}, 0.2) == tuned
    with pytest.raises(ValueError, match="num_batches_tracked"):
        mix(tuned, {"norm.num_batches_tracked": torch.tensor(8)}, 0.2)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("kind", [Toy, Projected])
def test_a_mixed_backbone_is_frozen_and_its_sources_untouched(student, kind, weight):
    one = kind.from_clip(student, None, torch.Generator().manual_seed(1))
    two = kind.from_clip(student, None, torch.Generator().manual_seed(2))
    before = [copy.deepcopy(backbone.state_dict()) for backbone in (one, two)]
    mixed = mixed_backbone(one, two, weight)
    assert not any(value.requires_grad for value in mixed.parameters())
    assert not mixed.training
    for backbone, state in zip((one, two), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())
    expected = mix(one.state_dict(), two.state_dict(), weight)
    assert all(torch.equal(value, expected[name]) for name, value in mixed.state_dict().items())
    assert not {v.data_ptr() for v in mixed.parameters()} & {v.data_ptr() for v in one.parameters()}
