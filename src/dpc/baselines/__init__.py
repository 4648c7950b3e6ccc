"""Classifiers without prompts, on the same shots and the same frozen features: what prompts must
beat. A baseline more is one file, one line here, and its block in `dpc.params.baselines`."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpc.baselines.base import Baseline

BASELINES = {
    "linear_probe": "dpc.baselines.linear_probe:LinearProbe",
    "tip_adapter": "dpc.baselines.tip_adapter:TipAdapter",
}


def baseline(name: str) -> "type[Baseline]":
    """The class of a baseline by its name in ``BASELINES``."""
    module, _, kind = BASELINES[name].partition(":")
    found: type[Baseline] = getattr(importlib.import_module(module), kind)
    return found
