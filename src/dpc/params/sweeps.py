"""The section of params.yaml about sweeps: cells run again with some keys changed."""

from dataclasses import dataclass
from typing import Any

from dpc.params.fields import param


@dataclass(frozen=True)
class Sweep:
    """One sweep: named points, each with the keys that it changes."""

    title: str = param("", "What the report calls it; nothing: its name.", optional=True)
    backbones: list[str] = param(
        list,
        "Only these backbones of the grid; empty: all that have the keys.",
        unique=True,
        optional=True,
    )
    points: dict[str, dict[str, Any]] = param(
        dict,
        "Points by name: keys below dpc, keys of the backbone's own block (backbone.depth is every "
        "number of prompted layers that it has), or shots: "
        "{k2-b16: {dpc.negatives.k: 2, dpc.batch: 16}, m8: {backbone.length: 8}, one: {shots: 1}}.",
    )


def default_sweeps() -> dict[str, Sweep]:
    """The paper's sweeps over what training reads; ω_b and ω_n are curves of every grid.

    Contexts of other lengths start from noise: there are no words of just that length.
    """
    return {
        "negatives": Sweep(
            "K × B",
            [],
            {
                f"k{k}-b{32 // k}": {"dpc.negatives.k": k, "dpc.batch": 32 // k}
                for k in (2, 4, 8, 16)
            },
        ),
        "shots": Sweep("Shots", [], {f"shots{n}": {"shots": n} for n in (1, 2, 4, 8, 16)}),
        "length": Sweep(
            "Context tokens, from noise",
            [],
            {f"m{m}": {"backbone.init": None, "backbone.length": m} for m in (2, 4, 8)},
        ),
        "depth": Sweep("Prompted layers", [], {f"d{d}": {"backbone.depth": d} for d in (1, 2, 3)}),
        "parametrization": Sweep(
            "What stage two steps on",
            [],
            {name: {"dpc.parametrization": name} for name in ("parallel", "mixed", "released")},
        ),
    }
