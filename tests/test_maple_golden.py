"""MaPLe against the official class: sentences, prompts, features, loss, gradients, updates."""

import dataclasses

import pytest
import torch
from golden_data import BACKWARD, FORWARD, assert_close, facts, tensors
from torch import nn

from dpc.backbones.base import make_task
from dpc.backbones.maple import MaPLe, MaPLeParams
from dpc.clip.model import logits
from dpc.clip.towers import overwrite
from dpc.clip.views import Views
from dpc.collaboration.weighting import mixed_backbone
from dpc.errors import DpcError
from dpc.training import sgd, train

FACTS = facts("maple")
WORDS = "a photo of a"
PARAMS = MaPLeParams(depth=3)


def ours(official):
    """Our name of an official tensor: deep prompt i belongs to layer i+1, as its coupling."""
    name = official.removeprefix("prompt_learner.")
    head, _, rest = name.partition(".")
    if head == "compound_prompt_projections":
        index, _, leaf = rest.partition(".")
        return f"couplings.{int(index) + 1}.{leaf}"
    heads = {"ctx": "context", "proj": "couplings.0", "compound_prompts_text": "deep"}
    return f"{heads[head]}.{rest}" if rest else heads[head]


def state(golden, moment, settings):
    """The learned tensors of a moment (init, grad, step3) under our names."""
    return {ours(name): golden[f"{moment}.{name}"] for name in settings["learned"]}


@pytest.fixture(params=[name for name, value in FACTS.items() if isinstance(value, dict)])
def case(request, student):
    """(settings, golden tensors of the case, backbone at the golden start, task, views, labels)."""
    kind, everything = request.param, tensors("maple")
    golden = {
        name.removeprefix(f"{kind}."): value
        for name, value in everything.items()
        if name.startswith(f"{kind}.")
    }
    settings = FACTS[kind]
    start = state(golden, "init", settings)
    count = len(student.embed_words(WORDS))
    couplings = []
    for layer in range(settings["depth"]):
        outputs, inputs = start[f"couplings.{layer}.weight"].shape
        couplings.append(nn.Linear(inputs, outputs))
    deep = [start[f"deep.{index}"] for index in range(settings["depth"] - 1)]
    words = WORDS if settings["n_ctx"] <= count else None
    backbone = MaPLe(start["context"], deep, couplings, words)
    backbone.load_state_dict(start)
    task = make_task(student, backbone, FACTS["classes"], "a photo of a {}.")
    views = Views(images=everything["images"])
    return settings, golden, backbone, task, views, everything["labels"]


def test_tokens_and_prompts(case, student):
    settings, golden, backbone, task, _, _ = case
    assert torch.equal(task.tokens, golden["tokens"])
    text, image = backbone.prompts()
    assert len(text) == len(image) == settings["depth"]
    embedded = student.model.token_embedding(task.tokens)
    assert torch.equal(overwrite(embedded, text[0], start=1), golden["prompts"])
    assert_close("maple visual prompts", image[0], golden["visual_input_prompt"], FORWARD)
    for layer in range(1, settings["depth"]):
        expected = golden[f"visual_deep_prompt.{layer}"]
        assert_close("maple visual prompts", image[layer], expected, FORWARD)


def test_features_loss_and_gradients(case, student):
    settings, golden, backbone, task, views, labels = case
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    assert_close("maple text features", texts, golden["text_features_raw"], FORWARD)
    assert_close("maple image features", images, golden["image_features_raw"], FORWARD)
    scores = logits(student.logit_scale, images, texts)
    assert_close("maple logits", scores, golden["logits"], FORWARD)
    losses = backbone.losses(task, views, labels)
    assert losses.keys() == {"classification"}
    loss = losses["classification"]
    assert_close("maple loss", loss.double(), golden["losses"][0], FORWARD)
    assert float(golden["losses"][0]) == pytest.approx(settings["losses"][0])
    loss.backward()
    expected = state(golden, "grad", settings)
    assert expected.keys() == dict(backbone.named_parameters()).keys()
    for name, value in backbone.named_parameters():
        assert_close("maple gradients", value.grad, expected[name], BACKWARD)


