"""The backbones by name."""

import difflib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpc.errors import DpcError

BACKBONES = {
    "zero_shot": "dpc.backbones.zero_shot:ZeroShot",
    "coop": "dpc.backbones.coop:CoOp",
    "maple": "dpc.backbones.maple:MaPLe",
    "promptsrc": "dpc.backbones.promptsrc:PromptSRC",
    "promptkd": "dpc.backbones.promptkd:PromptKD",
}


def resolve(name: str, block: Mapping[str, Any] | None = None) -> type:
    """The class of a backbone: a name out of ``BACKBONES``, or a dotted path ``module:Class``.

    Args:
        name: its name, or the path itself.
        block: its block in params.yaml, which names the class of a backbone from outside.

    Raises:
        DpcError: the name is not known, or the path leads to no backbone.
    """
    path = BACKBONES.get(name, name)
    if block is not None and name not in BACKBONES:
        path = block.get("class", name)
    if ":" not in path:
        near = difflib.get_close_matches(name, BACKBONES, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise DpcError(f"backbone {name!r} is not known{hint}: allowed are {', '.join(BACKBONES)}")
    module_name, _, class_name = path.partition(":")
    look_here(module_name)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (AttributeError, ImportError, NameError, SyntaxError, TypeError, ValueError) as problem:
        raise DpcError(
            f"backbone {path!r} cannot be imported: {' '.join(str(problem).split())}; "
            f"is its folder {Path.cwd()} or on PYTHONPATH?"
        ) from problem
    from dpc.backbones.base import Backbone

    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise DpcError(f"backbone {path!r} is no subclass of dpc.backbones.base.Backbone")
    return found


def look_here(module: str) -> None:
    """Let a module of the working directory be found; after installed ones, so that a file named
    as a library does not stand before it."""
    here = str(Path.cwd())
    if module.partition(".")[0] != "dpc" and here not in sys.path:
        sys.path.append(here)
