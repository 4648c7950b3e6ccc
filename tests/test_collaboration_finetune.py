"""Stage two, end to end, with CoOp and with backbones that know nothing of DPC."""

import copy
import dataclasses

import pytest
import torch
from golden_data import facts
from test_tuning import start
from toys import ImageBank, Projected, Toy

from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.backbones.zero_shot import ZeroShot
from dpc.clip.model import similarity
from dpc.clip.views import Views
from dpc.collaboration.extended import DRAW_STREAM
from dpc.collaboration.finetune import finetune
from dpc.collaboration.negatives import Pool, extend, hard_negatives, rank
from dpc.collaboration.recipe import Finetuning
from dpc.errors import DpcError
from dpc.training import epoch_generator, sgd, shuffled_batches, train, warmup_cosine

NAMES = facts("coop")["classes"]
RECIPE = Finetuning(lr=0.01, epochs=3, batch=3, k=3)
KINDS = [CoOp, Toy, Projected]


@pytest.fixture(scope="module")
def bank(student):
    """19 images, 2 views each, with pixels; every class has some."""
    generator = torch.Generator().manual_seed(6)
    images = torch.randn(19, 2, 3, 32, 32, generator=generator)
    features = student.encode_image(images.flatten(0, 1)).reshape(19, 2, -1)
    return ImageBank(features, images, torch.arange(19) % 6)


@pytest.fixture(scope="module")
def tuned_of(student, bank):
    """kind -> (task, tuned backbone), tuned once."""
    made = {}

    def get(kind):
        if kind not in made:
            backbone = start(kind, student)
            task = make_task(student, backbone, NAMES, "a photo of a {}.")
            tune(task, backbone, bank, Recipe(lr=0.01, epochs=2, batch=4), seed=1)
            made[kind] = task, backbone
        return made[kind]

    return get


def state_of(backbone):
    return copy.deepcopy(backbone.state_dict())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(v, other[n]) for n, v in one.items())


