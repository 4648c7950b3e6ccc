"""PromptKD against the official class: teacher, features, distillation, gradient, updates."""

import re
from functools import cache

import pytest
import torch
from golden_data import BACKWARD, FORWARD, assert_close, facts, load_golden_clip, tensors
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.backbones.base import Backbone, Task, Teacher, make_task
from dpc.backbones.promptkd import PromptKD, make_projector
from dpc.clip.model import logits
from dpc.clip.views import Views
from dpc.training import sgd, train

GOLDEN, SETTINGS = tensors("promptkd"), facts("promptkd")
CASES = [name for name, value in SETTINGS.items() if isinstance(value, dict)]
UPDATES = 1e-4  # BatchNorm over a few images magnifies rounding
# Its gradient is zero but for rounding: BatchNorm takes the mean out.
SILENT = "projector.0.bias"


def ours(official: str) -> str:
    """Our name of a learned tensor or statistic of the official checkpoint."""
    name = official.removeprefix("prompt_learner.")
    name = name.replace("VPT_image_trans.conv1.", "projector.")
    if name in ("ctx", "image_encoder.VPT"):
        return {"ctx": "text.0"}.get(name, "image.0")
    return re.sub(
        r"^(text|image)_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow$", r"\1.\2", name
    )


def state(golden: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under ``prefix`` by our names; a 1×1 convolution is a linear layer."""
    return {
        ours(name.removeprefix(prefix)): value.flatten(1) if value.ndim == 4 else value
        for name, value in golden.items()
        if re.match(re.escape(prefix) + r"(image_enc|text_enc|VPT_|prompt_l)", name)
    }


def layers(found: dict[str, Tensor], tower: str) -> list[Tensor]:
    """The prompts of a tower in the order of its layers."""
    names = [name for name in found if name.startswith(f"{tower}.")]
    return [found[name] for name in sorted(names, key=lambda name: int(name.split(".")[1]))]


def assert_state(
    group: str, got: dict[str, Tensor], expected: dict[str, Tensor], bound: float
) -> None:
    """All ``expected`` tensors; the silent bias against the scale of its layer's weight."""
    assert expected
    for name, value in expected.items():
        if name == SILENT and "gradient" in group:
            largest = expected["projector.0.weight"].abs().max()
            assert (got[name] - value).abs().max() <= 1e-4 * largest
        elif value.is_floating_point():
            assert_close(f"{group} {name.rstrip('0123456789')}", got[name], value, bound)
        else:
            assert torch.equal(got[name], value), name


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad for name, value in module.named_parameters() if value.grad is not None}


@cache
def teacher_clip():
    return load_golden_clip("clip_teacher")


@cache
def teacher_prompts() -> dict[str, Tensor]:
    return state(GOLDEN, "teacher.")


@cache
def golden_teacher() -> Teacher:
    return Teacher(
        GOLDEN["teacher.text_features"],
        teacher_clip().logit_scale,
        tuple(layers(teacher_prompts(), "text")),
        GOLDEN["teacher.tokens"],
        teacher_clip,
    )


def started(init: dict[str, Tensor], **settings: float) -> PromptKD:
    """A backbone whose shapes and values are those of ``init``."""
    weight = init["projector.0.weight"]
    projector = make_projector(weight.shape[1], weight.shape[0], torch.Generator())
    text = layers(init, "text")
    backbone = PromptKD(layers(init, "image"), projector, text, **settings)
    backbone.load_state_dict(init)
    return backbone


def task_of(clip, backbone: Backbone) -> Task:
    return make_task(clip, backbone, SETTINGS["classes"], "a photo of a {}.", golden_teacher())


@pytest.fixture(params=CASES)
def case(request, student):
    """(settings, golden tensors of the case, backbone at its start, task, views)."""
    settings, prefix = SETTINGS[request.param], f"{request.param}."
    golden = {
        name.removeprefix(prefix): value
        for name, value in GOLDEN.items()
        if name.startswith(prefix)
    }
    backbone = started(
        state(golden, "init."),
        kd_weight=settings["kd_weight"],
        temperature=settings["temperature"],
    )
    views = Views(images=GOLDEN["images"], teacher=GOLDEN["teacher.image_features"])
    return settings, golden, backbone, task_of(student, backbone), views


