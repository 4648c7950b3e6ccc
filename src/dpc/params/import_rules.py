"""What `imported` may say: whose prompts, in files that tell the cells of the grid apart."""

import difflib
import re

from dpc.backbones import BACKBONES
from dpc.params.backbones import traits
from dpc.params.sections import Params

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
TEACHER = "teacher"  # stands in `imported` beside the backbones: whom students learn from


def import_problems(params: Params) -> list[str]:
    """One line for each entry that names no prompt learner, one whose checkpoints nobody can read,
    or no file for every cell."""
    found = []
    known = [name for name in params.backbones if name != "zero_shot"]
    for name, entry in params.imported.items():
        if name == TEACHER and entry.parallel:
            found.append(f"imported.{name}.parallel: a teacher has none; leave it out")
        if name not in (TEACHER, *known):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            found.append(
                f"imported.{name}: no such prompt learner under backbones{hint} "
                f"(known: {', '.join([*known, TEACHER])})"
            )
        found += _unreadable(params, name)
        if not entry.tuned:
            found.append(
                f"imported.{name}.tuned is empty; the file of P is expected, which `dpc import` "
                "writes"
            )
        places = {"tuned": entry.tuned, "parallel": entry.parallel}
        for stage, place in places.items():
            if place:
                found += _place(params, f"imported.{name}.{stage}", place, name == TEACHER)
    return found


def _unreadable(params: Params, name: str) -> list[str]:
    """A learner from outside whose module does not say how its checkpoints name its tensors."""
    learner = params.teacher.backbone if name == TEACHER else name
    if learner in BACKBONES or learner not in params.backbones:
        return []
    if traits(params, learner)["elsewhere"]:
        return []
    return [
        f"imported.{name}: the module of {params.backbones[learner]['class']} says no ELSEWHERE, "
        "the names of its tensors in checkpoints; docs/exchange.md shows one"
    ]


def _place(params: Params, key: str, place: str, one_for_all: bool) -> list[str]:
    """``one_for_all``: whether all draws of a dataset have one file."""
    run, put_in = params.run, PLACEHOLDER.findall(place)
    cells = {"dataset": len(run.datasets), "shots": len(run.shots), "seed": len(run.seeds)}
    found = [
        f"{key}: {{{name}}} is not put in (known: {{dataset}}, {{shots}}, {{seed}})"
        for name in put_in
        if name not in cells
    ]
    if one_for_all:
        del cells["shots"], cells["seed"]
    return found + [
        f"{key} is {place!r}, one file for several cells of the grid; write {{{name}}} into it"
        for name, count in cells.items()
        if count > 1 and name not in put_in
    ]
