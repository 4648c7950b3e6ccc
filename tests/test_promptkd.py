"""PromptKD beside its golden numbers: its start, its promises and stage one, in both readings."""

import copy
import dataclasses
from functools import cache

import pytest
import torch
from golden_data import load_student
from test_promptkd_golden import SETTINGS, golden_teacher, teacher_clip
from torch.nn import functional as F

from dpc.backbones import resolve
from dpc.backbones.base import Teacher, make_task
from dpc.backbones.promptkd import PromptKD, PromptKDParams, make_projector
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.clip.views import Views
from dpc.errors import DpcError

NAMES = SETTINGS["classes"]
TEMPLATE = "a photo of a {}."
READINGS = ["image", "text"]
PARAMS = PromptKDParams(length=2, depth=3)
STAGE_ONE = Recipe(lr=0.0005, epochs=4, batch=6)


class Bank:
    """Images of 2 views, and what a teacher says of them."""

    def __init__(self, images, teacher, labels):
        self.images, self.teacher, self.labels = images, teacher, labels
        self.count = images.shape[1]

    def views(self, indices, view):
        place = view % self.images.shape[1]
        teacher = None if self.teacher is None else self.teacher[indices, place]
        return Views(images=self.images[indices, place], teacher=teacher)


@cache
def make_bank():
    """18 images of all six classes; the teacher's features lean to their classes."""
    generator = torch.Generator().manual_seed(8)
    labels = torch.arange(18) % 6
    images = torch.randn(18, 2, 3, 32, 32, generator=generator)
    features = golden_teacher().text_features[labels][:, None]
    noise = 0.1 * torch.randn(18, 2, features.shape[-1], generator=generator)
    return Bank(images, features + noise, labels)


@pytest.fixture()
def bank():
    return make_bank()


def part(teacher, classes):
    """The teacher as it comes with a task of some classes."""
    return dataclasses.replace(
        teacher, text_features=teacher.text_features[classes], tokens=teacher.tokens[classes]
    )


def task_of(student, backbone, classes=range(6)):
    classes = list(classes)
    names = [NAMES[c] for c in classes]
    return make_task(student, backbone, names, TEMPLATE, part(golden_teacher(), classes))


def start(student, dual="image", seed=0, **changes):
    params = dataclasses.replace(PARAMS, dual=dual, **changes)
    generator = torch.Generator().manual_seed(seed)
    return PromptKD.from_teacher(student, golden_teacher(), params, generator)


def state_of(backbone):
    return copy.deepcopy(backbone.state_dict())


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_it_starts_as_published_and_from_its_generator_alone(student):
    golden_teacher()
    before = torch.random.get_rng_state()
    backbone = start(student, length=50)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not changed(backbone.state_dict(), start(student, length=50).state_dict())
    assert changed(backbone.state_dict(), start(student, length=50, seed=1).state_dict())
    image = torch.stack(backbone.prompts().image)
    assert image.shape == (3, 50, student.image_width)
    assert abs(image.std().item() / 0.02 - 1) < 0.02
    assert backbone.prompts().text == []
    first, last = backbone.projector[0], backbone.projector[3]
    assert first.weight.shape == (48, 32) and last.weight.shape == (48, 48)
    for layer, fan_in in ((first, 32), (last, 48)):
        assert 0.95 < layer.weight.abs().max() * fan_in**0.5 <= 1
        assert 0.7 < layer.bias.abs().max() * fan_in**0.5 <= 1


def test_its_traits(student):
    kind = resolve("promptkd")
    assert kind is PromptKD
    assert (kind.label, kind.transductive, kind.needs_teacher) == ("PromptKD", True, True)
    assert kind.kept_losses == ()
    assert start(student).needs_images
    assert start(student).parallel_parameters() == ["image.0", "image.1", "image.2"]
    assert start(student, "text").parallel_parameters() == ["text.0"]


@pytest.mark.parametrize("dual", READINGS)
def test_state_dict_is_the_whole_backbone(student, bank, dual):
    backbone = start(student, dual)
    task, views = task_of(student, backbone), bank.views(torch.arange(5), 0)
    backbone.train().image_features(student, views)  # moves the statistics
    other = start(student, dual, seed=9)
    other.load_state_dict(state_of(backbone))
    backbone.eval(), other.eval()
    assert torch.equal(backbone.text_features(task), other.text_features(task))
    pair = [b.image_features(student, views) for b in (backbone, other)]
    assert torch.equal(*pair)
    assert pair[0].shape == (5, 48)


def test_a_copy_carries_no_clip_weight(student, bank):
    backbone = start(student, "text")
    backbone.losses(task_of(student, backbone), bank.views(torch.arange(4), 0), None)
    copied = copy.deepcopy(backbone)
    assert sum(value.numel() for value in copied.state_dict().values()) < 10_000
    models = (student.model, teacher_clip().model)
    theirs = {value.data_ptr() for model in models for value in model.state_dict().values()}
    assert not theirs & {value.data_ptr() for value in copied.state_dict().values()}
    prompts = {value.data_ptr() for value in golden_teacher().text_prompts}
    assert not prompts & {value.data_ptr() for value in backbone.state_dict().values()}


