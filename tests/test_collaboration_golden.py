"""DPC on CoOp against the released class: mixes, decoupling, the loss, three kinds of steps."""

import pytest
import torch
from golden_data import BACKWARD, FORWARD, assert_close, facts, tensors
from torch.nn import functional as F

from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp
from dpc.clip.model import logits
from dpc.clip.views import Views
from dpc.collaboration.loss import contrastive_loss
from dpc.collaboration.parametrization import parametrize_parallel, restore_parallel
from dpc.collaboration.weighting import mix, mixed_backbone, unmix
from dpc.training import sgd, train

GOLDEN = tensors("dpc_coop")
SETTINGS = facts("dpc_coop")
WEIGHTS = SETTINGS["weights"]
WORDS = "a photo of a"
TRAINED = [
    "parallel.from_P",
    "parallel.from_P_prime",
    "mixed.0.2",
    "mixed.0.2.small_lr",
    "mixed.0.5",
    "mixed.0.5.small_lr",
    "released.0.2",
    "released.0.5",
]


@pytest.fixture(scope="module")
def task(student):
    return make_task(student, CoOp(GOLDEN["P"], WORDS), SETTINGS["classes"], "")


def logits_of(student, task, context):
    texts = CoOp(context, WORDS).text_features(task)
    return logits(student.logit_scale, student.encode_image(GOLDEN["images"]), texts)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_mix_its_features_and_its_logits(student, task, weight):
    tuned, parallel = CoOp(GOLDEN["P"], WORDS), CoOp(GOLDEN["P_prime"], WORDS)
    mixed = mixed_backbone(tuned, parallel, weight)
    assert_close("mix", mixed.context, GOLDEN[f"mix.{weight}"], FORWARD)
    texts = mixed.text_features(task)
    assert_close("mix text features", texts, GOLDEN[f"mix.{weight}.text_features_raw"], FORWARD)
    scores = logits_of(student, task, mixed.context)
    assert_close("mix logits", scores, GOLDEN[f"mix.{weight}.logits"], FORWARD)
    assert torch.equal(tuned.context, GOLDEN["P"])
    assert torch.equal(parallel.context, GOLDEN["P_prime"])


@pytest.mark.parametrize("weight", [weight for weight in WEIGHTS if weight >= 0.1])
def test_decoupling_gives_the_parallel_prompt_back(student, task, weight):
    tuned, mixed = {"context": GOLDEN["P"]}, {"context": GOLDEN[f"mix.{weight}"]}
    parallel = unmix(mixed, tuned, weight)["context"]
    assert_close("decoupled prompt", parallel, GOLDEN["P_prime"], FORWARD)
    scores = logits_of(student, task, parallel)
    expected = GOLDEN[f"decoupled.from_mix.{weight}.logits"]
    assert_close("decoupled logits", scores, expected, FORWARD)
    # The released class shares memory: what it stores is what it uses.
    scores = logits_of(student, task, mixed["context"])
    expected = GOLDEN[f"released.from_mix.{weight}.logits"]
    assert_close("released logits", scores, expected, FORWARD)


@pytest.mark.parametrize("weight", ["0.0", "0.1", "0.2"])
@pytest.mark.parametrize("subset", ["new.Caltech101", "all.Caltech101", "base.Caltech101"])
def test_released_loading_is_a_mix_on_new_classes_only(student, task, weight, subset):
    tuned = {"context": GOLDEN["P"]}
    stored = {"context": GOLDEN["train.released.0.2.step3"]}
    share = 1.0 if subset.startswith("base") else float(weight)
    context = mix(tuned, stored, share)["context"]
    key = f"released.load.{subset}.wn{weight}"
    assert_close("released loading", context, GOLDEN[f"{key}.effective"], FORWARD)
    scores = logits_of(student, task, context)
    assert_close("released loading logits", scores, GOLDEN[f"{key}.logits"], FORWARD)


