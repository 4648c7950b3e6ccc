"""Options of stage two: couplings, averaging, and the classes that kept losses see."""

import copy
import dataclasses

import pytest
import torch
from golden_data import facts
from toys import ImageBank, Projected

from dpc.backbones.base import make_task
from dpc.backbones.maple import MaPLe, MaPLeParams
from dpc.backbones.promptsrc import PromptSRC, PromptSRCParams
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning
from dpc.collaboration.weighting import mix

NAMES = facts("coop")["classes"]
RECIPE = Finetuning(lr=0.01, epochs=3, batch=3, k=2)
STARTS = {
    MaPLe: MaPLeParams(depth=3),
    PromptSRC: PromptSRCParams(text_depth=3, image_depth=3, templates="imagenet-7"),
    Projected: None,
}


@pytest.fixture(scope="module")
def bank(student):
    generator = torch.Generator().manual_seed(6)
    images = torch.randn(12, 2, 3, 32, 32, generator=generator)
    features = student.encode_image(images.flatten(0, 1)).reshape(12, 2, -1)
    return ImageBank(features, images, torch.arange(12) % 6)


@pytest.fixture(scope="module")
def tuned_of(student, bank):
    """kind -> (task, tuned backbone)."""

    def get(kind):
        start = kind.from_clip(student, STARTS[kind], torch.Generator().manual_seed(0))
        task = make_task(student, start, NAMES, "a photo of a {}.")
        tune(task, start, bank, Recipe(lr=0.01, epochs=1, batch=4), seed=1)
        return task, start

    return get


@pytest.mark.parametrize("average", [None, (0.75, 0.05), (0.5, 1.0)])
@pytest.mark.parametrize("kind", [MaPLe, Projected])
def test_what_is_carried_along_is_that_of_the_tuned_prompt_to_the_bit(
    kind, average, bank, tuned_of
):
    task, tuned = tuned_of(kind)
    before = copy.deepcopy(tuned.state_dict())
    recipe = dataclasses.replace(RECIPE, average=average)
    state = finetune(task, tuned, bank, recipe, seed=1)[0].state_dict()
    for name, value in before.items():
        assert torch.equal(tuned.state_dict()[name], value), name
        assert torch.equal(state[name], value) != (name in tuned.parallel_parameters()), name


@pytest.mark.parametrize("kind", [MaPLe, Projected])
def test_trained_couplings_are_mixed_with_the_rest(kind, bank, tuned_of):
    task, tuned = tuned_of(kind)
    recipe = dataclasses.replace(RECIPE, couplings="trained")
    parallel = finetune(task, tuned, bank, recipe, seed=1)[0]
    for name, value in tuned.state_dict().items():
        moves = value.is_floating_point()  # running statistics among them, counters not
        assert torch.equal(parallel.state_dict()[name], value) != moves, name
    mix(tuned.state_dict(), parallel.state_dict(), 0.2)


def test_the_average_replaces_the_last_epoch(bank, tuned_of):
    task, tuned = tuned_of(MaPLe)
    states = []
    recipe = dataclasses.replace(RECIPE, average=(0.5, 0.4))
    found = finetune(task, tuned, bank, recipe, 1, on_epoch=lambda p: states.append(p.tensors))[0]
    weights = torch.tensor([-((e / 3 - 0.5) ** 2) / (2 * 0.4**2) for e in (1, 2, 3)]).softmax(0)
    expected = sum(w * state["context"] for w, state in zip(weights, states, strict=True))
    torch.testing.assert_close(found.state_dict()["context"], expected)
    assert not torch.equal(found.state_dict()["context"], states[-1]["context"])


def test_kept_losses_see_the_classes_that_are_asked_for(bank, tuned_of, monkeypatch):
    """`filtered`: those of the extended batch; `all`: every class, and L_CL the batch's alone."""
    task, tuned = tuned_of(PromptSRC)
    seen = []
    plain = PromptSRC.regularizers

    def spy(self, task, views, images, texts, classes):
        seen.append((len(texts), None if classes is None else len(classes)))
        return plain(self, task, views, images, texts, classes)

    monkeypatch.setattr(PromptSRC, "regularizers", spy)
    histories = {}
    for regularize in ("filtered", "all"):
        recipe = dataclasses.replace(RECIPE, epochs=1, regularize=regularize)
        histories[regularize] = finetune(task, tuned, bank, recipe, seed=1)[1].history
    steps = len(seen) // 2
    assert all(texts == classes <= 6 for texts, classes in seen[:steps])
    assert any(texts < 6 for texts, _ in seen[:steps])
    assert seen[steps:] == [(6, None)] * steps
    assert histories["all"].keys() == {"contrastive", "text_l1", "image_l1", "kl"}
    first, second = (histories[kind]["contrastive"][0] for kind in ("filtered", "all"))
    assert first == pytest.approx(second, rel=1e-2)  # the same first step, then other gradients
    assert histories["filtered"]["kl"] != histories["all"]["kl"]


def test_no_kept_loss_is_plain_contrastive(bank, tuned_of):
    task, tuned = tuned_of(PromptSRC)
    recipe = dataclasses.replace(RECIPE, epochs=1, keep_losses=())
    assert finetune(task, tuned, bank, recipe, seed=1)[1].history.keys() == {"contrastive"}