@pytest.mark.parametrize("objective", ["contrastive", "cross_entropy"])
@pytest.mark.parametrize("parametrization", ["parallel", "mixed", "released"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_backbone_goes_through(bank, tuned_of, kind, parametrization, objective):
    task, tuned = tuned_of(kind)
    before, training = state_of(tuned), tuned.training
    recipe = dataclasses.replace(
        RECIPE, parametrization=parametrization, objective=objective, weight=0.5, lr=0.002
    )
    parallel, statistics = finetune(task, tuned, bank, recipe, seed=1)
    assert same(tuned.state_dict(), before)
    assert tuned.training == training
    assert type(parallel) is type(tuned)
    assert parallel.state_dict().keys() == before.keys()
    names = set(tuned.parallel_parameters())
    for name, value in parallel.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in names), name
    assert not parallel.training
    assert statistics.steps == 18
    (history,) = statistics.history.values()
    assert len(history) == 3 and history[-1] < history[0]
    if objective == "contrastive":
        assert 3 <= statistics.pairs_per_step <= 6
        assert statistics.images_seen == round(statistics.pairs_per_step * 18)
    else:
        assert statistics.pairs_per_step is None
        assert statistics.images_seen == 54


@pytest.mark.parametrize("parametrization", ["parallel", "mixed", "released"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_unbroken_run_to_the_bit(bank, tuned_of, kind, parametrization):
    task, tuned = tuned_of(kind)
    recipe = dataclasses.replace(RECIPE, parametrization=parametrization, lr=0.002)
    progress = []
    whole, statistics = finetune(task, tuned, bank, recipe, seed=1, on_epoch=progress.append)
    for step in progress:
        broken, again = finetune(task, tuned, bank, recipe, seed=1, resume=step)
        assert same(whole.state_dict(), broken.state_dict())
        assert again == statistics


@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize("kind", [CoOp, Toy])
def test_against_the_obvious_stage_two(bank, tuned_of, slow_student, kind, refill):
    """No shortcut: full context, all classes encoded and then picked, negatives batch by batch."""
    task, tuned = tuned_of(kind)
    recipe = dataclasses.replace(RECIPE, refill=refill, k=4)
    got, statistics = finetune(task, tuned, bank, recipe, seed=3)
    slow = dataclasses.replace(task, clip=slow_student)
    parallel, clip = copy.deepcopy(tuned), slow.clip
    order, pool, sizes = shuffled_batches(19, 3, 3), Pool(bank.labels), []

    def batches(epoch):
        generator = epoch_generator(3 ^ DRAW_STREAM, epoch)
        for index in order(epoch):
            with torch.no_grad():
                images = tuned.image_features(clip, bank.views(index, epoch))
                scores = similarity(images, tuned.text_features(slow))
            labels = bank.labels[index]
            negatives = hard_negatives(rank(scores, labels), labels, 4, refill)
            rows = extend(labels, negatives)
            drawn = iter(pool.draw(rows.labels[~rows.own], generator).tolist())
            own = iter(index.tolist())
            place = torch.tensor([next(own) if mine else next(drawn) for mine in rows.own])
            assert torch.equal(bank.labels[place], rows.labels)
            sizes.append(len(place))
            yield bank.views(place, epoch), rows.labels

    def objective(views, labels):
        images = parallel.image_features(clip, views)
        scores = clip.logit_scale * similarity(images, parallel.text_features(slow))
        present = sorted(set(labels.tolist()))
        columns = torch.tensor([present.index(int(y)) for y in labels])
        chances = scores[:, present].log_softmax(1)
        forward = torch.stack([-row[y] for row, y in zip(chances, columns, strict=True)])
        backward = torch.stack([-scores[:, y].log_softmax(0)[labels == y].mean() for y in present])
        return {"contrastive": (forward.mean() + backward.mean()) / 2}

    rates = warmup_cosine(recipe.lr, recipe.epochs)
    train(parallel, batches, objective, sgd(parallel.parameters()), rates)
    for name, value in got.state_dict().items():
        torch.testing.assert_close(value, parallel.state_dict()[name], rtol=1e-4, atol=1e-6)
    assert statistics.pairs_per_step == pytest.approx(sum(sizes) / len(sizes))


def test_only_the_classes_of_the_batch_are_encoded(bank, tuned_of, monkeypatch):
    task, tuned = tuned_of(CoOp)
    sizes = []
    plain = CoOp.text_features

    def counting(self, task, classes=None):
        sizes.append(len(task.tokens) if classes is None else len(classes))
        return plain(self, task, classes)

    monkeypatch.setattr(CoOp, "text_features", counting)
    finetune(task, tuned, bank, dataclasses.replace(RECIPE, batch=2, k=2, epochs=1), seed=1)
    assert sizes[0] == 6  # P, once
    assert len(sizes) == 1 + 9
    assert max(sizes[1:]) <= 4


def test_negatives_may_come_from_a_larger_pool(bank, tuned_of, student):
    task, tuned = tuned_of(CoOp)
    asked = []

    class Larger:
        labels = torch.arange(60) % 6

        def views(self, indices, view):
            asked.append((indices, view))
            return Views(torch.randn(len(indices), 32, generator=torch.Generator().manual_seed(0)))

    finetune(task, tuned, bank, RECIPE, seed=1, pool=Larger())
    assert any(int(indices.max()) >= 19 for indices, _ in asked if len(indices))
    assert {view for _, view in asked} == {0, 1, 2}


def test_losses_of_the_backbone_run_beside(bank, tuned_of):
    task, tuned = tuned_of(Projected)
    recipe = dataclasses.replace(RECIPE, keep_losses=("distance",))
    _, statistics = finetune(task, tuned, bank, recipe, seed=1)
    assert statistics.history.keys() == {"contrastive", "distance"}
    with pytest.raises(DpcError, match="'distant': this backbone has distance"):
        wrong = dataclasses.replace(RECIPE, keep_losses=("distant",))
        finetune(task, tuned, bank, wrong, seed=1)


def test_batch_norm_keeps_the_statistics_of_stage_one(bank, tuned_of):
    task, tuned = tuned_of(Projected)
    tuned = copy.deepcopy(tuned).train()  # as it may come from anywhere
    before = state_of(tuned)
    parallel, _ = finetune(task, tuned, bank, RECIPE, seed=1)
    for name in ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked"):
        assert torch.equal(parallel.state_dict()[name], before[name])
    assert same(tuned.state_dict(), before)
    assert not any(module._forward_pre_hooks for module in parallel.modules())
    from_eval_mode, _ = finetune(task, tuned.eval(), bank, RECIPE, seed=1)
    assert same(from_eval_mode.state_dict(), parallel.state_dict())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parametrization": "mixed", "weight": 0.0}, "divides by ω_b"),
        ({"parametrization": "released", "weight": 0.0}, "divides by ω_b"),
        ({"parametrization": "dual"}, "allowed are parallel, mixed, released"),
        ({"objective": "triplet"}, "allowed are contrastive, cross_entropy"),
    ],
)
def test_recipes_that_cannot_be_used(bank, tuned_of, change, words):
    task, tuned = tuned_of(CoOp)
    with pytest.raises(DpcError, match=words):
        finetune(task, tuned, bank, dataclasses.replace(RECIPE, **change), seed=1)


def test_weight_zero_is_fine_where_it_does_not_enter(bank, tuned_of):
    task, tuned = tuned_of(CoOp)
    one, _ = finetune(task, tuned, bank, dataclasses.replace(RECIPE, weight=0.0), seed=1)
    two, _ = finetune(task, tuned, bank, RECIPE, seed=1)
    assert same(one.state_dict(), two.state_dict())


def test_zero_shot_has_no_prompt_to_collaborate(bank, student):
    backbone = ZeroShot()
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    with pytest.raises(DpcError, match="learns nothing"):
        finetune(task, backbone, bank, RECIPE, seed=1)


def test_a_class_without_images_is_named_before_training(bank, tuned_of):
    task, tuned = tuned_of(CoOp)

    class Poor:
        labels = bank.labels.clamp(max=4)
        views = bank.views

    with pytest.raises(DpcError, match="Bee's nest"):
        finetune(task, tuned, bank, RECIPE, seed=1, pool=Poor())
    ladder = dataclasses.replace(RECIPE, objective="cross_entropy", epochs=1)
    finetune(task, tuned, bank, ladder, seed=1, pool=Poor())
