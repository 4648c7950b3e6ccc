"""A parameter field: its default, its meaning, what is allowed and where the number comes from."""

from dataclasses import field
from typing import Any

SOURCE_DPC = "DPC, CVPR 2025"
SOURCE_COOP = "CoOp's data protocol"


def param(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    choices: tuple[Any, ...] | None = None,
    unique: bool = False,
    optional: bool = False,
    source: str = "",
    layers: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that carries its own documentation and limits.

    Args:
        default: value, or a zero-argument factory for lists and mappings.
        doc: meaning and unit, one line.
        ge, gt, le: limits; for lists they hold for every element.
        choices: allowed values; for lists they hold for every element.
        unique: a list whose elements may not repeat.
        optional: a file may leave the key out.
        source: where the default comes from.
        layers: towers ("text", "image") in which it is a number of prompted layers.
    """
    metadata = {
        "doc": doc,
        "ge": ge,
        "gt": gt,
        "le": le,
        "choices": choices,
        "unique": unique,
        "optional": optional,
        "source": source,
        "layers": layers,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)
