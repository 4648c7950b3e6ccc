"""Released PromptKD with DPC: the loss, gradients and three steps, piece by piece and through
`finetune`."""

import dataclasses

import pytest
import torch
from golden_data import BACKWARD, FORWARD, assert_close, facts, tensors
from test_promptkd_golden import (
    UPDATES,
    assert_state,
    golden_teacher,
    gradients,
    ours,
    started,
    state,
)
from torch.nn import functional as F

from dpc.backbones.base import Task, make_task
from dpc.clip.model import logits
from dpc.clip.views import Views
from dpc.collaboration.finetune import finetune
from dpc.collaboration.loss import contrastive_loss
from dpc.collaboration.parametrization import parametrize_parallel, restore_parallel
from dpc.collaboration.recipe import Finetuning
from dpc.training import sgd, train

GOLDEN, SETTINGS = tensors("dpc_promptkd_released"), facts("dpc_promptkd_released")
TRAIN, WEIGHT = SETTINGS["train"], SETTINGS["omega_b"]
STEPS = len(GOLDEN["losses"])


@pytest.fixture()
def tuned():
    """What the released run starts from: its deep prompts are noise, all else is inherited."""
    return started(state(GOLDEN, "init."))


@pytest.fixture()
def task(student, tuned):
    teacher = dataclasses.replace(golden_teacher(), tokens=GOLDEN["tokens"])
    return make_task(student, tuned, SETTINGS["classes"], "a photo of a {}.", teacher)


def released(tuned):
    """The backbone with the one tensor stored as the released code steps on it."""
    parametrize_parallel(tuned, tuned.parallel_parameters(), "released", WEIGHT)
    return tuned


def objective(task, parallel):
    def losses(views, labels):
        classes, rows = labels.unique(return_inverse=True)
        texts = parallel.text_features(task, classes)
        images = parallel.image_features(task.clip, views)
        return {"contrastive": contrastive_loss(images, texts, rows, task.clip.logit_scale)}

    return losses


def batch():
    return Views(images=GOLDEN["ext.images"]), GOLDEN["ext.labels"]


def unstored(values):
    """Tensors by the names that they have without a parametrisation."""
    return {
        name.replace("text.parametrizations.0.original", "text.0"): value
        for name, value in values.items()
    }


def test_one_tensor_is_decoupled_and_all_are_learned(tuned):
    assert tuned.parallel_parameters() == [ours("prompt_learner.ctx")]
    assert torch.equal(tuned.text[0], GOLDEN["P.text_ctx"])
    learned = {ours(name) for name in SETTINGS["inheritance"]["learned"]}
    assert learned == {name for name, _ in tuned.named_parameters()}
    assert torch.equal(golden_teacher().text_prompts[0], GOLDEN["P.text_ctx"])


def test_features_before_training(student, tuned, task):
    images = tuned.eval().image_features(student, Views(images=GOLDEN["eval.images"]))
    texts = tuned.text_features(task)
    found = F.normalize(images, dim=-1)
    assert_close("dpc promptkd image features", found, GOLDEN["eval.image_features"], FORWARD)
    found = F.normalize(texts, dim=-1)
    assert_close("dpc promptkd text features", found, GOLDEN["eval.text_features"], FORWARD)
    scores = logits(student.logit_scale, images, texts)
    assert_close("dpc promptkd logits", scores, GOLDEN["eval.logits"], FORWARD)


def test_loss_and_gradients(tuned, task):
    parallel = released(tuned).train()
    loss = objective(task, parallel)(*batch())["contrastive"]
    assert_close("dpc promptkd loss", loss.double(), GOLDEN["losses"][0], FORWARD)
    assert float(GOLDEN["losses"][0]) == pytest.approx(TRAIN["losses"][0])
    loss.backward()
    found = unstored(gradients(parallel))
    expected = state(GOLDEN, "grad.")
    assert found.keys() == expected.keys()
    assert_state("dpc promptkd gradient", found, expected, BACKWARD)


def assert_after_three_steps(group, student, task, parallel):
    assert_state(group, parallel.state_dict(), state(GOLDEN, f"step{STEPS}."), UPDATES)
    images = parallel.eval().image_features(student, Views(images=GOLDEN["eval.images"]))
    scores = logits(student.logit_scale, images, parallel.text_features(task))
    assert_close(f"{group} logits", scores, GOLDEN[f"step{STEPS}.eval.logits"], UPDATES)


def test_three_steps_of_the_training_loop(student, tuned, task):
    parallel, losses = released(tuned), []
    train(
        parallel,
        lambda epoch: [batch()],
        objective(task, parallel),
        sgd(parallel.parameters(), TRAIN["momentum"], TRAIN["weight_decay"]),
        [TRAIN["lr"]] * STEPS,
        lambda epoch, means: losses.append(means["contrastive"]),
    )
    found = torch.tensor(losses, dtype=torch.float64)
    assert_close("dpc promptkd losses of 3 steps", found, GOLDEN["losses"], UPDATES)
    restore_parallel(parallel)
    assert_after_three_steps("dpc promptkd after 3", student, task, parallel)


class Stopped(Exception):
    """Enough steps at the one learning rate."""


def test_stage_two_is_the_released_run(student, tuned, task):
    """`finetune` itself, on the classes of the golden batch; K = 1 asks for no negatives."""
    labels = GOLDEN["ext.labels"].sort().values

    class Bank:
        labels, count = torch.arange(len(GOLDEN["ext.labels"])), 1

        def views(self, indices, view):
            order = GOLDEN["ext.labels"].argsort()
            return Views(images=GOLDEN["ext.images"][order[indices]])

    teacher = dataclasses.replace(
        task.teacher,
        text_features=task.teacher.text_features[labels],
        tokens=task.teacher.tokens[labels],
    )
    names = tuple(SETTINGS["classes"][label] for label in labels)
    some = Task(student, names, task.tokens[labels], task.template, teacher)
    recipe = Finetuning(
        lr=TRAIN["lr"],
        epochs=100_000,  # so long a cosine is flat at its start
        batch=len(labels),
        k=1,
        parametrization="released",
        weight=WEIGHT,
        couplings="trained",
        momentum=TRAIN["momentum"],
        weight_decay=TRAIN["weight_decay"],
        warmup_lr=TRAIN["lr"],
    )
    reached = []

    def on_epoch(progress):
        reached.append(progress)
        if progress.epoch == STEPS:
            raise Stopped

    before = {name: value.clone() for name, value in tuned.state_dict().items()}
    with pytest.raises(Stopped):
        finetune(some, tuned, Bank(), recipe, seed=1, on_epoch=on_epoch)
    assert all(torch.equal(value, before[name]) for name, value in tuned.state_dict().items())
    losses = torch.tensor(reached[-1].history["contrastive"], dtype=torch.float64)
    assert_close("dpc promptkd finetune, losses", losses, GOLDEN["losses"], UPDATES)
    parallel = started(state(GOLDEN, "init."))
    parallel.load_state_dict(unstored(reached[-1].tensors))
    assert_after_three_steps("dpc promptkd finetune", student, task, parallel)
