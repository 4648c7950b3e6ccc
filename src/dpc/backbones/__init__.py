"""The backbones by name."""

import difflib
import importlib

from dpc.errors import DpcError

BACKBONES = {
    "zero_shot": "dpc.backbones.zero_shot:ZeroShot",
    "coop": "dpc.backbones.coop:CoOp",
    "maple": "dpc.backbones.maple:MaPLe",
    "promptsrc": "dpc.backbones.promptsrc:PromptSRC",
    "promptkd": "dpc.backbones.promptkd:PromptKD",
}


def resolve(name: str) -> type:
    """The class of a backbone: a name out of ``BACKBONES``, or a dotted path ``module:Class``.

    Raises:
        DpcError: the name is not known, or the path leads to no backbone.
    """
    if ":" not in name and name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise DpcError(f"backbone {name!r} is not known{hint}: allowed are {', '.join(BACKBONES)}")
    path = BACKBONES.get(name, name)
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as problem:
        raise DpcError(
            f"backbone {path!r} cannot be imported: {problem}; is its folder on PYTHONPATH?"
        ) from problem
    from dpc.backbones.base import Backbone

    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise DpcError(f"backbone {path!r} is no subclass of dpc.backbones.base.Backbone")
    return found
