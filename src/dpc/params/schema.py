"""From dataclasses to a plain description of every parameter, which needs no heavy import to use.

A description is a nested dict: a section holds ``fields``, a mapping holds the description of its
``value``, a leaf holds its type, default and limits. Validation, the comments of params.yaml and
the table in the docs are all made from it. A ``partial`` section is one that another section lends:
any of its keys may stand there, and none has to.
"""

import dataclasses
import json
import types
import typing
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


def params_description(backbones: typing.Mapping[str, Description], teacher: str) -> Description:
    """The whole file: the fixed sections, one block for each of ``backbones``, and the blocks that
    hold some keys of another one.

    Args:
        teacher: the backbone whose keys ``teacher.settings`` may hold.
    """
    whole = describe(Params)
    fields = whole["fields"]
    fields["backbones"] = {
        "kind": "section",
        "doc": fields["backbones"]["doc"],
        "fields": dict(backbones),
    }
    lent = backbones.get(teacher, ANY)
    if lent["kind"] == "section":
        fields["teacher"]["fields"]["settings"] = {
            **partial(lent, without="class"),
            "doc": fields["teacher"]["fields"]["settings"]["doc"],
        }
    fields["dpc"]["fields"]["by_backbone"]["value"] = partial(fields["dpc"], without="by_backbone")
    return whole


def partial(section: Description, without: str) -> Description:
    """A section of which any keys may be given, and none has to be; one key stays out."""
    fields = {
        name: partial(inner, without) if inner["kind"] == "section" else inner | {"optional": True}
        for name, inner in section["fields"].items()
        if name != without
    }
    return section | {"fields": fields, "partial": True, "optional": True, "default": {}}


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
        for key in ("ge", "gt", "le", "choices", "unique", "optional", "source", "layers")
        if f.metadata.get(key) or (key in ("ge", "gt", "le") and f.metadata.get(key) is not None)
    }
    if f.default_factory is not dataclasses.MISSING:
        default = f.default_factory()
    else:
        default = f.default if f.default is not dataclasses.MISSING else None
    common = {"doc": doc, "default": default, "nullable": nullable} | limits
    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
        common["required"] = True
    origin = typing.get_origin(hint)
    if origin is list:
        return {"kind": "list", "type": typing.get_args(hint)[0].__name__} | common
    if origin is dict:
        value = typing.get_args(hint)[1]
        return {"kind": "mapping", "value": _describe_value(value)} | common
    return {"kind": "leaf", "type": hint.__name__} | common


def _describe_value(hint: Any) -> Description:
    """What a mapping holds under each of its names."""
    if hint in LEAVES:
        return {"kind": "leaf", "type": hint.__name__, "nullable": False}
    return describe(hint) if isinstance(hint, type) and dataclasses.is_dataclass(hint) else ANY


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0] if doc else ""


def defaults(description: Description) -> Any:
    """The value that a complete file holds where nothing else is chosen."""
    if description["kind"] == "section" and not description.get("partial"):
        return {name: defaults(inner) for name, inner in description["fields"].items()}
    return json.loads(json.dumps(description["default"], default=dataclasses.asdict))
