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
from dpc.params.backbones import (
    CLASS,
    block_descriptions,
    filled,
    teacher_name,
    unfitting_exceptions,
)
from dpc.params.baselines import Baselines, LinearProbeParams, TipAdapterParams
from dpc.params.check import problems
from dpc.params.contradictions import contradictions, unknown_dataset
from dpc.params.data import Data, Departure, Imported, OnDisk, Run, View
from dpc.params.overrides import compose
from dpc.params.schema import Description, defaults, params_description, partial
from dpc.params.sections import (
    ClipParams,
    Dpc,
    Negatives,
    Optimizer,
    Params,
    TeacherParams,
)
from dpc.params.sweep_rules import unfitting_points
from dpc.params.sweeps import Sweep

FILE = "params.yaml"


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
    """``values`` as typed parameters; blocks of the user's own backbones are completed.

    Raises:
        ParamsError: every unknown key, wrong type, value out of range and contradiction.
    """
    description = description_for(values)
    found = problems(values, description) or [
        *unfitting_exceptions(values, description),
        *unfitting_points(values, description),
    ]
    if not found:
        params = _typed(_floats(filled(values, description), description), description)
        found = contradictions(params)
        if not found:
            return params
    raise ParamsError([f"{place}: {line}" for line in found])


def description_for(values: Mapping[str, Any]) -> Description:
    """What a file may hold; backbones that it neither names nor needs are not looked into."""
    return params_description(block_descriptions(values), teacher_name(values))


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


def without_places(params: Params) -> dict[str, Any]:
    """The parameters as the page shows them: without where data lie and how many processes share
    the work, which changes no number."""
    values = as_dict(params)
    for key in ("workers", "gpu_share"):
        del values["run"][key]
    data = values["data"]
    for key in ("root", "places"):
        del data[key]
    for own in data["on_disk"].values():
        del own["images"]
        own["split"] = Path(own["split"]).name
    for files in values["imported"].values():
        files |= {stage: bool(file) for stage, file in files.items()}
    return values


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


def _typed(values: Mapping[str, Any], description: Description) -> Params:
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
        baselines=Baselines(
            LinearProbeParams(**values["baselines"]["linear_probe"]),
            TipAdapterParams(**values["baselines"]["tip_adapter"]),
        ),
        sweeps={name: Sweep(**block) for name, block in values["sweeps"].items()},
        exceptions={
            name: _departure(block, description) for name, block in values["exceptions"].items()
        },
        imported={name: Imported(**block) for name, block in values["imported"].items()},
    )


def _departure(block: Mapping[str, Any], description: Description) -> Departure:
    settings = partial(description["fields"]["backbones"]["fields"][block["backbone"]], CLASS)
    return Departure(**{**block, "settings": _floats(block["settings"], settings)})


def require_dataset(params: Params, name: str) -> None:
    """Raise one line if ``name`` is no dataset of the package nor of ``data.on_disk``."""
    line = unknown_dataset(name, params)
    if line:
        raise DpcError(line)
