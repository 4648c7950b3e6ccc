"""Reading, composing and checking a params file; what comes out is typed and complete."""

import dataclasses
import difflib
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any

from dpc.errors import DpcError, ParamsError
from dpc.params.check import problems
from dpc.params.contradictions import contradictions, unknown_dataset
from dpc.params.schema import (
    Description,
    backbone_description,
    defaults,
    describe,
    params_description,
)
from dpc.params.sections import (
    ClipParams,
    Data,
    Dpc,
    Negatives,
    OnDisk,
    Optimizer,
    Params,
    Run,
    TeacherParams,
    View,
)

FILE = "params.yaml"
CACHE = Path(".cache/descriptions")


def load(path: Path = Path(FILE), overrides: Sequence[str] = ()) -> Params:
    """The parameters in ``path`` with Hydra overrides applied, checked.

    Raises:
        ParamsError: every problem of the file, one line each.
    """
    values = read(path)
    if overrides:
        values = compose(values, overrides, str(path))
    return checked(values, str(path))


def read(path: Path) -> dict[str, Any]:
    """The file's values as they stand.

    Raises:
        ParamsError: the file is missing or is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(
            [f"{path} is missing; `dpc params > {path}` writes a complete one"]
        ) from None
    except UnicodeDecodeError:
        raise ParamsError([f"{path} is not UTF-8 text"]) from None
    except OSError as problem:
        raise ParamsError([f"{path} cannot be read: {problem.strerror}"]) from None
    try:
        values = YAML(typ="safe").load(io.StringIO(text))
    except YAMLError as problem:
        first = " ".join(str(problem).split())
        raise ParamsError([f"{path} is not valid YAML: {first}"]) from None
    if not isinstance(values, dict):
        raise ParamsError([f"{path} holds no parameters; `dpc params > {path}` writes them"])
    return values


def checked(values: Mapping[str, Any], place: str = FILE) -> Params:
    """``values`` as typed parameters.

    Raises:
        ParamsError: every unknown key, wrong type, value out of range and contradiction.
    """
    description = description_for(values)
    found = problems(values, description)
    if not found:
        params = _typed(_floats(values, description))
        found = contradictions(params)
        if not found:
            return params
    raise ParamsError([f"{place}: {line}" for line in found])


def description_for(values: Mapping[str, Any]) -> Description:
    """What a file may hold; backbones that it neither names nor needs are not looked into."""
    from dpc.backbones import BACKBONES

    run = values.get("run")
    listed = run.get("backbones") if isinstance(run, Mapping) else None
    needed = ["zero_shot", *(listed if isinstance(listed, list) else [])]
    blocks = values.get("backbones")
    blocks = blocks if isinstance(blocks, Mapping) else {}
    described: dict[str, Description] = {}
    for name, target in BACKBONES.items():
        if name in needed or name in blocks:
            module, _, attribute = target.partition(":")
            described[name] = backbone_description(module, attribute, CACHE)
        else:
            described[name] = {"kind": "any", "doc": "", "default": {}}
        described[name] |= {"optional": name not in needed}
    return params_description(described)


def compose(values: Mapping[str, Any], overrides: Sequence[str], place: str) -> dict[str, Any]:
    """``values`` with overrides in Hydra's syntax (``dpc.lr=0.01``, ``+preset=smoke``).

    Raises:
        ParamsError: an override that cannot be read, or whose key does not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as problem:
        raise ParamsError([f"override not understood: {_one_line(problem)}"]) from None
    unknown = [
        line
        for override in parsed
        if (line := _unknown_key(override.key_or_group, values)) is not None
    ]
    if unknown:
        raise ParamsError([f"{place}: {line}" for line in unknown])
    ConfigStore.instance().store(name="params", node=OmegaConf.create(dict(values)))
    try:
        with initialize_config_module(config_module="dpc.conf", version_base="1.3"):
            composed = hydra_compose(config_name="params", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as problem:
        raise ParamsError([f"override not understood: {_one_line(problem)}"]) from None
    return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]


def preset(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The complete values of a preset.

    Raises:
        ParamsError: no preset has that name.
    """
    known = presets()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ParamsError([f"preset {name!r} does not exist{hint} (known: {', '.join(known)})"])
    base = complete_defaults()
    return compose(base, [f"+preset={name}", *overrides], f"preset {name}")


def complete_defaults() -> dict[str, Any]:
    """The defaults of every section and of every backbone that the package knows."""
    from dpc.backbones import BACKBONES

    return defaults(description_for({"run": {"backbones": list(BACKBONES)}}))


def presets() -> list[str]:
    """Names of the package's presets."""
    folder = resources.files("dpc.conf") / "preset"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def preset_heading(name: str) -> str:
    """What a preset reproduces, on what, in how long, with what result: its leading comment."""
    return leading_comment((resources.files("dpc.conf") / "preset" / f"{name}.yaml").read_text())


def leading_comment(text: str) -> str:
    """The comment that a file begins with, without Hydra's own mark."""
    lines = [line[1:].strip() for line in takewhile(lambda x: x.startswith("#"), text.splitlines())]
    return "\n".join(line for line in lines if not line.startswith("@package"))


def as_dict(params: Params) -> dict[str, Any]:
    """Plain values, as the file holds them."""
    return dataclasses.asdict(params)


def _floats(values: Any, description: Description) -> Any:
    """``values`` with whole numbers as floats where floats are meant: 1 and 1.0 are one value."""
    if description["kind"] == "section":
        fields = description["fields"]
        return {name: _floats(value, fields[name]) for name, value in values.items()}
    if description["kind"] == "mapping":
        return {name: _floats(value, description["value"]) for name, value in values.items()}
    if description.get("type") != "float" or values is None:
        return values
    return [float(value) for value in values] if isinstance(values, list) else float(values)


def _typed(values: Mapping[str, Any]) -> Params:
    data, dpc = dict(values["data"]), dict(values["dpc"])
    data["views"] = View(**data["views"])
    data["on_disk"] = {name: OnDisk(**block) for name, block in data["on_disk"].items()}
    dpc["negatives"] = Negatives(**dpc["negatives"])
    return Params(
        protocol=values["protocol"],
        run=Run(**values["run"]),
        data=Data(**data),
        clip=ClipParams(**values["clip"]),
        optimizer=Optimizer(**values["optimizer"]),
        backbones=dict(values["backbones"]),
        teacher=TeacherParams(**values["teacher"]),
        dpc=Dpc(**dpc),
    )


def _unknown_key(key: str, values: Mapping[str, Any]) -> str | None:
    """A line about an override's key that no parameter has; ``preset`` is Hydra's group."""
    if key == "preset":
        return None
    paths = _paths(values)
    if key in paths or any(path.startswith(f"{key}.") for path in paths):
        return None
    if any(key.startswith(f"{mapping}.") for mapping in _mappings(describe(Params))):
        return None  # names of its own: the check of the composed values sees what is below
    tail = [path for path in paths if path.endswith(f".{key}")]
    close = tail or difflib.get_close_matches(key, paths, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else " (`dpc params` lists all)"
    return f"{key} is not a parameter{hint}"


def _mappings(description: Description, prefix: str = "") -> list[str]:
    """Paths of the parameters whose keys are the user's own names."""
    found: list[str] = []
    for name, inner in description["fields"].items():
        if inner["kind"] == "mapping" and inner["value"]["kind"] == "section":
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


def require_dataset(params: Params, name: str) -> None:
    """Raise one line if ``name`` is no dataset of the package nor of ``data.on_disk``."""
    line = unknown_dataset(name, params)
    if line:
        raise DpcError(line)
