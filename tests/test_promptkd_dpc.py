"""DPC on PromptKD: image prompts as the paper has it, or the teacher's text prompt as released."""

import dataclasses

import pytest
import torch
from test_promptkd import (
    READINGS,
    STAGE_ONE,
    Bank,
    changed,
    make_bank,
    start,
    state_of,
    task_of,
)

from dpc.backbones.tuning import tune
from dpc.clip.views import Views
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning
from dpc.collaboration.weighting import mix, mixed_backbone
from dpc.errors import DpcError

RECIPE = Finetuning(lr=0.005, epochs=3, batch=3, k=3, weight=0.5)


@pytest.fixture()
def bank():
    return make_bank()


@pytest.fixture(scope="module")
def tuned_of(student):
    """reading -> PromptKD after stage one on all classes, tuned once."""
    made = {}

    def get(dual):
        if dual not in made:
            backbone = start(student, dual, kd_weight=20.0)
            task = task_of(student, backbone)
            tune(task, backbone, make_bank(), STAGE_ONE, seed=1)
            made[dual] = backbone
        return made[dual]

    return get


def base_bank(bank):
    """The images of the base classes, one view."""
    rows = bank.labels < 3
    return Bank(bank.images[rows, :1], bank.teacher[rows, :1], bank.labels[rows])


@pytest.mark.parametrize("couplings", ["frozen", "trained"])
@pytest.mark.parametrize("parametrization", ["parallel", "mixed", "released"])
@pytest.mark.parametrize("dual", READINGS)
def test_stage_two(student, bank, tuned_of, dual, parametrization, couplings):
    tuned = tuned_of(dual)
    before, base = state_of(tuned), task_of(student, tuned, range(3))
    recipe = dataclasses.replace(
        RECIPE, parametrization=parametrization, couplings=couplings, lr=0.001
    )
    parallel, _ = finetune(base, tuned, base_bank(bank), recipe, seed=1)
    assert not changed(before, tuned.state_dict())
    moved = changed(before, parallel.state_dict())
    if couplings == "frozen":
        assert moved == set(tuned.parallel_parameters())
    else:
        assert before.keys() - moved == {"projector.1.num_batches_tracked"}

    new = task_of(student, tuned, range(3, 6))
    views = Views(images=bank.images[:4, 0])
    assert_same_features(student, new, views, tuned, mixed_backbone(tuned, parallel, 0.0))
    assert_same_features(student, base, views, parallel, mixed_backbone(tuned, parallel, 1.0))
    half = mix(tuned.state_dict(), parallel.state_dict(), 0.5)
    assert half["projector.1.num_batches_tracked"] == before["projector.1.num_batches_tracked"]
    for name in moved:
        expected = (before[name] + parallel.state_dict()[name]) / 2
        torch.testing.assert_close(half[name], expected)


@pytest.mark.parametrize("couplings", ["frozen", "trained"])
@pytest.mark.parametrize("dual", READINGS)
def test_stage_two_lowers_the_loss_of_a_batch(student, bank, tuned_of, dual, couplings):
    tuned, base = tuned_of(dual), task_of(student, tuned_of(dual), range(3))
    recipe = dataclasses.replace(RECIPE, couplings=couplings, lr=0.001, batch=9, epochs=4)
    _, statistics = finetune(base, tuned, base_bank(bank), recipe, seed=1)
    losses = statistics.history["contrastive"]
    assert losses == sorted(losses, reverse=True)


@torch.no_grad()
def assert_same_features(student, task, views, one, other):
    """To the bit, as they are evaluated: without gradients, for which torch has other kernels."""
    pair = [b.eval() for b in (one, other)]
    assert torch.equal(*(b.text_features(task) for b in pair))
    assert torch.equal(*(b.image_features(student, views) for b in pair))


@pytest.mark.parametrize("regularize", ["filtered", "all"])
@pytest.mark.parametrize("dual", READINGS)
def test_distillation_may_run_beside_dpc(student, bank, tuned_of, dual, regularize):
    tuned, recipe = tuned_of(dual), dataclasses.replace(RECIPE, keep_losses=("distillation",))
    recipe = dataclasses.replace(recipe, regularize=regularize, couplings="trained")
    base = task_of(student, tuned, range(3))
    _, statistics = finetune(base, tuned, base_bank(bank), recipe, seed=1)
    assert statistics.history.keys() == {"contrastive", "distillation"}
    blind = base_bank(bank)
    blind.teacher = None
    with pytest.raises(DpcError, match="'distillation': this backbone has no losses"):
        finetune(base, tuned, blind, recipe, seed=1)
    finetune(base, tuned, blind, dataclasses.replace(RECIPE, epochs=1), seed=1)
