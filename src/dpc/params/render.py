"""params.yaml as people read it: a comment above each key with meaning, allowed values, source."""

import json
import re
from collections.abc import Mapping
from typing import Any

from dpc.params.check import allowed
from dpc.params.schema import Description

WIDTH = 96
PLAIN = re.compile(r"^[A-Za-z](?:[A-Za-z0-9_./{} -]*[A-Za-z0-9_./}])?$")
RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def render(values: Mapping[str, Any], description: Description, heading: str = "") -> str:
    """The text of a params file; parsing it gives ``values`` back."""
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    _section(values, description, 0, lines)
    return "\n".join(lines) + "\n"


def _section(values: Any, description: Description, depth: int, lines: list[str]) -> None:
    for name, value in values.items():
        inner = description["fields"][name]
        pad = "  " * depth
        if depth == 0:
            lines.append("")
        lines.extend(_comment(inner, pad, value))
        if inner["kind"] == "section":
            lines.append(f"{pad}{name}:" + ("" if value else " {}"))
            _section(value, inner, depth + 1, lines)
        elif inner["kind"] == "mapping" and value:
            lines.append(f"{pad}{name}:")
            _mapping(value, inner["value"], depth + 1, lines)
        elif isinstance(value, list) and value:
            # As DVC writes lists: `dvc exp run -S` then changes one line and no other.
            lines.append(f"{pad}{name}:")
            lines.extend(f"{pad}- {scalar(item)}" for item in value)
        else:
            lines.append(f"{pad}{name}: {scalar(value)}")


def _mapping(values: Any, description: Description, depth: int, lines: list[str]) -> None:
    """Names of the user's own; of blocks that are alike, the first one says what its keys mean."""
    pad, plain, said = "  " * depth, description.get("partial", False), False
    for name, value in values.items():
        if description["kind"] != "section" or not value:
            lines.append(f"{pad}{scalar(name)}: {scalar(value)}")
        elif plain:
            lines.append(f"{pad}{scalar(name)}:")
            lines.extend(f"{pad}  {key}: {scalar(each)}" for key, each in value.items())
        else:
            lines.append(f"{pad}{scalar(name)}:")
            block: list[str] = []
            _section(value, description, depth + 1, block)
            lines.extend(line for line in block if not said or not line.lstrip().startswith("#"))
            said = True


def _comment(description: Description, pad: str, value: Any) -> list[str]:
    parts = [description.get("doc", "")]
    if description["kind"] == "leaf":
        parts.append(f"[{allowed(description)}]")
    elif description["kind"] == "list":
        item = allowed(description | {"nullable": False})
        parts.append(f"[list, each {item}]")
    if description.get("source"):
        # A source speaks of the default; a preset that chose another number says so.
        own = value == description["default"]
        parts.append(
            f"Source: {description['source']}"
            + ("." if own else f" (there {scalar(description['default'])}).")
        )
    words = " ".join(part for part in parts if part).split()
    lines, line = [], f"{pad}#"
    for word in words:
        if len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = f"{pad}#"
        line += f" {word}"
    return [*lines, line] if words else []


def scalar(value: Any) -> str:
    """A value on one line, in YAML that versions 1.1 and 1.2 read alike."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = repr(value)
        mantissa, mark, exponent = text.partition("e")
        return text if not mark or "." in mantissa else f"{mantissa}.0e{exponent}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {scalar(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(scalar(v) for v in value) + "]"
    text = str(value)
    plain = PLAIN.match(text) and text.lower() not in RESERVED
    return text if plain else json.dumps(text, ensure_ascii=False)
