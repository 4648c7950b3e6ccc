"""The blocks of ``backbones``: what each may hold, and what its class says of itself.

Importing a backbone imports torch, which costs a second. What is read from a class is remembered
below ``.cache``, keyed by the code that it stands in.
"""

import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpc.backbones import BACKBONES, look_here, resolve
from dpc.clip.anatomy import TOWERS
from dpc.errors import DpcError
from dpc.params.check import problems
from dpc.params.schema import ANY, Description, defaults, describe, partial
from dpc.params.sections import Params, TeacherParams

CACHE = Path(".cache/descriptions")
CLASS = "class"
DOTTED = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
RECIPE = ("lr", "epochs", "batch")
LEAF_TYPES = ("bool", "int", "float", "str")
_described: dict[str, Description] = {}


def block_descriptions(values: Mapping[str, Any]) -> dict[str, Description]:
    """A description for each block that a file holds or may hold. Backbones of the package that
    it neither names nor needs are not looked into.

    A block that cannot be used has kind "invalid" and says why under "problem".
    """
    run, blocks = _mapping(values, "run"), _mapping(values, "backbones")
    listed = run.get("backbones")
    needed = ["zero_shot", *(listed if isinstance(listed, list) else [])]
    lender = teacher_name(values) if _mapping(values, "teacher").get("settings") else None
    found: dict[str, Description] = {}
    for name, path in BACKBONES.items():
        looked_into = name in needed or name in blocks or name == lender
        inner = _own(path, _mapping(blocks, name)) if looked_into else ANY
        found[name] = {"doc": "", "default": {}, **inner, "optional": name not in needed}
    for name, block in blocks.items():
        if name not in BACKBONES:
            found[name] = _plug_in(str(name), block)
    return found


def teacher_name(values: Mapping[str, Any]) -> str:
    """``teacher.backbone`` of a file that may lack it."""
    return str(_mapping(values, "teacher").get("backbone", TeacherParams().backbone))


def filled(values: Mapping[str, Any], description: Description) -> dict[str, Any]:
    """``values`` with the keys that plug-in blocks leave out, at their class's defaults."""
    fields = description["fields"]["backbones"]["fields"]
    blocks = {
        name: defaults(fields[name]) | dict(block) if fields[name].get("plug_in") else block
        for name, block in values["backbones"].items()
    }
    return {**values, "backbones": blocks}


