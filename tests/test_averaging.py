"""The Gaussian average over epochs: its weights, what it sums, and how it is resumed."""

import copy
import math

import pytest
import torch
from golden_data import assert_close, facts, tensors
from toys import ImageBank, Projected

from dpc.backbones.averaging import Average, gaussian_weights
from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp
from dpc.backbones.promptsrc import PromptSRC, PromptSRCParams
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning

NAMES = facts("coop")["classes"]
DEFAULT = (PromptSRCParams.average_mean, PromptSRCParams.average_std)
RECIPE = Recipe(lr=0.01, epochs=4, batch=5, average=DEFAULT)
WIDE = Recipe(lr=0.01, epochs=4, batch=5, average=(0.5, 0.5))
SMALL = PromptSRCParams(text_depth=2, image_depth=2, templates="icons")
STARTS = {
    PromptSRC: lambda clip, generator: PromptSRC.from_clip(clip, SMALL, generator),
    Projected: lambda clip, generator: Projected.from_clip(clip, None, generator),
    CoOp: lambda clip, generator: CoOp.from_clip(clip, CoOp.Params(), generator),
}


@pytest.fixture(scope="module")
def bank(student):
    """12 images, 2 views each, with pixels."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(12, 2, 3, 32, 32, generator=generator)
    features = student.encode_image(images.flatten(0, 1)).reshape(12, 2, -1)
    return ImageBank(features, images, torch.arange(12) % 6)


def start(kind, student):
    backbone = STARTS[kind](student, torch.Generator().manual_seed(0))
    return backbone, make_task(student, backbone, NAMES, "a photo of a {}.")


def run(kind, student, bank, recipe, resume=None):
    """The backbone after stage one, and the progress of each epoch."""
    backbone, task = start(kind, student)
    progress = []
    tune(task, backbone, bank, recipe, seed=1, on_epoch=progress.append, resume=resume)
    return backbone, progress


def test_weights_are_the_official_ones():
    settings = facts("promptsrc")["gpa"]
    epochs, golden = settings["epochs"], tensors("promptsrc")["gpa.weights"]
    got = gaussian_weights(epochs, settings["mean"] / epochs, settings["std"] / epochs)
    assert got == pytest.approx(settings["weights"], rel=1e-12)
    assert_close(
        "promptsrc average's weights", torch.tensor(got, dtype=torch.float64), golden, 1e-12
    )


@pytest.mark.parametrize("epochs", [3, 4, 5, 7, 10, 20, 21, 50])
def test_with_the_default_fractions_the_last_epoch_does_not_rule(epochs):
    weights = gaussian_weights(epochs, *DEFAULT)
    assert sum(weights) == pytest.approx(1)
    assert len(weights) == epochs and min(weights) >= 0
    assert weights[-1] < 0.5
    assert abs(1 + weights.index(max(weights)) - 0.75 * epochs) <= 0.5


def test_fractions_of_twenty_epochs_are_the_released_mean_15_and_deviation_1():
    bell = [math.exp(-((epoch - 15) ** 2) / 2) for epoch in range(1, 21)]
    assert gaussian_weights(20, *DEFAULT) == pytest.approx([value / sum(bell) for value in bell])


def test_short_and_narrow_averages_are_numbers():
    assert gaussian_weights(1, *DEFAULT) == [1]
    assert gaussian_weights(2, *DEFAULT) == pytest.approx([0.5, 0.5])
    assert gaussian_weights(3, 0.5, 1e-3)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", STARTS)
def test_the_result_is_the_weighted_sum_of_the_states_after_each_epoch(student, bank, kind):
    backbone, progress = run(kind, student, bank, WIDE)
    weights = gaussian_weights(4, 0.5, 0.5)
    for name, value in backbone.state_dict().items():
        states = [step.tensors[name] for step in progress]
        if value.is_floating_point():
            slow = sum(w * state.double() for w, state in zip(weights, states, strict=True))
            torch.testing.assert_close(value, slow.float(), rtol=1e-5, atol=1e-7)
            assert not torch.equal(value, states[-1])


def test_averaging_changes_no_step_of_the_training(student, bank):
    averaged, with_average = run(PromptSRC, student, bank, WIDE)
    plain = Recipe(lr=WIDE.lr, epochs=WIDE.epochs, batch=WIDE.batch)
    last, without = run(PromptSRC, student, bank, plain)
    for one, other in zip(with_average, without, strict=True):
        assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
        assert one.average and not other.average
    assert all(torch.equal(v, without[-1].tensors[n]) for n, v in last.state_dict().items())
    assert not torch.equal(averaged.text[0], last.text[0])


@pytest.mark.parametrize("recipe", [RECIPE, WIDE], ids=["default", "wide"])
@pytest.mark.parametrize("kind", STARTS)
def test_a_resumed_run_is_the_unbroken_run_to_the_bit(student, bank, kind, recipe):
    whole, progress = run(kind, student, bank, recipe)
    assert [step.epoch for step in progress] == [1, 2, 3, 4]
    kept = copy.deepcopy(progress)
    for step in kept:
        broken, later = run(kind, student, bank, recipe, resume=step)
        assert [after.epoch for after in later] == list(range(step.epoch + 1, 5))
        for name, value in whole.state_dict().items():
            assert torch.equal(value, broken.state_dict()[name]), (step.epoch, name)
    for step, before in zip(progress, kept, strict=True):  # nothing went on in a handed-out sum
        assert all(torch.equal(v, before.average[n]) for n, v in step.average.items())


def test_counters_are_not_averaged(student, bank):
    backbone, progress = run(Projected, student, bank, WIDE)
    counter = "norm.num_batches_tracked"
    assert [int(step.tensors[counter]) for step in progress] == [2, 4, 6, 8]
    assert int(backbone.state_dict()[counter]) == 8
    assert all(counter not in step.average for step in progress)
    assert "norm.running_mean" in progress[0].average


def test_an_average_sums_on_from_where_it_got():
    module = torch.nn.Linear(2, 1, bias=False)
    before = {"weight": torch.tensor([[1.0, 2.0]])}
    average = Average([0.25, 0.75], before)
    module.load_state_dict({"weight": torch.tensor([[4.0, 8.0]])})
    average.add(1, module)
    assert torch.equal(before["weight"], torch.tensor([[1.0, 2.0]]))
    average.replace(module)
    assert torch.equal(module.weight, torch.tensor([[4.0, 8.0]]))


def test_stage_two_averages_where_it_is_asked_to(student, bank):
    tuned, task = start(CoOp, student)
    recipe = Finetuning(epochs=3, k=3, average=(0.5, 0.5))
    progress = []
    parallel, _ = finetune(task, tuned, bank, recipe, seed=1, on_epoch=progress.append)
    weights = gaussian_weights(3, 0.5, 0.5)
    states = [step.tensors["context"].double() for step in progress]
    slow = sum(w * state for w, state in zip(weights, states, strict=True))
    torch.testing.assert_close(parallel.context, slow.float(), rtol=1e-5, atol=1e-7)