def start(name):
    """A parametrised copy of P (or P') as the golden run started it."""
    kind, _, rest = name.partition(".")
    init = GOLDEN["P_prime"] if name.endswith("P_prime") else GOLDEN["P"]
    parallel = CoOp(init, WORDS)
    weight = 1.0 if kind == "parallel" else float(rest.removesuffix(".small_lr"))
    parametrize_parallel(parallel, ["context"], kind, weight)
    (stored,) = parallel.parameters()
    return parallel, stored


def objective(task, parallel):
    def losses(views, labels):
        classes, rows = labels.unique(return_inverse=True)
        texts = parallel.text_features(task, classes)
        loss = contrastive_loss(views.frozen, texts, rows, task.clip.logit_scale)
        return {"contrastive": loss}

    return losses


@pytest.mark.parametrize("name", TRAINED)
def test_loss_and_gradient(student, task, name):
    parallel, stored = start(name)
    group = "dpc " + name.split(".")[0]
    assert_close(f"{group} start", stored, GOLDEN[f"train.{name}.init"], FORWARD)
    views, labels = Views(student.encode_image(GOLDEN["ext.images"])), GOLDEN["ext.labels"]
    texts = parallel.text_features(task, labels)
    scores = logits(student.logit_scale, views.frozen, texts)
    assert_close(f"{group} logits", scores, GOLDEN[f"train.{name}.logits_per_image"], FORWARD)
    loss = objective(task, parallel)(views, labels)["contrastive"]
    assert_close(f"{group} loss", loss.double(), GOLDEN[f"train.{name}.losses"][0], FORWARD)
    loss.backward()
    assert_close(f"{group} gradient", stored.grad, GOLDEN[f"train.{name}.grad"], BACKWARD)


@pytest.mark.parametrize("name", TRAINED)
def test_three_steps(student, task, name):
    settings = SETTINGS[f"train.{name}."]
    parallel, stored = start(name)
    group = "dpc " + name.split(".")[0]
    batch = Views(student.encode_image(GOLDEN["ext.images"])), GOLDEN["ext.labels"]
    states, losses = [], []

    def on_epoch(epoch, means):
        states.append(stored.detach().clone())
        losses.append(means["contrastive"])

    train(
        parallel,
        lambda epoch: [batch],
        objective(task, parallel),
        sgd([stored], settings["momentum"], settings["weight_decay"]),
        [settings["lr"]] * 3,
        on_epoch,
    )
    for step, state in enumerate(states, start=1):
        expected = GOLDEN[f"train.{name}.step{step}"]
        assert_close(f"{group} after 1-3 steps", state, expected, BACKWARD)
    found = torch.tensor(losses, dtype=torch.float64)
    expected = GOLDEN[f"train.{name}.losses"]
    assert_close(f"{group} losses of 3 steps", found, expected, BACKWARD)
    restore_parallel(parallel)
    assert list(parallel.state_dict()) == ["context"]
    expected = GOLDEN[f"train.{name}.step3.parallel"]
    assert_close(f"{group} P' after 3 steps", parallel.context, expected, BACKWARD)


def test_released_target_counts_a_repeated_class_against_itself(student, task):
    """The released diagonal target, which is not ours, so that the difference is a known one."""
    labels = GOLDEN["dup.labels"]
    parallel = CoOp(GOLDEN["train.dup.init"], WORDS)
    images = student.encode_image(GOLDEN["dup.images"])
    texts = parallel.text_features(task, labels)  # classes stand twice
    scores = logits(student.logit_scale, images, texts)
    assert_close("dpc repeated class logits", scores, GOLDEN["train.dup.logits_per_image"], FORWARD)
    diagonal = torch.arange(len(labels))
    released = (F.cross_entropy(scores, diagonal) + F.cross_entropy(scores.T, diagonal)) / 2
    expected = GOLDEN["train.dup.losses"][0]
    assert_close("dpc repeated class, released", released.double(), expected, FORWARD)
    (gradient,) = torch.autograd.grad(released, parallel.context)
    assert_close("dpc repeated class gradient", gradient, GOLDEN["train.dup.grad"], BACKWARD)
    batch = Views(images), labels
    ours = objective(task, CoOp(GOLDEN["train.dup.init"], WORDS))(*batch)["contrastive"]
    assert ours.item() < released.item() - 0.1  # no class is its own negative
