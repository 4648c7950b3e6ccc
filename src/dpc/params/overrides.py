"""Overrides in Hydra's syntax, applied to a params file."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from dpc.errors import ParamsError
from dpc.params.schema import Description, describe
from dpc.params.sections import Params


def compose(values: Mapping[str, Any], overrides: Sequence[str], place: str) -> dict[str, Any]:
    """``values`` with overrides in Hydra's syntax (``dpc.lr=0.01``, ``+preset=smoke``).

    Below keys whose names are the user's own (``backbones``, ``dpc.by_backbone`` and such) a new
    name needs no ``+``.

    Raises:
        ParamsError: an override that cannot be read, or whose key does not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as problem:
        raise ParamsError([f"override not understood: {_one_line(problem)}"]) from None
    paths = set(_paths(values))
    unknown: list[str] = []
    lines: list[str] = []
    for override in parsed:
        key, line = override.key_or_group, str(override.input_line)
        if _own_name(key) and override.type in (OverrideType.CHANGE, OverrideType.ADD):
            lines.append(f"++{line.removeprefix('+')}")  # the check of the outcome sees what it is
            continue
        lines.append(line)
        unknown += _unknown_key(key, paths)
    if unknown:
        raise ParamsError([f"{place}: {text}" for text in unknown])
    ConfigStore.instance().store(name="params", node=OmegaConf.create(dict(values)))
    try:
        with initialize_config_module(config_module="dpc.conf", version_base="1.3"):
            composed = hydra_compose(config_name="params", overrides=lines)
    except (HydraException, OmegaConfBaseException) as problem:
        raise ParamsError([f"override not understood: {_one_line(problem)}"]) from None
    return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]


def _own_name(key: str) -> bool:
    """Whether a key lies below one whose names are the user's."""
    return any(key.startswith(f"{mapping}.") for mapping in _mappings(describe(Params)))


def _unknown_key(key: str, paths: set[str]) -> list[str]:
    """A line about an override's key that no parameter has; ``preset`` is Hydra's group."""
    if key == "preset" or key in paths or any(path.startswith(f"{key}.") for path in paths):
        return []
    tail = sorted(path for path in paths if path.endswith(f".{key}"))
    close = tail or difflib.get_close_matches(key, sorted(paths), n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else " (`dpc params` lists all)"
    return [f"{key} is not a parameter{hint}"]


def _mappings(description: Description, prefix: str = "") -> list[str]:
    """Paths of the parameters whose keys are the user's own names."""
    found: list[str] = []
    for name, inner in description["fields"].items():
        if inner["kind"] == "mapping":
            found.append(f"{prefix}{name}")
        elif inner["kind"] == "section":
            found += _mappings(inner, f"{prefix}{name}.")
    return found


def _paths(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        found += _paths(value, f"{path}.") if isinstance(value, Mapping) and value else [path]
    return found


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())
