"""PromptSRC against the official class: features, each loss, gradients, updates, the average."""

import copy
import dataclasses

import pytest
import torch
from golden_data import BACKWARD, FORWARD, assert_close, facts, tensors

from dpc.backbones import tuning
from dpc.backbones.base import make_task
from dpc.backbones.promptsrc import PromptSRC, PromptSRCParams
from dpc.backbones.recipe import Recipe
from dpc.backbones.templates import TEMPLATES
from dpc.clip.model import logits
from dpc.clip.towers import overwrite
from dpc.clip.views import FrozenBank, Views
from dpc.errors import DpcError
from dpc.training import sgd, train

FACTS, GOLDEN = facts("promptsrc"), tensors("promptsrc")
CASES = [name for name, value in FACTS.items() if "terms" in value]
WORDS = "a photo of a"
SHALLOW = PromptSRCParams(text_depth=2, image_depth=3)
# The official names of the terms beside ours.
TERMS = {"ce": "classification", "text_l1": "text_l1", "image_l1": "image_l1", "kl": "kl"}


def ours(official):
    """Our name of an official tensor."""
    if official == "prompt_learner.ctx":
        return "text.0"
    tower = official.partition("_")[0]
    if official == f"{tower}_encoder.VPT":
        return f"{tower}.0"
    layer = official.removeprefix(f"{tower}_encoder.transformer.resblocks.").partition(".")[0]
    return f"{tower}.{layer}"


def state(prefix):
    """The learned tensors of a moment (main.init, gpa.epoch2) under our names."""
    kind = prefix.partition(".")[0]
    start = f"{kind}.init."
    names = [name.removeprefix(start) for name in GOLDEN if name.startswith(start)]
    return {ours(name): GOLDEN[f"{prefix}.{name}"] for name in names}


def moments(kind, word):
    """Numbers K for which the state ``kind.wordK`` is stored."""
    found = [name.split(".")[1] for name in GOLDEN if name.startswith(f"{kind}.{word}")]
    return sorted({int(name.removeprefix(word)) for name in found})


def start(prefix, student):
    """The backbone at the golden start of ``prefix``."""
    tensors_of = state(f"{prefix}.init")

    def layers(tower):
        count = sum(name.startswith(tower) for name in tensors_of)
        return [tensors_of[f"{tower}.{layer}"] for layer in range(count)]

    text = layers("text")
    words = WORDS if len(text[0]) <= len(student.embed_words(WORDS)) else None
    return PromptSRC(text, layers("image"), words)


@pytest.fixture(params=CASES)
def kind(request):
    return request.param


@pytest.fixture()
def backbone(student, kind):
    return start(kind, student)


@pytest.fixture()
def task(student, backbone):
    return make_task(student, backbone, FACTS["classes"], "a photo of a {}.")


@pytest.fixture()
def views(student):
    return Views(student.encode_image(GOLDEN["images"]), GOLDEN["images"])


def test_tokens_and_prompts(kind, backbone, task, student):
    settings = FACTS[kind]
    assert torch.equal(task.tokens, GOLDEN[f"{kind}.tokens"])
    text, image = backbone.prompts()
    assert (len(text), len(image)) == (settings["depth_text"], settings["depth_visual"])
    assert (len(text[0]), len(image[0])) == (settings["n_ctx_text"], settings["n_ctx_visual"])
    if f"{kind}.prompts" in GOLDEN:
        embedded = student.model.token_embedding(task.tokens)
        assert torch.equal(overwrite(embedded, text[0], start=1), GOLDEN[f"{kind}.prompts"])


def test_features(kind, backbone, task, views, student):
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    normal = torch.nn.functional.normalize
    for name, got in (("text", texts), ("image", images)):
        expected = GOLDEN[f"{kind}.{name}_features_raw"]
        assert_close(f"promptsrc {name} features", got, expected, FORWARD)
        unit = GOLDEN[f"{kind}.{name}_features"]
        assert_close(f"promptsrc {name} features", normal(got, dim=-1), unit, FORWARD)
    scores = logits(student.logit_scale, images, texts)
    assert_close("promptsrc logits", scores, GOLDEN[f"{kind}.logits"], FORWARD)
    assert_close("promptsrc logits", scores, GOLDEN[f"{kind}.eval_logits"], FORWARD)