@pytest.mark.parametrize("dual", READINGS)
def test_gradients_of_stage_one(student, bank, dual):
    backbone = start(student, dual).train()
    loss = backbone.losses(task_of(student, backbone), bank.views(torch.arange(6), 0), None)
    sum(loss.values()).backward()
    for name, value in backbone.named_parameters():
        assert value.requires_grad
        if name.startswith("text."):
            assert value.grad is None
        else:
            assert value.grad.abs().sum() > 0, name
    for model in (student.model, teacher_clip().model):
        assert all(value.grad is None for value in model.parameters())


def test_distillation_is_the_published_formula(student, bank):
    backbone = start(student, temperature=2.0, kd_weight=200.0).eval()
    task, views = task_of(student, backbone), bank.views(torch.arange(4), 1)
    teacher = task.teacher
    images = F.normalize(backbone.image_features(student, views), dim=-1)
    seen, texts = F.normalize(views.teacher, dim=-1), F.normalize(teacher.text_features, dim=-1)
    for classes in (None, torch.tensor([0, 2, 5])):
        total, chosen = 0.0, range(6) if classes is None else classes.tolist()
        for image, known in zip(images, seen, strict=True):
            p = torch.stack([teacher.logit_scale * known @ texts[c] / 2 for c in chosen]).softmax(0)
            q = torch.stack([student.logit_scale * image @ texts[c] / 2 for c in chosen]).softmax(0)
            total = total + (p * (p / q).log()).sum()
        expected = 200.0 * 2.0**2 * total / (4 * len(chosen))
        got = backbone.losses(task, views, torch.zeros(4).long(), classes)
        assert got.keys() == {"distillation"}
        torch.testing.assert_close(got["distillation"], expected, rtol=1e-4, atol=1e-6)
        raw = backbone.image_features(student, views)
        beside = backbone.regularizers(task, views, raw, backbone.text_features(task), classes)
        assert torch.equal(beside["distillation"], got["distillation"])


@pytest.mark.parametrize("dual", READINGS)
def test_features_of_a_class_do_not_depend_on_the_others(student, dual):
    backbone = start(student, dual)
    task, rows = task_of(student, backbone), torch.tensor([4, 1])
    texts, some = backbone.text_features(task), backbone.text_features(task, rows)
    torch.testing.assert_close(some, texts[rows], rtol=1e-5, atol=1e-5)
    found, expected = F.normalize(texts, dim=-1), golden_teacher().text_features
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_projector_is_fp32_whatever_the_tower(bank):
    student = load_student(precision="bf16")
    backbone = start(student).eval()
    views = bank.views(torch.arange(3), 0)
    raw = student.encode_image(views.images, backbone.prompts().image)
    found = backbone.image_features(student, views)
    assert found.dtype == torch.float32
    assert torch.equal(found, backbone.projector(raw.float()))
    exact = copy.deepcopy(backbone.projector).double()(raw.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dual", READINGS)
def test_stage_one_learns_and_runs_no_teacher(student, bank, dual):
    def refuse():
        raise AssertionError("stage one needs the teacher's features only")

    whole = start(student, dual, kd_weight=20.0)
    task = task_of(student, whole)
    task = dataclasses.replace(task, teacher=dataclasses.replace(task.teacher, load=refuse))
    before, progress = state_of(whole), []
    history = tune(task, whole, bank, STAGE_ONE, seed=1, on_epoch=progress.append)
    assert history.keys() == {"distillation"}
    assert history["distillation"][-1] < history["distillation"][0]
    untouched = before.keys() - changed(before, whole.state_dict())
    assert untouched == {name for name in before if name.startswith("text.")}
    for step in progress:
        broken = start(student, dual, kd_weight=20.0)
        assert tune(task, broken, bank, STAGE_ONE, seed=1, resume=step) == history
        assert not changed(whole.state_dict(), broken.state_dict())


def test_what_it_refuses_is_one_line(student):
    nothing = Teacher(torch.randn(6, 48), torch.tensor(1.0))
    generator = torch.Generator()
    cases = [
        (lambda: PromptKD.from_clip(student, PARAMS, generator), "got none"),
        (
            lambda: PromptKD.from_teacher(student, nothing, PromptKDParams(), generator),
            "depth is 9 and this CLIP has 4 image layers",
        ),
        (
            lambda: PromptKD.from_teacher(
                student, nothing, dataclasses.replace(PARAMS, dual="text"), generator
            ),
            "learned no text prompts",
        ),
    ]
    for call, words in cases:
        with pytest.raises(DpcError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_task_or_images_without_the_teacher(student, bank):
    backbone, with_text = start(student), start(student, "text")
    task, views = task_of(student, backbone), bank.views(torch.arange(3), 0)
    alone = dataclasses.replace(task, teacher=None)
    with pytest.raises(ValueError, match="the task has none"):
        backbone.text_features(alone)
    with pytest.raises(ValueError, match="got none"):
        backbone.losses(task, Views(images=views.images), None)
    unloadable = dataclasses.replace(task.teacher, load=None)
    with pytest.raises(ValueError, match="no such tower"):
        with_text.text_features(dataclasses.replace(task, teacher=unloadable))


def test_a_projector_is_made_of_default_layers():
    kinds = [type(layer).__name__ for layer in make_projector(3, 5, torch.Generator())]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
