"""The schedule against the official scheduler, for every released (lr, epochs)."""

import pytest
import torch
from golden_data import assert_close, facts

from dpc.training import warmup_cosine

RATES = facts("facts/learning_rates")


@pytest.mark.parametrize("name", RATES)
def test_schedule_is_the_official_one(name):
    config = RATES[name]
    got = torch.tensor(warmup_cosine(config["lr"], config["epochs"]), dtype=torch.float64)
    expected = torch.tensor(config["lr_per_epoch"], dtype=torch.float64)
    assert_close("learning rates", got, expected, 1e-12)
