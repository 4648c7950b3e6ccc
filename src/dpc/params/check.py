"""Is a params file usable? Every problem in one line each, all together."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

from dpc.params.schema import LEAVES, Description


def problems(values: Any, description: Description, where: str = "") -> list[str]:
    """Every way in which ``values`` does not fit ``description``; the order follows the file."""
    kind = description["kind"]
    if kind == "section":
        return _section_problems(values, description, where)
    if kind == "mapping":
        return _mapping_problems(values, description, where)
    if kind == "list":
        return _list_problems(values, description, where)
    if kind == "leaf":
        return _leaf_problems(values, description, where)
    if kind == "invalid":
        return [f"{where} {description['problem']}"]
    return []


def _section_problems(values: Any, description: Description, where: str) -> list[str]:
    if not isinstance(values, Mapping):
        return [f"{where or 'the file'} is {_shown(values)}; a block of keys is expected"]
    known = description["fields"]
    found: list[str] = []
    for key, value in values.items():
        path = f"{where}.{key}" if where else str(key)
        if key in known:
            found += problems(value, known[key], path)
        elif not description.get("open"):
            found.append(_unknown(path, str(key), where, known))
    for key, inner in known.items():
        if key not in values and not inner.get("optional"):
            path = f"{where}.{key}" if where else key
            found.append(f"{path} is missing; `dpc params` writes a complete file")
    return found


def _unknown(path: str, key: str, where: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    prefix = f"{where}." if where else ""
    hint = f"; did you mean {prefix}{close[0]}?" if close else ""
    return f"{path} is not a parameter{hint} (known: {', '.join(sorted(known))})"


def _mapping_problems(values: Any, description: Description, where: str) -> list[str]:
    if not isinstance(values, Mapping):
        return [f"{where} is {_shown(values)}; a mapping of names is expected"]
    found = []
    for key, value in values.items():
        found += problems(value, description["value"], f"{where}.{key}")
    return found


def _list_problems(values: Any, description: Description, where: str) -> list[str]:
    if values is None and description.get("nullable"):
        return []
    if not isinstance(values, list):
        return [f"{where} is {_shown(values)}; a list is expected"]
    found: list[str] = []
    item = description | {"kind": "leaf", "nullable": False}
    for index, value in enumerate(values):
        found += _leaf_problems(value, item, f"{where}[{index}]")
    if description.get("unique") and not found and len(set(values)) < len(values):
        twice = next(v for v in values if values.count(v) > 1)
        found.append(f"{where} holds {_shown(twice)} twice; each value once is expected")
    return found


def _leaf_problems(value: Any, description: Description, where: str) -> list[str]:
    if value is None and description.get("nullable"):
        return []
    if not _has_type(value, description["type"]):
        return [f"{where} is {_shown(value)}; {allowed(description)} is expected"]
    choices = description.get("choices")
    if choices and value not in choices:
        close = difflib.get_close_matches(str(value), [str(c) for c in choices], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return [f"{where} is {_shown(value)}{hint} ({allowed(description)} is expected)"]
    outside = (
        (description.get("ge") is not None and value < description["ge"])
        or (description.get("gt") is not None and value <= description["gt"])
        or (description.get("le") is not None and value > description["le"])
    )
    if outside:
        return [f"{where} is {_shown(value)}; {allowed(description)} is expected"]
    return []


def _has_type(value: Any, name: str) -> bool:
    if name == "bool":
        return isinstance(value, bool)
    if name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "float":
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and math.isfinite(value)
    return isinstance(value, str)


def allowed(description: Description) -> str:
    """What a value may be, in words: ``a number in [0, 1]``."""
    if description.get("choices"):
        return "one of " + ", ".join(str(c) for c in description["choices"])
    words = {bool: "bool", int: "int", float: "float", str: "str"}
    text = next(LEAVES[t] for t, name in words.items() if name == description["type"])
    low, above, high = (description.get(key) for key in ("ge", "gt", "le"))
    if low is not None and high is not None:
        text += f" in [{low}, {high}]"
    elif above is not None and high is not None:
        text += f" in ({above}, {high}]"
    elif low is not None:
        text += f" of at least {low}"
    elif above is not None:
        text += f" above {above}"
    return text + (", or null" if description.get("nullable") else "")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"{value!r} (text)"
    if isinstance(value, Mapping):
        return "a block of keys"
    if isinstance(value, list):
        return "a list"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