def test_three_steps_of_the_training_loop(case, student):
    settings, golden, backbone, task, views, labels = case
    states, losses = [], []

    def on_epoch(epoch, means):
        states.append({name: value.clone() for name, value in backbone.state_dict().items()})
        losses.append(means["classification"])

    train(
        backbone,
        lambda epoch: [(views, labels)],
        lambda *batch: backbone.losses(task, *batch),
        sgd(backbone.parameters(), settings["momentum"], settings["weight_decay"]),
        [settings["lr"]] * 3,
        on_epoch,
    )
    kept = [s for s in (1, 2, 3) if f"step{s}.{settings['learned'][0]}" in golden]
    assert 3 in kept
    before = state(golden, "init", settings)
    for step in kept:
        expected = state(golden, f"step{step}", settings)
        for name, value in states[step - 1].items():
            assert_close("maple after 1-3 steps", value, expected[name], BACKWARD)
            moved = expected[name] - before[name]
            assert_close("maple updates", value - before[name], moved, BACKWARD)
    found = torch.tensor(losses, dtype=torch.float64)
    assert_close("maple losses of 3 steps", found, golden["losses"], BACKWARD)
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    scores = logits(student.logit_scale, images, texts)
    assert_close("maple logits after 3 steps", scores, golden["step3.logits"], BACKWARD)


def test_start_is_the_words_and_draws_in_the_documented_order(student, generator):
    before = torch.get_rng_state()
    backbone = MaPLe.from_clip(student, PARAMS, generator)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(backbone.context, student.embed_words(WORDS)[:2])
    assert backbone.sentences(["a_b"], "{}") == ["a photo of a a b."]
    same = torch.Generator().manual_seed(generator.initial_seed())
    for prompt in backbone.deep:
        assert torch.equal(prompt, 0.02 * torch.randn(2, 64, generator=same))
    for coupling in list(backbone.couplings)[:2]:
        for value in (coupling.weight, coupling.bias):
            drawn = torch.empty(value.shape).uniform_(-1 / 8, 1 / 8, generator=same)
            assert torch.equal(value, drawn)


def test_deeper_couplings_start_as_copies_of_one(student, generator):
    first, second, third = MaPLe.from_clip(student, PARAMS, generator).couplings
    assert torch.equal(second.weight, third.weight) and torch.equal(second.bias, third.bias)
    assert second.weight is not third.weight
    assert not torch.equal(first.weight, second.weight)


@pytest.mark.parametrize("change", [{"length": 5}, {"init": None}])
def test_without_enough_words_the_context_is_noise_for_x(student, generator, change):
    params = dataclasses.replace(PARAMS, **change)
    backbone = MaPLe.from_clip(student, params, generator)
    assert backbone.sentences(["a_b"], "{}") == ["X " * params.length + "a b."]
    same = torch.Generator().manual_seed(generator.initial_seed())
    expected = 0.02 * torch.randn(params.length, 64, generator=same)
    assert torch.equal(backbone.context, expected)


def test_states_have_their_names_and_couplings_are_no_prompts(student, generator):
    backbone = MaPLe.from_clip(student, PARAMS, generator)
    prompts = ["context", "deep.0", "deep.1"]
    couplings = {f"couplings.{layer}.{x}" for layer in range(3) for x in ("weight", "bias")}
    assert set(backbone.state_dict()) == {*prompts, *couplings}
    assert backbone.parallel_parameters() == prompts


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_with_equal_couplings_mixed_states_are_mixed_prompts(student, generator, weight):
    """A coupling is affine: the image prompt of a mix is the mix of the image prompts."""
    tuned = MaPLe.from_clip(student, PARAMS, generator)
    parallel = MaPLe.from_clip(student, PARAMS, generator)
    parallel.couplings.load_state_dict(tuned.couplings.state_dict())
    with torch.no_grad():
        for name in parallel.parallel_parameters():
            value = parallel.get_parameter(name)
            value += 0.1 * torch.randn(value.shape, generator=generator)
    mixed = mixed_backbone(tuned, parallel, weight).prompts()
    for tower in ("text", "image"):
        sides = [getattr(side.prompts(), tower) for side in (parallel, tuned)]
        for got, ours_, theirs in zip(getattr(mixed, tower), *sides, strict=True):
            expected = weight * ours_ + (1 - weight) * theirs
            torch.testing.assert_close(got, expected.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.equal(mixed.image[0], tuned.prompts().image[0])


def test_depth_above_a_tower_is_one_line(student, generator):
    params = dataclasses.replace(PARAMS, depth=5)
    line = r"maple\.depth is 5 .* 4 text layers and 4 image layers: take at most 4"
    with pytest.raises(DpcError, match=line):
        MaPLe.from_clip(student, params, generator)


def test_every_prompted_layer_needs_its_coupling():
    with pytest.raises(ValueError, match="2 layers have prompts, 1 a coupling"):
        MaPLe(torch.zeros(2, 4), [torch.zeros(2, 4)], [nn.Linear(4, 8)])
