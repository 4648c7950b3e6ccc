"""The contrastive loss: by hand, in closed form, and against the published formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dpc.collaboration.loss import contrastive_loss


def test_three_pairs_by_hand():
    """Unit features in the plane, scale 2: S = 2·[[1, 0, c], [0, 1, c], [c, c, 1]], c = 1/√2."""
    c = 1 / math.sqrt(2)
    features = torch.tensor([[3.0, 0.0], [0.0, 0.5], [2.0, 2.0]])  # lengths must not matter
    got = contrastive_loss(features, features * 7, torch.arange(3), torch.tensor(2.0))
    corner = math.log(math.exp(2) + math.exp(0) + math.exp(2 * c)) - 2
    middle = math.log(2 * math.exp(2 * c) + math.exp(2)) - 2
    assert float(got) == pytest.approx((2 * corner + middle) / 3, rel=1e-6)


def random_case(seed, n, classes):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.cat([torch.arange(classes), torch.randint(0, classes, (n,), generator=generator)])
    images = torch.randn(len(rows), 5, generator=generator, dtype=torch.float64)
    texts = torch.randn(classes, 5, generator=generator, dtype=torch.float64)
    return images.requires_grad_(), texts.requires_grad_(), rows


def closed_form(images, texts, rows, scale):
    """Sums over pairs, one by one."""
    scores = [[scale * float(F.cosine_similarity(i, t, dim=0)) for t in texts] for i in images]
    forward = [math.log(sum(map(math.exp, s))) - s[r] for s, r in zip(scores, rows, strict=True)]
    backward = []
    for label in range(len(texts)):
        column = [row[label] for row in scores]
        total = math.log(sum(map(math.exp, column)))
        mine = [total - value for value, r in zip(column, rows, strict=True) if r == label]
        backward.append(sum(mine) / len(mine))
    return (sum(forward) / len(forward) + sum(backward) / len(backward)) / 2


@given(seed=st.integers(0, 10**6), n=st.integers(0, 6), classes=st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_against_the_closed_form_with_repeated_classes(seed, n, classes):
    images, texts, rows = random_case(seed, n, classes)
    got = contrastive_loss(images, texts, rows, torch.tensor(4.0, dtype=torch.float64))
    expected = closed_form(images.detach(), texts.detach(), rows.tolist(), 4.0)
    assert got.item() == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_one_image_a_class_is_the_published_loss_and_gradient(seed, classes):
    images, texts, _ = random_case(seed, 0, classes)
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(seed))
    scale = torch.tensor(4.0, dtype=torch.float64)
    ours = contrastive_loss(images, texts, order, scale)
    scores = scale * F.normalize(images, dim=-1) @ F.normalize(texts[order], dim=-1).T
    diagonal = torch.arange(classes)
    published = (F.cross_entropy(scores, diagonal) + F.cross_entropy(scores.T, diagonal)) / 2
    torch.testing.assert_close(ours, published)
    for a, b in zip(
        torch.autograd.grad(ours, [images, texts], retain_graph=True),
        torch.autograd.grad(published, [images, texts]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), classes=st.integers(2, 5))
@settings(deadline=None, max_examples=40)
def test_the_order_of_pairs_does_not_matter(seed, n, classes):
    images, texts, rows = random_case(seed, n, classes)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    scale = torch.tensor(4.0, dtype=torch.float64)
    one = contrastive_loss(images, texts, rows, scale)
    two = contrastive_loss(images[order], texts, rows[order], scale)
    torch.testing.assert_close(one, two)
