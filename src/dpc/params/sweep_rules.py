"""Points of a sweep: the parameters that each of them stands for, and what is wrong with them."""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dpc.params.backbones import CLASS, SAFE_NAME, traits
from dpc.params.check import problems
from dpc.params.schema import Description, partial
from dpc.params.sections import Params
from dpc.params.sweeps import Sweep

DPC, OWN, SHOTS = "dpc.", "backbone.", "shots"
DEPTH = "depth"  # of every tower that a backbone prompts, whatever its block calls it
CURVES = ("sweep", "sweep_new")  # the grid draws them, a point is one evaluation
INFERENCE = ("weight", "weight_new", "inference")  # of dpc: a row reads them, no training does
SHOTS_RULE: Description = {"kind": "leaf", "type": "int", "nullable": False, "ge": 0}


def lacking(params: Params, name: str, backbone: str) -> str:
    """Why a sweep has no points for a backbone of the grid, in words; "" where it has."""
    sweep = params.sweeps[name]
    if sweep.backbones and backbone not in sweep.backbones:
        return f"sweeps.{name}.backbones leaves it out"
    missing = [key for key in _own_keys(sweep) if not _places(params, backbone, key)]
    if missing:
        return f"it has no {', '.join(missing)}"
    unread = _unread(params, sweep, backbone)
    if unread:
        return f"its prompts come from elsewhere, and nothing reads {', '.join(unread)}"
    return ""


def _unread(params: Params, sweep: Sweep, backbone: str) -> list[str]:
    """Keys of a sweep that only trainings read whose place prompts from elsewhere take."""
    given = params.imported.get(backbone)
    if given is None:
        return []
    read = {f"{DPC}{key}" for key in INFERENCE}
    keys = dict.fromkeys(key for changes in sweep.points.values() for key in changes)
    return [
        key
        for key in keys
        if (key.startswith(OWN) and given.tuned)
        or (key.startswith(DPC) and key not in read and given.parallel)
    ]


def applied(params: Params, backbone: str, changes: Mapping[str, Any]) -> Params:
    """The parameters of a point for one backbone; ``shots`` aside, which is no parameter of a cell.

    What the point says wins over ``dpc.by_backbone``. A point that changes anything is read once,
    without curves over ω_b and ω_n.
    """
    stage_two, block = params.stage_two(backbone), dict(params.backbones[backbone])
    own = dict(params.dpc.by_backbone.get(backbone, {}))
    for key, value in changes.items():
        if key.startswith(DPC):
            _put(own, key.removeprefix(DPC).split("."), value, stage_two)
        elif key.startswith(OWN):
            for place in _places(params, backbone, key.removeprefix(OWN)):
                block[place] = _alike(value, block[place])
    found = replace(
        params,
        backbones={**params.backbones, backbone: block},
        dpc=replace(params.dpc, by_backbone={**params.dpc.by_backbone, backbone: own}),
    )
    if block == params.backbones[backbone] and found.stage_two(backbone) == stage_two:
        return params
    quiet = {**found.dpc.by_backbone, backbone: own | {key: [] for key in CURVES}}
    return replace(found, dpc=replace(found.dpc, by_backbone=quiet))


def shots_of(params: Params, changes: Mapping[str, Any]) -> int:
    """Shots of a point: its own, or the most that the grid has (0: all images)."""
    own: int = changes.get(SHOTS, max(params.run.shots, key=lambda shots: shots or math.inf))
    return own


def resolved(params: Params, dataset: str, shots: int) -> Params:
    """The parameters of one dataset and number of shots, with the exceptions that apply put in, so
    that what a point says wins over them."""
    return replace(params.at(dataset, shots), exceptions={})


def own_point(params: Params, name: str, backbone: str) -> str | None:
    """The point of a sweep that is the grid itself on every data set; None: there is none, or
    exceptions make it another one here than there."""
    most = shots_of(params, {})
    grids = [resolved(params, dataset, most) for dataset in params.run.datasets]
    points = {} if lacking(params, name, backbone) else params.sweeps[name].points
    for point, changes in points.items():
        same = all(applied(grid, backbone, changes) is grid for grid in grids)
        if same and shots_of(params, changes) == most:
            return point
    return None


