"""From dataclasses to a plain description of every parameter, which needs no heavy import to use.

A description is a nested dict: a section holds ``fields``, a mapping holds the description of its
``value``, a leaf holds its type, default and limits. Validation, the comments of params.yaml and
the table in the docs are all made from it.
"""

import dataclasses
import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Any

from dpc.params.sections import Params

Description = dict[str, Any]
ANY = {"kind": "any"}
LEAVES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def describe(section: type) -> Description:
    """The description of a dataclass, field by field, in the order they are written."""
    hints = typing.get_type_hints(section)
    fields = {f.name: _describe_field(hints[f.name], f) for f in dataclasses.fields(section)}
    return {"kind": "section", "doc": _first_line(section.__doc__), "fields": fields}


def params_description(backbones: typing.Mapping[str, Description]) -> Description:
    """The whole file: the fixed sections, and one block for each of ``backbones``."""
    whole = describe(Params)
    whole["fields"]["backbones"] = {
        "kind": "section",
        "doc": whole["fields"]["backbones"]["doc"],
        "fields": dict(backbones),
    }
    return whole


def _describe_field(hint: Any, f: dataclasses.Field) -> Description:
    doc = f.metadata.get("doc", "")
    if dataclasses.is_dataclass(hint):
        return describe(typing.cast(type, hint)) | ({"doc": doc} if doc else {})
    nullable = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [a for a in typing.get_args(hint) if a is not type(None)]
        nullable, hint = len(options) < len(typing.get_args(hint)), options[0]
    limits = {
        key: f.metadata[key]
        for key in ("ge", "gt", "le", "choices", "unique", "source")
        if f.metadata.get(key) or (key in ("ge", "gt", "le") and f.metadata.get(key) is not None)
    }
    if f.default_factory is not dataclasses.MISSING:
        default = f.default_factory()
    else:
        default = f.default if f.default is not dataclasses.MISSING else None
    common = {"doc": doc, "default": default, "nullable": nullable} | limits
    origin = typing.get_origin(hint)
    if origin is list:
        return {"kind": "list", "type": typing.get_args(hint)[0].__name__} | common
    if origin is dict:
        value = typing.get_args(hint)[1]
        inner = (
            describe(value) if isinstance(value, type) and dataclasses.is_dataclass(value) else ANY
        )
        return {"kind": "mapping", "value": inner} | common
    return {"kind": "leaf", "type": hint.__name__} | common


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0] if doc else ""


def defaults(description: Description) -> Any:
    """The value that a complete file holds where nothing else is chosen."""
    if description["kind"] == "section":
        return {name: defaults(inner) for name, inner in description["fields"].items()}
    return json.loads(json.dumps(description["default"]))


def backbone_description(module: str, attribute: str, cache: Path | None) -> Description:
    """The description of a backbone's block, from ``<class>.Params``.

    Importing a backbone imports torch, which costs a second: the answer is remembered under
    ``cache``, keyed by the content of the backbone's file.
    """
    key = _module_digest(module)
    remembered = cache / f"{key}-{attribute}.json" if cache is not None and key else None
    if remembered is not None and remembered.is_file():
        try:
            return json.loads(remembered.read_text())
        except ValueError:
            remembered.unlink(missing_ok=True)  # cut off while it was written: made anew below
    from dpc.backbones import resolve

    backbone: Any = resolve(f"{module}:{attribute}")
    description = describe(backbone.Params)
    if remembered is not None:
        from dpc.files import write_atomically

        write_atomically(remembered, json.dumps(description).encode())
    return description


def _module_digest(module: str) -> str | None:
    """SHA-256 of a module's file and of the contract it is read through; None: not found."""
    from importlib.util import find_spec

    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    digest = hashlib.sha256(Path(spec.origin).read_bytes())
    package = Path(__file__).parents[1]
    for shared in ("params/schema.py", "params/fields.py", "backbones/base.py"):
        digest.update((package / shared).read_bytes())
    return digest.hexdigest()[:32]
