"""A training that leaves the finite numbers stops with one line, and writes nothing."""

import os
import re
from pathlib import Path

import pytest
import torch
from drawings import OVERRIDES, write_dataset
from torch import nn

from dpc.backbones import fitting
from dpc.cli import main
from dpc.errors import TrainingError
from dpc.params.load import description_for, preset
from dpc.params.render import render
from dpc.stages import checkpoints
from dpc.training import sgd, train

SETTINGS = ["run.budget=[]", "backbones.coop.epochs=4", "dpc.epochs=4"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A tree that is ready for both stages."""
    root, before = tmp_path_factory.mktemp("diverging"), Path.cwd()
    os.chdir(root)
    try:
        write_dataset(root)
        values = preset("smoke", [*OVERRIDES, *SETTINGS])
        Path("params.yaml").write_text(render(values, description_for(values)))
        for stage in ("prepare", "features", "tune"):
            assert main([stage, "-q"]) == 0
    finally:
        os.chdir(before)
    return root


@pytest.mark.parametrize(
    ("stage", "loss"), [("tune", "classification"), ("finetune", "contrastive")]
)
def test_a_loss_that_is_no_number(tree, monkeypatch, capsys, stage, loss):
    """In the third epoch; the checkpoint of the second leads to the result that it would have."""
    monkeypatch.chdir(tree)
    assert main([stage, "-q", "--out", "whole"]) == 0
    monkeypatch.setenv("DPC_STORE", f"store-{stage}")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    name = f"{stage}/shapes/coop/shots4-seed1.safetensors"
    with monkeypatch.context() as patch:
        _poison(patch, loss)
        assert main([stage, "-q", "--out", "broken"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"dpc: {stage} shapes coop 4 shots seed 1: loss '{loss}' is nan in epoch 3, "
    )
    assert "step 1, learning rate 0.0" in error
    assert "lower the learning rate" in error
    assert error.count("\n") == 1
    assert not (Path("broken") / name).exists()
    loaded = []
    load = checkpoints.Checkpoint.load
    monkeypatch.setattr(
        checkpoints.Checkpoint, "load", lambda self: loaded.append(load(self)) or loaded[-1]
    )
    assert main([stage, "-q", "--out", "broken"]) == 0
    assert loaded[-1].epoch == 2
    assert (Path("broken") / name).read_bytes() == (Path("whole") / name).read_bytes()


def _poison(patch, loss):
    """From the third epoch on, the named loss is NaN."""

    def poisoned(learned, batches, objective, optimizer, schedule, on_epoch, start):
        epochs = []

        def worse(*batch):
            losses = dict(objective(*batch))
            if loss in losses and len(epochs) >= 2:
                losses[loss] = losses[loss] * float("nan")
            return losses

        def counted(epoch, means):
            epochs.append(epoch)
            on_epoch(epoch, means)

        train(learned, batches, worse, optimizer, schedule, counted, start)

    patch.setattr(fitting, "train", poisoned)


@pytest.mark.parametrize("stage", ["tune", "finetune"])
def test_a_rate_that_is_far_too_high(tree, monkeypatch, capsys, stage):
    monkeypatch.chdir(tree)
    overrides = ["backbones.coop.lr=1.0e38"] if stage == "tune" else ["dpc.lr=1.0e38"]
    assert main([stage, "-q", "--out", "high", *overrides]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"dpc: {stage} shapes coop 4 shots seed 1: ")
    assert re.search(r" in epoch 3, step 1, learning rate 8\.5\d*e\+37; lower the", error)
    assert error.count("\n") == 1
    assert not list(Path("high", stage).rglob("*.safetensors"))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_last_step_of_all_is_looked_at_too(steps):
    """Its loss is finite; what it does to the parameters no later loss would tell."""
    module = nn.Linear(1, 1, bias=False)
    seen = []

    def objective(factor):
        return {"loss": module.weight.sum() * factor}

    batches = [(torch.tensor(0.0),)] * (steps - 1) + [(torch.tensor(1e30),)]
    with pytest.raises(TrainingError) as caught:
        train(
            module,
            lambda epoch: batches,
            objective,
            sgd(module.parameters(), weight_decay=0.0),
            [1e20],
            lambda epoch, losses: seen.append(epoch),
        )
    assert str(caught.value) == (
        f"'weight' is no longer finite in epoch 1, step {steps}, learning rate 1e+20; "
        "lower the learning rate"
    )
    assert seen == []


def test_statistics_that_are_no_numbers_are_noticed():
    """A BatchNorm that saw infinity ends up with a variance of NaN, whatever the losses say."""
    norm = nn.BatchNorm1d(1)
    images = torch.tensor([[3e38], [-3e38]])
    with pytest.raises(TrainingError, match="'running_var' is no longer finite in epoch 1, step 1"):
        train(
            norm,
            lambda epoch: [(images,)],
            lambda x: {"loss": norm(x).mul(0.0).nan_to_num().sum()},
            sgd(norm.parameters()),
            [0.1],
        )
