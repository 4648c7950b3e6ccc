"""Presets, each composed once: that takes longer than most tests that begin with one."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import Any

from dpc.params import load


def preset(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """As ``dpc.params.load.preset``, values of one's own to change."""
    return deepcopy(_composed(name, tuple(overrides)))


@cache
def _composed(name: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    return load.preset(name, overrides)