def unfitting_points(values: Mapping[str, Any], description: Description) -> list[str]:
    """One line for each name and key of a sweep that cannot be used; ``values`` fit otherwise."""
    found = []
    dpc = _drop(partial(description["fields"]["dpc"], without="by_backbone"), CURVES)
    blocks = {
        name: partial(inner, without=CLASS)
        for name, inner in description["fields"]["backbones"]["fields"].items()
        if name in values["backbones"] and name != "zero_shot" and inner["kind"] == "section"
    }
    for name, sweep in values["sweeps"].items():
        where = f"sweeps.{name}"
        found += _unsafe(where, name)
        only = {n: b for n, b in blocks.items() if n in (sweep.get("backbones") or blocks)}
        if not sweep["points"]:
            found.append(f"{where}.points is empty; at least one is expected")
        for point, changes in sweep["points"].items():
            place = f"{where}.points.{point}"
            found += _unsafe(place, point)
            if not isinstance(changes, Mapping) or not changes:
                found.append(f"{place} changes nothing; keys are expected, as dpc.batch: 16")
            else:
                found += _key_problems(place, changes, dpc, only)
    return found


def _key_problems(
    place: str,
    changes: Mapping[str, Any],
    dpc: Description,
    blocks: Mapping[str, Description],
) -> Iterator[str]:
    nested: dict[str, Any] = {}
    for key, value in changes.items():
        if outer := [other for other in changes if str(key).startswith(f"{other}.")]:
            yield f"{place}: {key} stands inside {outer[0]}; give one of them"
        elif str(key).startswith(DPC):
            _nest(nested, key.removeprefix(DPC).split("."), value)
        elif str(key).startswith(OWN):
            yield from _own_problems(place, key, value, blocks)
        elif key == SHOTS:
            yield from problems(value, SHOTS_RULE, f"{place}.{SHOTS}")
        else:
            known = [*(f"{DPC}{path}" for path in _paths(dpc)), SHOTS]
            known += [f"{OWN}{path}" for block in blocks.values() for path in block["fields"]]
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{place}.{key} is no key of a point{hint} (known: dpc.…, backbone.…, shots)"
    yield from problems(nested, dpc, f"{place}.dpc")


def _own_problems(
    place: str, key: str, value: Any, blocks: Mapping[str, Description]
) -> Iterator[str]:
    """A key of a backbone's block: some backbone has it, and the value fits where it stands."""
    wanted = key.removeprefix(OWN)
    fitting = [
        inner
        for block in blocks.values()
        for name, inner in block["fields"].items()
        if name == wanted or (wanted == DEPTH and inner.get("layers"))
    ]
    if not fitting:
        known = sorted({name for block in blocks.values() for name in block["fields"]} | {DEPTH})
        close = difflib.get_close_matches(wanted, known, n=1)
        hint = f"; did you mean {OWN}{close[0]}?" if close else ""
        yield f"{place}.{key}: no backbone here has it{hint} (known: {', '.join(known)})"
    yield from dict.fromkeys(line for i in fitting for line in problems(value, i, f"{place}.{key}"))


def _own_keys(sweep: Sweep) -> list[str]:
    keys = dict.fromkeys(key for changes in sweep.points.values() for key in changes)
    return [key.removeprefix(OWN) for key in keys if key.startswith(OWN)]


def _places(params: Params, backbone: str, key: str) -> list[str]:
    """The parameters of a block that a point's key stands for; none: the backbone lacks it."""
    if key in params.backbones[backbone]:
        return [key]
    depths = traits(params, backbone)["prompted"].values() if key == DEPTH else ()
    return list(dict.fromkeys(name for name in depths if name))


def _put(own: dict[str, Any], path: list[str], value: Any, current: Any) -> None:
    """Set a key of ``dpc.by_backbone``; ``current`` is the section as it stands."""
    first, *rest = path
    if rest:
        inner = own[first] = dict(own.get(first, {}))
        _put(inner, rest, value, getattr(current, first))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _put(own, [first, key], each, current)
    else:
        own[first] = _alike(value, getattr(current, first))


def _alike(value: Any, current: Any) -> Any:
    """1 where a number with a point is meant is 1.0: one value, one result."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and isinstance(current, float) else value


def _nest(into: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        into = into.setdefault(name, {})
    into[path[-1]] = value


def _drop(section: Description, names: tuple[str, ...]) -> Description:
    return section | {"fields": {k: v for k, v in section["fields"].items() if k not in names}}


def _paths(section: Description) -> Iterator[str]:
    for name, inner in section["fields"].items():
        if inner["kind"] == "section":
            yield from (f"{name}.{path}" for path in _paths(inner))
        else:
            yield name


def _unsafe(place: str, name: Any) -> list[str]:
    if isinstance(name, str) and SAFE_NAME.match(name):
        return []
    return [f"{place}: the name becomes a file; letters, digits, - and _ are expected"]
