"""Where a run departs from the preset of the paper's table, key by key."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from dpc.params.import_rules import TEACHER
from dpc.params.load import preset
from dpc.report.notes import text_of
from dpc.report.paper_numbers import BACKBONES, DATASETS, SHOTS
from dpc.report.recipes import RECIPE, imported, stage_two
from dpc.report.words import DASH, listed

PRESET = "paper-base-to-new"
SWEEPS = ("sweep", "sweep_new")  # of curves: no compared number is read at them
NAMES = {**BACKBONES, **DATASETS}
READ = ("weight", "weight_new", "inference")  # of a P' that was trained elsewhere
ABSENT = object()

# A place (a data set or a backbone) -> dotted key -> value
Values = Mapping[str, Mapping[str, Any]]


def departures(
    params: Mapping[str, Any], backbones: Sequence[str], datasets: Sequence[str]
) -> list[str]:
    """``backbones.coop.epochs 1 (10)``, with the preset's value in brackets, for each difference.

    Exceptions and ``dpc.by_backbone`` count as what they come to: a difference that holds for some
    data sets or backbones alone names them. Of imported prompts what trains them does not count.

    Args:
        params: the run's parameters, as plain values.
        backbones: those that are compared; the blocks of others have no say.
        datasets: those that are compared.
    """
    taught, given = "promptkd" in backbones, params.get("imported") or {}
    ours, theirs = _common(params, taught, given), _common(_preset(), taught, given)
    pairs = [
        (
            {name: _blocks(ours, backbones, name) for name in datasets},
            {name: _blocks(theirs, backbones, name) for name in datasets},
            " on ",
        ),
        (
            {name: _stage_two(ours, name) for name in backbones},
            {name: _stage_two(theirs, name) for name in backbones},
            " for ",
        ),
        ({"": _shared(ours)}, {"": _shared(theirs)}, ""),
    ]
    return [phrase for pair in pairs for phrase in _differences(*pair)]


@cache
def _preset() -> Mapping[str, Any]:
    """Composed when the first comparison holds: no other run waits for it."""
    return preset(PRESET)


def _common(params: Mapping[str, Any], taught: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that count, a teacher only where something learned from it; ``given`` are the
    imported prompts of our run, on either side."""
    found: dict[str, Any] = {"imported": given}
    found |= {key: params.get(key) or {} for key in ("backbones", "dpc", "exceptions", "optimizer")}
    data, clip = params.get("data") or {}, params.get("clip") or {}
    found["data"] = {"views": data.get("views", ABSENT)}
    found["clip"] = {"precision": clip.get("precision", ABSENT)}
    if taught:
        found["data"]["unlabelled"] = data.get("unlabelled", ABSENT)
        found["teacher"] = params.get("teacher") or {}
    return found


def _shared(params: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same for every data set and backbone."""
    found = {key: params[key] for key in ("data", "clip", "optimizer")}
    if "teacher" in params:
        found["teacher"] = {"seed": params["teacher"].get("seed", ABSENT)}
    return _flat(found)


def _blocks(params: Mapping[str, Any], backbones: Sequence[str], dataset: str) -> dict[str, Any]:
    """The blocks of the backbones, and of their teacher, as they stand for one data set."""
    blocks = {name: dict(block) for name, block in params["backbones"].items()}
    for exception in params["exceptions"].values():
        sets, shots = exception.get("datasets"), exception.get("shots")
        if (not sets or dataset in sets) and (not shots or SHOTS in shots):
            blocks.setdefault(exception["backbone"], {}).update(exception["settings"])
    own = {name: _untrained(params, name, blocks.get(name) or {}) for name in backbones}
    found: dict[str, Any] = {"backbones": own}
    if "teacher" in params:
        learner = blocks.get(str(params["teacher"].get("backbone"))) or {}
        settings = learner | (params["teacher"].get("settings") or {})
        found["teacher"] = {"settings": _untrained(params, TEACHER, settings)}
    return _flat(found)


def _untrained(
    params: Mapping[str, Any], learner: str, block: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A block without the recipe that made no imported P; what else stands in it, stage two may
    read."""
    if not imported(params, learner, "tuned"):
        return block
    return {key: value for key, value in block.items() if key not in RECIPE}


def _stage_two(params: Mapping[str, Any], backbone: str) -> dict[str, Any]:
    found = stage_two(params, backbone)
    if imported(params, backbone, "parallel"):
        found = {key: value for key, value in found.items() if key in READ}
    return _flat({key: value for key, value in found.items() if key not in SWEEPS}, "dpc.")


def _differences(ours: Values, theirs: Values, word: str) -> Iterator[str]:
    """A phrase a key and pair of values, with the places where they are not all of them."""
    found: dict[tuple[str, str], list[str]] = {}
    for place, own in ours.items():
        for key in dict.fromkeys([*theirs[place], *own]):
            value, other = own.get(key, ABSENT), theirs[place].get(key, ABSENT)
            if value != other:
                text = f"{_text(value)} ({_text(other)})"
                found.setdefault((key, text), []).append(NAMES.get(place, place))
    for (key, text), places in found.items():
        where = "" if len(places) == len(ours) else word + listed(places)
        yield f"{key} {text}{where}"


def _flat(values: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{start}{key}.")
        else:
            found[f"{start}{key}"] = value
    return found


def _text(value: Any) -> str:
    """A value inside a list of them: lists in brackets, words in quotes."""
    if value is ABSENT:
        return DASH
    if isinstance(value, list | tuple):
        return f"[{text_of(value)}]"
    text = text_of(value)
    return f"“{text}”" if " " in text else text