def test_the_teacher_is_found_again():
    clip, prompts = teacher_clip(), teacher_prompts()
    names = [f"a photo of a {name.replace('_', ' ')}." for name in SETTINGS["classes"]]
    assert torch.equal(clip.tokenize(names), GOLDEN["teacher.tokens"])
    assert float(clip.logit_scale) == pytest.approx(facts("clip_teacher")["scale"])
    texts = F.normalize(clip.encode_text(GOLDEN["teacher.tokens"], layers(prompts, "text")), dim=-1)
    images = F.normalize(clip.encode_image(GOLDEN["images"], layers(prompts, "image")), dim=-1)
    assert_close("teacher text features", texts, GOLDEN["teacher.text_features"], FORWARD)
    assert_close("teacher image features", images, GOLDEN["teacher.image_features"], FORWARD)
    scores = logits(clip.logit_scale, images, texts)
    assert_close("teacher logits", scores, GOLDEN["teacher.logits"], FORWARD)
    cached = GOLDEN["teacher.image_features"], GOLDEN["teacher.text_features"]
    assert_close(
        "teacher logits, cached",
        logits(clip.logit_scale, *cached),
        GOLDEN["teacher.logits"],
        FORWARD,
    )


def test_learned_tensors_are_those_of_the_checkpoint(case):
    settings, _, backbone, _, _ = case
    learned = {name for name, _ in backbone.named_parameters()}
    assert learned == {ours(name) for name in settings["learned"]}
    assert [len(prompt) for prompt in backbone.prompts().image] == [
        settings["n_ctx_visual"]
    ] * settings["depth_visual"]
    norm = backbone.projector[1]
    assert (norm.eps, norm.momentum) == (settings["bn_eps"], settings["bn_momentum"])


def test_features_and_logits(case, student):
    _, golden, backbone, task, views = case
    raw = student.encode_image(views.images, backbone.prompts().image)
    assert_close("promptkd encoder", raw, golden["eval.encoder_features_raw"], FORWARD)
    texts = backbone.text_features(task)
    for mode in ("eval", "train"):
        images = backbone.train(mode == "train").image_features(student, views)
        found = F.normalize(images, dim=-1)
        assert_close(f"promptkd {mode} features", found, golden[f"{mode}.image_features"], FORWARD)
        scores = logits(student.logit_scale, images, texts)
        assert_close(f"promptkd {mode} logits", scores, golden[f"{mode}.logits"], FORWARD)


def test_loss_and_gradient(case):
    settings, golden, backbone, task, views = case
    losses = backbone.train().losses(task, views, torch.zeros(len(views.images)).long())
    assert losses.keys() == {"distillation"}
    loss = losses["distillation"]
    assert_close("promptkd loss", loss.double(), golden["losses"][0], FORWARD)
    assert float(golden["losses"][0]) == pytest.approx(settings["losses"][0])
    plain = loss / settings["kd_weight"]
    assert_close("promptkd loss, unweighted", plain, golden["loss.kd_unweighted"], FORWARD)
    loss.backward()
    expected = state(golden, "grad.")
    assert expected.keys() == {name for name, _ in backbone.named_parameters()}
    assert_state("promptkd gradient", gradients(backbone), expected, BACKWARD)


def test_three_steps_of_the_training_loop(case, student):
    settings, golden, backbone, task, views = case
    states, losses = [], []

    def on_epoch(epoch, means):
        states.append({n: v.detach().clone() for n, v in backbone.state_dict().items()})
        losses.append(means["distillation"])

    train(
        backbone,
        lambda epoch: [(views, torch.zeros(len(views.images)).long())],
        lambda *batch: backbone.losses(task, *batch),
        sgd(backbone.parameters(), settings["momentum"], settings["weight_decay"]),
        [settings["lr"]] * 3,
        on_epoch,
    )
    for step, found in enumerate(states, start=1):
        expected = state(golden, f"step{step}.")
        if expected:
            assert_state("promptkd after 1-3 steps", found, expected, UPDATES)
    found = torch.tensor(losses, dtype=torch.float64)
    assert_close("promptkd losses of 3 steps", found, golden["losses"], UPDATES)
    images = backbone.eval().image_features(student, views)
    expected = golden["step3.eval.image_features"]
    assert_close("promptkd features after 3", F.normalize(images, dim=-1), expected, UPDATES)
    scores = logits(student.logit_scale, images, backbone.text_features(task))
    assert_close("promptkd logits after 3", scores, golden["step3.eval.logits"], UPDATES)