def unfitting_exceptions(values: Mapping[str, Any], description: Description) -> list[str]:
    """One line for each thing that is wrong with the settings of an exception."""
    blocks, found = description["fields"]["backbones"]["fields"], []
    for name, exception in values["exceptions"].items():
        place, backbone = f"exceptions.{name}", exception["backbone"]
        if backbone == "zero_shot":
            found.append(
                f"{place}.backbone: zero_shot learns nothing; its sentence for a dataset stands "
                "with the dataset"
            )
        elif backbone not in values["backbones"]:
            known = [other for other in values["backbones"] if other != "zero_shot"]
            close = difflib.get_close_matches(backbone, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            found.append(
                f"{place}.backbone: {backbone!r} has no block under backbones{hint} "
                f"(known: {', '.join(known)})"
            )
        elif blocks[backbone]["kind"] == "section":
            settings = partial(blocks[backbone], without=CLASS)
            found += problems(exception["settings"], settings, f"{place}.settings")
    return found


def traits(params: Params, name: str) -> Mapping[str, Any]:
    """What a backbone says of itself, without importing it where that is remembered.

    Returns:
        "label" (its name in tables), "transductive", "needs_teacher", "kept_losses", "prompted"
        (its towers, each with the parameter that is its depth, or "") and "elsewhere" (whether its
        module has an ``ELSEWHERE``, the names of its tensors in checkpoints of others).
    """
    found = _description(_path(params, name))["traits"]
    return {**found, "label": found["label"] or name}


def backbone_module(params: Params, name: str) -> str:
    """The module that a backbone's class stands in; it can be found from here on."""
    module = _path(params, name).partition(":")[0]
    look_here(module)
    return module


def _path(params: Params, name: str) -> str:
    return BACKBONES.get(name) or params.backbones[name][CLASS]


def _own(path: str, block: Mapping[str, Any]) -> Description:
    """A backbone of the package: its block is complete and names no class."""
    found = _description(path)
    if CLASS not in block:
        return found
    refused = "belongs to blocks of your own; this name has a class: give yours another name"
    return found | {"fields": found["fields"] | {CLASS: _invalid(refused) | {"optional": True}}}


def _plug_in(name: str, block: Any) -> Description:
    """A backbone from outside: its block names the class, and may leave the other keys out."""
    if not SAFE_NAME.match(name):
        return _invalid("is no name: it becomes a folder; letters, digits, - and _ are expected")
    path = block.get(CLASS) if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or CLASS not in block:
        close = difflib.get_close_matches(name, list(BACKBONES), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}? " if close else ""
        return _invalid(
            f"is no backbone of the package ({hint}known: {', '.join(BACKBONES)}); "
            f"for one of your own write backbones.{name}.class: module:Class"
        )
    if not isinstance(path, str) or not DOTTED.match(path):
        return _one_field(f"is {path!r}; module:Class is expected, as my_learner:MyLearner")
    try:
        found = _description(path)
    except DpcError as problem:
        return _one_field(f"leads nowhere: {problem}")
    named = {"kind": "leaf", "type": "str", "doc": "Module and class of this prompt learner."}
    fields = {CLASS: named | {"default": path, "nullable": False}} | {
        key: inner | {"optional": not inner.get("required")}
        for key, inner in found["fields"].items()
    }
    return found | {"fields": fields, "plug_in": True}


def _invalid(problem: str) -> Description:
    return {"kind": "invalid", "problem": problem, "doc": ""}


def _one_field(problem: str) -> Description:
    """A block whose class cannot be used: nothing can be said of its other keys."""
    return {"kind": "section", "open": True, "doc": "", "fields": {CLASS: _invalid(problem)}}


def _description(path: str) -> Description:
    """The description of the block of the class ``module:Class``, and its traits.

    Raises:
        DpcError: the path leads to no backbone, or its ``Params`` cannot be used.
    """
    module, _, attribute = path.partition(":")
    look_here(module)
    key = _key(module, attribute)
    if key is not None and key in _described:
        return _described[key]
    remembered = CACHE / f"{key}.json" if key is not None else None
    found = _read(remembered) if remembered is not None else None
    if found is None:
        found = _described_anew(path)
        if remembered is not None:
            from dpc.files import write_atomically

            write_atomically(remembered, json.dumps(found).encode())
    if key is not None:
        _described[key] = found
    return found


def _read(path: Path) -> Description | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:  # cut off while it was written: made anew
        path.unlink(missing_ok=True)
        return None


def _described_anew(path: str) -> Description:
    kind: Any = resolve(path)
    if not (isinstance(kind.Params, type) and dataclasses.is_dataclass(kind.Params)):
        raise DpcError(f"{path}.Params is no dataclass; decorate it with @dataclass(frozen=True)")
    found = describe(kind.Params)
    fields = found["fields"]
    for name, inner in fields.items():
        if inner.get("type") not in LEAF_TYPES:
            raise DpcError(
                f"{path}.Params.{name} is no {', '.join(LEAF_TYPES)} or list of one of them"
            )
    missing = [name for name in RECIPE if name not in fields]
    if missing and path not in BACKBONES.values():
        raise DpcError(f"{path}.Params has no {missing[0]}: stage one reads {', '.join(RECIPE)}")
    _check_towers(f"{path}.prompted", kind.prompted)
    for name, inner in fields.items():
        _check_depth(f"{path}.Params.{name}", inner)
    found["traits"] = {
        "label": kind.label,
        "transductive": kind.transductive,
        "needs_teacher": kind.needs_teacher,
        "kept_losses": list(kind.kept_losses),
        "prompted": {
            tower: next((k for k, f in fields.items() if tower in f.get("layers", ())), "")
            for tower in kind.prompted
        },
        "elsewhere": getattr(sys.modules[kind.__module__], "ELSEWHERE", None) is not None,
    }
    return found


def _check_depth(place: str, inner: Description) -> None:
    """A number of prompted layers is compared with those of a CLIP: it is always there."""
    if "layers" not in inner:
        return
    _check_towers(f"{place}: layers", inner["layers"])
    if (inner["kind"], inner["type"], inner["nullable"]) != ("leaf", "int", False):
        raise DpcError(f"{place} is a number of layers: its type is int, without None")


def _check_towers(place: str, towers: Any) -> None:
    if not isinstance(towers, tuple) or any(tower not in TOWERS for tower in towers):
        raise DpcError(f"{place} is {towers!r}; a tuple is expected, of {' and '.join(TOWERS)}")


def _key(module: str, attribute: str) -> str | None:
    """Hash of all code that a description depends on; None: no file, or none that can be read."""
    from dpc.files import digest
    from dpc.provenance import code_version, module_path

    if module_path(module) is None:
        return None
    try:
        version = code_version(module)
    except SyntaxError:
        return None
    own = Path(__file__).parent
    read = [(own / name).read_text("utf-8") for name in ("schema.py", "fields.py", "backbones.py")]
    return digest("\n".join([version, module, attribute, *read]))[:32]


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