def test_frozen_features(kind, backbone, task, views, student):
    mean = task.frozen_text_features(backbone.templates)
    assert_close("promptsrc frozen texts", mean, GOLDEN[f"{kind}.frozen_text_mean_raw"], FORWARD)
    normal = torch.nn.functional.normalize
    texts, images = normal(mean, dim=-1), normal(views.frozen, dim=-1)
    assert_close("promptsrc frozen texts", texts, GOLDEN[f"{kind}.frozen_text_features"], FORWARD)
    assert_close(
        "promptsrc frozen images", images, GOLDEN[f"{kind}.frozen_image_features"], FORWARD
    )
    scores = logits(student.logit_scale, views.frozen, mean)
    assert_close("promptsrc zero-shot logits", scores, GOLDEN[f"{kind}.zero_shot_logits"], FORWARD)


def test_losses_and_gradients(kind, backbone, task, views):
    losses = backbone.losses(task, views, GOLDEN["labels"])
    assert losses.keys() == set(TERMS.values())
    for official, name in TERMS.items():
        expected = GOLDEN[f"{kind}.loss.{official}"]
        assert_close(f"promptsrc loss {name}", losses[name], expected, FORWARD)
        assert float(expected) == pytest.approx(FACTS[kind]["terms"][official])
    total = sum(losses.values())
    assert_close("promptsrc loss", total, GOLDEN[f"{kind}.loss.total"], FORWARD)
    assert_close("promptsrc loss", total.double(), GOLDEN[f"{kind}.losses"][0], FORWARD)
    total.backward()
    expected = state(f"{kind}.grad")
    assert expected.keys() == dict(backbone.named_parameters()).keys()
    for name, value in backbone.named_parameters():
        assert_close("promptsrc gradients", value.grad, expected[name], BACKWARD)


def test_three_steps_of_the_training_loop(kind, backbone, task, views, student):
    settings = FACTS[kind]
    states, losses = [], []

    def on_epoch(epoch, means):
        states.append({name: value.clone() for name, value in backbone.state_dict().items()})
        losses.append(sum(means.values()))

    train(
        backbone,
        lambda epoch: [(views, GOLDEN["labels"])],
        lambda *batch: backbone.losses(task, *batch),
        sgd(backbone.parameters(), settings["momentum"], settings["weight_decay"]),
        [settings["lr"]] * 3,
        on_epoch,
    )
    kept = moments(kind, "step")
    assert 3 in kept
    before = state(f"{kind}.init")
    for step in kept:
        expected = state(f"{kind}.step{step}")
        for name, value in states[step - 1].items():
            assert_close("promptsrc after 1-3 steps", value, expected[name], BACKWARD)
            moved = expected[name] - before[name]
            assert_close("promptsrc updates", value - before[name], moved, BACKWARD)
    found = torch.tensor(losses, dtype=torch.float64)
    assert_close("promptsrc losses of 3 steps", found, GOLDEN[f"{kind}.losses"], BACKWARD)
    texts, images = backbone.text_features(task), backbone.image_features(student, views)
    scores = logits(student.logit_scale, images, texts)
    assert_close("promptsrc logits after 3 steps", scores, GOLDEN[f"{kind}.step3.logits"], BACKWARD)


def test_average_of_five_epochs_through_stage_one(student, monkeypatch):
    """`tune` with its own schedule and average; only the order of the images is the golden one."""
    settings = FACTS["gpa"]
    epochs = settings["epochs"]
    backbone = start("gpa", student)
    task = make_task(student, backbone, FACTS["classes"], "a photo of a {}.")
    images = torch.cat([GOLDEN["images"], GOLDEN["gpa.images2"]])
    labels = torch.cat([GOLDEN["labels"], GOLDEN["gpa.labels2"]])
    size = len(GOLDEN["labels"])
    bank = Pixels(student.encode_image(images), images, labels)

    def in_order(count, size, seed):
        return lambda epoch: iter(torch.arange(count).split(size))

    monkeypatch.setattr(tuning, "shuffled_batches", in_order)
    fractions = (settings["mean"] / epochs, settings["std"] / epochs)
    recipe = Recipe(settings["lr"], epochs, size, average=fractions)
    progress = []
    tuning.tune(task, backbone, bank, recipe, seed=0, on_epoch=progress.append)
    assert len(labels) // size == settings["batches_per_epoch"]
    assert moments("gpa", "epoch")
    for epoch in moments("gpa", "epoch"):
        expected = state(f"gpa.epoch{epoch}")
        for name, value in progress[epoch - 1].tensors.items():
            assert_close("promptsrc after epochs", value, expected[name], BACKWARD)
    expected = state("gpa.final")
    for name, value in backbone.state_dict().items():
        assert_close("promptsrc average", value, expected[name], BACKWARD)
        assert not torch.equal(value, progress[-1].tensors[name])


