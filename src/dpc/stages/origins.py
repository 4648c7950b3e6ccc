"""What an artefact's provenance says it was made with, under the names that params.yaml has."""

from collections.abc import Iterator, Mapping
from typing import Any

from dpc.artifacts import canonical

Provenance = Mapping[str, Any]
# Keys of slices (see `dpc.stages.slices`) whose place in params.yaml does not hang on the cell.
_PLACES = {
    "classes": "protocol: classes that are tuned on",
    "dpc": "dpc",
    "optimizer": "optimizer",
    "pool": "dpc.negatives.pool: features of all training images",
    "protocol": "protocol",
    "split_by": "data.split_by",
    "template": "backbones.zero_shot.template",
    "test_cap": "data.test_cap",
    "together": "run.together: seeds that are trained together",
    "unlabelled": "data.unlabelled",
    "val_shots": "data.val_shots",
    "views": "data.views",
    "zero_shot": "backbones.zero_shot",
}
_TEACHER = ("teacher", "teacher_features")


def parameters(provenance: Provenance) -> dict[str, Any]:
    """Dotted key -> value, of all parameters that the artefact's work read; a key that params.yaml
    does not have as it stands has the stage in front."""
    if provenance["stage"] == "sweep":
        return _of_sweep(provenance)
    found: dict[str, Any] = {}
    for key, value in (provenance["params"] or {}).items():
        found |= _flat(*_placed(key, value, provenance))
    return found


def _of_sweep(provenance: Provenance) -> dict[str, Any]:
    """Of all points of a sweep: what they share under its own key, the rest under the point's."""
    cell = provenance["cell"]
    points = {
        point: _of_point(work, cell) for point, work in provenance["params"]["points"].items()
    }
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for values in points.values() for key in values):
        having = {point: values[key] for point, values in points.items() if key in values}
        if len(having) == len(points) and len({canonical(value) for value in having.values()}) == 1:
            found["run.shots: the most" if key == "shots" else key] = next(iter(having.values()))
            continue
        own = key.replace(f"backbones.{cell['backbone']}.", "backbone.")
        found |= {f"sweeps.{cell['sweep']}.points.{p}.{own}": each for p, each in having.items()}
    return found


def _of_point(work: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """What the stages of a point read, but the curves over ω, which points do not draw."""
    seeds = [[seed for _, seed in group] for group in work["draws"]]
    found: dict[str, Any] = {
        "shots": work["draws"][0][0][0],
        "run.seeds": [seed for group in seeds for seed in group],
    }
    if any(len(group) > 1 for group in seeds):
        found["run.together: seeds that are trained together"] = seeds
    for kind, params in work.items():
        stage, _, method = kind.partition("+")
        if stage == "draws":
            continue
        name = f"{cell['backbone']}+{method}" if method else cell["backbone"]
        of = {"stage": stage, "cell": {**cell, "method": name}, "params": params}
        found |= parameters(of)
    return {key: value for key, value in found.items() if key not in ("dpc.sweep", "dpc.sweep_new")}


def backbone_of(provenance: Provenance) -> str:
    """The backbone of a cell; "" where it has none."""
    cell = provenance["cell"]
    return cell.get("backbone") or str(cell.get("method", "")).partition("+")[0]


def _placed(key: str, value: Any, provenance: Provenance) -> tuple[str, Any]:
    stage, cell = provenance["stage"], provenance["cell"]
    teacher, backbone = stage in _TEACHER, backbone_of(provenance)
    if key == "backbone":
        return ("teacher.settings" if teacher else f"backbones.{backbone}"), value
    if key == "clip":
        return "", _of_clip(value, "teacher" if teacher else "clip")
    if key == "weights":
        whole = str(cell.get("method")).endswith("+dpc")
        return "dpc", dict(zip(("weight", "weight_new"), value, strict=True)) if whole else {}
    if key == "baseline":
        return f"baselines.{backbone}", value
    if key == "imported":
        role = "parallel" if stage == "finetune" else "tuned"
        return f"imported.{'teacher' if teacher else backbone}.{role}", value
    if key in ("shots", "seed") and teacher:
        return {"shots": "run.shots: the first", "seed": "teacher.seed"}[key], value
    if stage == "prepare" and key not in _PLACES:
        return f"data.on_disk.{cell['dataset']}.{key}", value
    if key.startswith("dpc."):
        return key, value
    return _PLACES.get(key, f"{stage}: {key}"), value


def _of_clip(used: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The CLIP of some work; precision and threads are one for all."""
    weights = {f"{section}.{key}": value for key, value in used["weights"].items()}
    return weights | {"clip.precision": used["precision"], "run.threads": used["threads"]}


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, inner in value.items():
        yield from _flat(f"{key}.{name}" if key else name, inner)
