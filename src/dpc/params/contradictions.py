"""Values that are each allowed but do not go together."""

import difflib
import re

from dpc.clip.spec import ClipSpec, check_spec
from dpc.errors import DpcError
from dpc.params.sections import Params

SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


def contradictions(params: Params) -> list[str]:
    """One line for each pair of keys that contradict each other."""
    found = [line for name in params.run.datasets if (line := unknown_dataset(name, params))]
    found += _names(params)
    found += _templates(params)
    found += _grid(params)
    found += _clip(params)
    found += _dpc(params)
    return found


def unknown_dataset(name: str, params: Params) -> str | None:
    """A line if no dataset has this name, with the nearest that does."""
    known = known_datasets(params)
    if name in known:
        return None
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"dataset {name!r} does not exist{hint} (known: {', '.join(known)})"


def known_datasets(params: Params) -> list[str]:
    """Embedded datasets, then those of ``data.on_disk``."""
    from dpc.datasets import EMBEDDED

    return [*EMBEDDED, *params.data.on_disk]


def _names(params: Params) -> list[str]:
    found = []
    for name in params.data.on_disk:
        if not SAFE_NAME.match(name):
            found.append(
                f"data.on_disk.{name}: the name becomes a folder; "
                "letters, digits, - and _ are expected"
            )
        if name.startswith("icons-"):
            found.append(f"data.on_disk.{name}: names beginning with icons- are the embedded ones")
    return found


def _templates(params: Params) -> list[str]:
    places = {
        f"backbones.{name}.template": block["template"]
        for name, block in params.backbones.items()
        if isinstance(block, dict) and "template" in block
    }
    places |= {
        f"data.on_disk.{n}.template": place.template for n, place in params.data.on_disk.items()
    }
    return [
        f"{key} is {template!r}; a sentence with one {{}} for the class name is expected"
        for key, template in places.items()
        if template.count("{}") != 1
    ]


def _grid(params: Params) -> list[str]:
    run = params.run
    found = []
    for key in ("datasets", "backbones", "seeds"):
        if not getattr(run, key):
            found.append(f"run.{key} is empty; at least one is expected")
    if "zero_shot" in run.backbones:
        found.append("run.backbones: zero_shot learns nothing and is always a row; leave it out")
    for name in run.backbones:
        if name not in params.backbones:
            known = [known for known in params.backbones if known != "zero_shot"]
            found.append(
                f"run.backbones: {name!r} has no block under backbones (known: {', '.join(known)})"
            )
    for name in run.budget:
        if name not in run.backbones:
            found.append(f"run.budget: {name!r} is not in run.backbones")
    return found


def _clip(params: Params) -> list[str]:
    clip = params.clip
    try:
        check_spec(ClipSpec(clip.model, clip.pretrained, clip.precision, clip.device))
    except DpcError as problem:
        return [str(problem)]
    return []


def _dpc(params: Params) -> list[str]:
    dpc = params.dpc
    found = []
    if dpc.parametrization != "parallel" and dpc.weight == 0:
        found.append(
            f"dpc.weight 0 and dpc.parametrization {dpc.parametrization} contradict each other; "
            "stage two divides by the weight there, a weight above 0 is expected"
        )
    return found
