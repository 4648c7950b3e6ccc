"""Stage one: it learns, it can be resumed to the bit, and it takes any backbone."""

import copy

import pytest
import torch
from golden_data import facts
from toys import ImageBank, Projected, Toy

from dpc.backbones import resolve
from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.backbones.zero_shot import ZeroShot
from dpc.clip.features import encode_images, encode_texts
from dpc.clip.views import FrozenBank, Views, join

NAMES = facts("coop")["classes"]
RECIPE = Recipe(lr=0.01, epochs=4, batch=5)


@pytest.fixture(scope="module")
def bank(student):
    """23 images, 3 views each, with pixels."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(23, 3, 3, 32, 32, generator=generator)
    features = student.encode_image(images.flatten(0, 1)).reshape(23, 3, -1)
    return ImageBank(features, images, torch.randint(0, 6, (23,), generator=generator))


def start(kind, student):
    return kind.from_clip(student, kind.Params(), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [CoOp, Toy, Projected])
def test_tuning_lowers_the_loss(student, bank, kind):
    backbone = start(kind, student)
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    before = copy.deepcopy(backbone.state_dict())
    history = tune(task, backbone, bank, RECIPE, seed=1)
    assert len(history["classification"]) == 4
    assert history["classification"][-1] < history["classification"][0]
    assert any(not torch.equal(before[n], v) for n, v in backbone.state_dict().items())
    assert not backbone.training
    if kind is Projected:
        assert history.keys() == {"classification", "distance"}


@pytest.mark.parametrize("kind", [CoOp, Toy, Projected])
def test_a_resumed_run_is_the_unbroken_run_to_the_bit(student, bank, kind):
    whole = start(kind, student)
    task = make_task(student, whole, NAMES, "a photo of a {}.")
    progress = []
    history = tune(task, whole, bank, RECIPE, seed=1, on_epoch=progress.append)
    assert [step.epoch for step in progress] == [1, 2, 3, 4]
    for step in progress:
        broken = start(kind, student)
        assert tune(task, broken, bank, RECIPE, seed=1, resume=step) == history
        for name, value in whole.state_dict().items():
            assert torch.equal(value, broken.state_dict()[name]), (step.epoch, name)


def test_seeds_decide_and_runs_repeat(student, bank):
    task = make_task(student, start(CoOp, student), NAMES, "a photo of a {}.")

    def run(seed):
        backbone = start(CoOp, student)
        tune(task, backbone, bank, RECIPE, seed)
        return backbone.context.detach()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_every_epoch_shows_its_view(student, bank):
    seen = []

    class Watching:
        labels = bank.labels

        def views(self, indices, view):
            seen.append(view)
            return bank.views(indices, view)

    backbone = start(CoOp, student)
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    tune(task, backbone, Watching(), RECIPE, seed=1)
    assert sorted(set(seen)) == [0, 1, 2, 3]
    assert torch.equal(bank.views(torch.tensor([4]), 3).frozen, bank.features[4, 0][None])


def test_zero_shot_has_nothing_to_tune(student, bank):
    backbone = ZeroShot()
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    assert tune(task, backbone, bank, RECIPE, seed=1) == {}
    texts = backbone.text_features(task)
    assert torch.equal(texts, encode_texts(student, task.tokens))
    assert resolve("zero_shot") is ZeroShot


def test_features_of_batches_are_those_of_all_images(student, bank):
    images = bank.images.flatten(0, 1)
    together = encode_images(student, [images])
    apart = encode_images(student, images.split(7))
    torch.testing.assert_close(apart, together, rtol=1e-5, atol=1e-5)
    assert not together.requires_grad
    with pytest.raises(ValueError, match="no images"):
        encode_images(student, [])


def test_a_bank_of_features():
    features = torch.arange(24.0).reshape(3, 2, 4)
    bank = FrozenBank(features, torch.tensor([0, 1, 0]))
    assert torch.equal(bank.views(torch.tensor([2, 0]), 3).frozen, features[[2, 0], 1])
    with pytest.raises(ValueError, match="views"):
        FrozenBank(torch.zeros(3, 4), torch.tensor([0, 1, 0]))
    with pytest.raises(ValueError, match="views"):
        FrozenBank(features, torch.tensor([0, 1]))


def test_joined_views_keep_their_pixels():
    one = Views(torch.zeros(2, 3), torch.zeros(2, 3, 4, 4))
    two = Views(torch.ones(1, 3), torch.ones(1, 3, 4, 4))
    both = join(one, two, torch.tensor([0, 2, 1]))
    assert both.frozen[:, 0].tolist() == [0, 1, 0]
    assert both.images[:, 0, 0, 0].tolist() == [0, 1, 0]
    assert join(one, Views(torch.ones(1, 3)), torch.tensor([2, 0])).images is None
