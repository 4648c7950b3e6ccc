"""Draws whose trainings take their steps in one forward pass: one job, a file for each draw.

A single draw is the usual case and needs no names of its own; of several (``run.together``), what
each has for itself carries its seed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from dpc.artifacts import Artifact
from dpc.stages.cells import Draw
from dpc.stages.runner import Input

T = TypeVar("T")


def cell(dataset: str, backbone: str, drawn: Sequence[Draw]) -> dict[str, Any]:
    """What tells the job from its neighbours; draws of one job have one number of shots."""
    seeds = [draw.seed for draw in drawn]
    which = {"seed": seeds[0]} if len(seeds) == 1 else {"seeds": seeds}
    return {"dataset": dataset, "backbone": backbone, "shots": drawn[0].shots, **which}


def named(name: str, drawn: Sequence[Draw], draw: Draw) -> str:
    """The name of what one of the draws has for itself."""
    return name if len(drawn) == 1 else f"seed{draw.seed}.{name}"


def each(name: str, drawn: Sequence[Draw], of: Callable[[Draw], T]) -> dict[str, T]:
    """Something of every draw, by its name."""
    return {named(name, drawn, draw): of(draw) for draw in drawn}


def inputs(drawn: Sequence[Draw], of: Callable[[Draw], dict[str, Input]]) -> dict[str, Input]:
    """The inputs of all draws; what they share stands there once, under its own role."""
    every, found = {draw: of(draw) for draw in drawn}, dict[str, Input]()
    for draw, entries in every.items():
        for role, entry in entries.items():
            shared = all(other[role] == entry for other in every.values())
            found[role if shared else named(role, drawn, draw)] = entry
    return found


def part(found: Mapping[str, Artifact], drawn: Sequence[Draw], draw: Draw) -> dict[str, Artifact]:
    """What one of the draws reads, by role."""
    others = tuple(named("", drawn, other) for other in drawn if other != draw)
    own = named("", drawn, draw)
    return {
        role.removeprefix(own): artifact
        for role, artifact in found.items()
        if len(drawn) == 1 or not role.startswith(others)
    }
