"""CoOp against the official class: sentences, prompts, features, loss, gradient, updates."""

import pytest
import torch
from golden_data import BACKWARD, FORWARD, assert_close, facts, tensors

from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp, CoOpParams
from dpc.clip.model import logits
from dpc.clip.towers import overwrite
from dpc.clip.views import Views
from dpc.training import sgd, train

NAMES = facts("coop")["classes"]
KINDS = ["words", "random"]


@pytest.fixture(params=KINDS)
def case(request, student):
    """(settings, golden tensors of the kind, backbone at the golden start, task, views, labels)."""
    kind, everything = request.param, tensors("coop")
    golden = {
        name.removeprefix(f"{kind}."): value
        for name, value in everything.items()
        if name.startswith(f"{kind}.")
    }
    words = "a photo of a" if kind == "words" else None
    backbone = CoOp(golden["init.ctx"], words)
    task = make_task(student, backbone, NAMES, "a photo of a {}.")
    views = Views(student.encode_image(everything["images"]))
    return facts("coop")[kind], golden, backbone, task, views, everything["labels"]


def test_init_words_are_their_embeddings(student, generator):
    backbone = CoOp.from_clip(student, CoOpParams(init="a photo of a"), generator)
    assert torch.equal(backbone.context, tensors("coop")["words.init.ctx"])


def test_random_context_follows_its_generator(student):
    def start(seed):
        generator = torch.Generator().manual_seed(seed)
        return CoOp.from_clip(student, CoOpParams(init=None, length=500), generator).context

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))
    assert abs(start(1).std().item() / 0.02 - 1) < 0.02


def test_tokens_and_prompts(case, student):
    _, golden, backbone, task, _, _ = case
    assert torch.equal(task.tokens, golden["tokens"])
    embedded = student.model.token_embedding(task.tokens)
    (context,) = backbone.prompts().text
    assert torch.equal(overwrite(embedded, context, start=1), golden["prompts"])


def test_features_loss_and_gradient(case, student):
    settings, golden, backbone, task, views, labels = case
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    assert_close("coop text features", texts, golden["text_features_raw"], FORWARD)
    scores = logits(student.logit_scale, images, texts)
    assert_close("coop logits", scores, golden["logits"], FORWARD)
    losses = backbone.losses(task, views, labels)
    assert losses.keys() == {"classification"}
    loss = losses["classification"]
    assert_close("coop loss", loss.double(), golden["losses"][0], FORWARD)
    assert float(golden["losses"][0]) == pytest.approx(settings["losses"][0])
    loss.backward()
    assert_close("coop gradient", backbone.context.grad, golden["grad.ctx"], BACKWARD)


def test_three_steps_of_the_training_loop(case, student):
    settings, golden, backbone, task, views, labels = case
    states, losses = [], []

    def on_epoch(epoch, means):
        states.append(backbone.context.detach().clone())
        losses.append(means["classification"])

    train(
        backbone,
        lambda epoch: [(views, labels)],
        lambda *batch: backbone.losses(task, *batch),
        sgd(backbone.parameters(), settings["momentum"], settings["weight_decay"]),
        [settings["lr"]] * 3,
        on_epoch,
    )
    for step, state in enumerate(states, start=1):
        assert_close("coop after 1-3 steps", state, golden[f"step{step}.ctx"], BACKWARD)
    found = torch.tensor(losses, dtype=torch.float64)
    assert_close("coop losses of 3 steps", found, golden["losses"], BACKWARD)
    texts = backbone.text_features(task)
    scores = logits(student.logit_scale, views.frozen, texts)
    assert_close("coop logits after 3 steps", scores, golden["step3.logits"], BACKWARD)