class Pixels(FrozenBank):
    """One view an image, with its pixels."""

    def __init__(self, features, images, labels):
        super().__init__(features[:, None], labels)
        self.images = images

    def views(self, indices, view):
        return super().views(indices, view)._replace(images=self.images[indices])


def test_losses_of_some_classes_are_those_of_their_rows_and_columns(student):
    """By the slow formula: pick the classes out of all features, then take the means."""
    backbone = start("main", student)
    task = make_task(student, backbone, FACTS["classes"], "a photo of a {}.")
    views = Views(student.encode_image(GOLDEN["images"]), GOLDEN["images"])
    classes = torch.tensor([1, 3, 4])
    texts, images = backbone.text_features(task), backbone.image_features(student, views)
    got = backbone.regularizers(task, views, images, texts[classes], classes)
    assert got.keys() == set(backbone.kept_losses)
    unit = [
        value / value.norm(dim=-1, keepdim=True)
        for value in (texts, GOLDEN["main.frozen_text_mean_raw"], images, views.frozen)
    ]
    text, text_0, image, image_0 = unit[0][classes], unit[1][classes], unit[2], unit[3]
    p = (student.logit_scale * image @ text.T).softmax(1)
    p_0 = (student.logit_scale * image_0 @ text_0.T).softmax(1)
    slow = {
        "text_l1": 25 * (text - text_0).abs().sum() / text.numel(),
        "image_l1": 10 * (image - image_0).abs().sum() / image.numel(),
        "kl": (p_0 * (p_0 / p).log()).sum() / p.numel(),
    }
    for name, value in slow.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="got none"):
        backbone.regularizers(task, Views(images=views.images), images, texts, None)


def test_a_copy_keeps_templates_and_weights_which_are_no_state(student, generator):
    params = dataclasses.replace(SHALLOW, templates="icons", text_weight=2.0, image_weight=3.0)
    backbone = PromptSRC.from_clip(student, params, generator)
    copied = copy.deepcopy(backbone)
    assert copied.templates == TEMPLATES["icons"]
    assert (copied.text_weight, copied.image_weight) == (2.0, 3.0)
    assert set(copied.state_dict()) == {"text.0", "text.1", "image.0", "image.1", "image.2"}
    assert copied.parallel_parameters() == list(copied.state_dict())


def test_start_is_the_words_and_noise_in_the_documented_order(student, generator):
    backbone = PromptSRC.from_clip(student, SHALLOW, generator)
    assert torch.equal(backbone.text[0], student.embed_words(WORDS))
    same = torch.Generator().manual_seed(generator.initial_seed())
    drawn = [0.02 * torch.randn(4, width, generator=same) for width in (64, 128, 128, 128)]
    found = [backbone.text[1], *backbone.image]
    assert all(torch.equal(a, b) for a, b in zip(found, drawn, strict=True))


def test_more_tokens_than_words_stand_for_x(student, generator):
    backbone = PromptSRC.from_clip(student, dataclasses.replace(SHALLOW, length=5), generator)
    assert backbone.sentences(["a_b"], "{}") == ["X X X X X a b."]
    assert backbone.text[0].shape == (5, 64)
    assert abs(backbone.text[0].std().item() / 0.02 - 1) < 0.2


@pytest.mark.parametrize("tower", ["text", "image"])
def test_depth_above_the_tower_is_one_line(student, generator, tower):
    params = dataclasses.replace(SHALLOW, **{f"{tower}_depth": 5})
    with pytest.raises(DpcError, match=rf"promptsrc\.{tower}_depth is 5 .* 4 {tower} layers"):
        PromptSRC.from_clip(student, params, generator)
