"""Slices: for each kind of work, exactly the parameters it reads and the version of its code.

A slice is a small JSON file that is rewritten only when its content changes. Its hash tells DVC,
its time tells Snakemake, and its values are part of the store's key: one mechanism for all three.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dpc.clip.spec import ClipSpec, weights_identity
from dpc.files import write_atomically
from dpc.params.load import as_dict
from dpc.params.sections import Params
from dpc.provenance import code_version
from dpc.stages.cells import Method, methods
from dpc.stages.layout import Layout

Slice = dict[str, Any]


def all_slices(params: Params) -> dict[str, Callable[[], Slice]]:
    """Every slice of the grid, by name; made when called."""
    found: dict[str, Callable[[], Slice]] = {
        "features": partial(features, params),
        "shots": partial(shots, params),
        "report": partial(report, params),
    }
    for dataset in params.run.datasets:
        found[f"prepare.{dataset}"] = partial(prepare, params, dataset)
    for backbone in params.run.backbones:
        found[f"tune.{backbone}"] = partial(tune, params, backbone)
        found[f"finetune.{backbone}"] = partial(finetune, params, backbone)
    for backbone in params.run.budget:
        found[f"budget.{backbone}"] = partial(budget, params, backbone)
    for method in methods(params):
        found[f"evaluate.{method.name}"] = partial(evaluate, params, method)
    return found


def sync(params: Params, layout: Layout) -> list[Path]:
    """Write the slices that changed; remove those that no cell of the grid has any more.

    Returns:
        The files whose content is new.
    """
    from dpc import hashes

    changed = []
    wanted = {layout.slice(name): make for name, make in all_slices(params).items()}
    for path, make in wanted.items():
        content = (json.dumps(make(), sort_keys=True, indent=1, ensure_ascii=False)).encode()
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
            changed.append(path)
    folder = layout.slice("any").parent
    for path in folder.glob("*.json") if folder.is_dir() else ():
        if path not in wanted:
            path.unlink()
    hashes.save()
    return changed


def prepare(params: Params, dataset: str) -> Slice:
    """A dataset's images: how they are split, and the files they come from."""
    from dpc.datasets import EMBEDDED, icons, split_file

    if dataset in EMBEDDED:
        read = {"split_by": params.data.split_by, "test_cap": params.data.test_cap}
        return _slice(
            read, "dpc.stages.prepare", "dpc.datasets.icons", sources=icons.sources(dataset)
        )
    place = asdict(params.data.on_disk[dataset]) | {"root": params.data.root}
    sources = split_file.sources(dataset, params)
    return _slice(place, "dpc.stages.prepare", "dpc.datasets.split_file", sources=sources)


def features(params: Params) -> Slice:
    """Features of test images: the CLIP and its arithmetic."""
    return _slice(_clip(params), "dpc.stages.features")


def shots(params: Params) -> Slice:
    """Features of one seed's training views: the CLIP, the draw and the views."""
    values = as_dict(params)["data"]
    drawn = {key: values[key] for key in ("shots", "val_shots", "views")}
    pool = {"pool": params.dpc.negatives.pool}
    return _slice(_clip(params) | drawn | pool, "dpc.stages.features")


def tune(params: Params, backbone: str) -> Slice:
    """Stage one: the backbone's block, the optimizer, the CLIP."""
    return _slice(_training(params, backbone), "dpc.stages.tune", _module(params, backbone))


def budget(params: Params, backbone: str) -> Slice:
    """Stage one prolonged to the images of both stages: what stage two's length depends on too."""
    dpc = params.dpc
    length = {
        "dpc.epochs": dpc.epochs,
        "dpc.objective": dpc.objective,
        "dpc.negatives.k": dpc.negatives.k,
    }
    values = _training(params, backbone) | length
    return _slice(values, "dpc.stages.tune", _module(params, backbone))


def finetune(params: Params, backbone: str) -> Slice:
    """Stage two: all of ``dpc`` but what only inference reads."""
    dpc = as_dict(params)["dpc"]
    inference = {"weight", "weight_new", "inference", "sweep", "sweep_new"}
    if params.dpc.parametrization != "parallel":
        inference -= {"weight"}  # there ω_b is a parameter of training as well
    values = {key: value for key, value in dpc.items() if key not in inference}
    return _slice(
        _training(params, backbone) | {"dpc": values},
        "dpc.stages.finetune",
        _module(params, backbone),
    )


def evaluate(params: Params, method: Method) -> Slice:
    """One row: the backbone's block and the CLIP; with DPC, its weights."""
    values = _clip(params) | {"backbone": params.backbones[method.backbone]}
    if method.dpc:
        dpc = as_dict(params)["dpc"]
        read = ("weight", "weight_new", "inference", "parametrization", "sweep", "sweep_new")
        values |= {"dpc": {key: dpc[key] for key in read}}
    return _slice(values, "dpc.stages.evaluate", _module(params, method.backbone))


def report(params: Params) -> Slice:
    """The page shows every parameter."""
    return _slice(as_dict(params), "dpc.stages.report")


def _slice(
    values: Mapping[str, Any], *roots: str, sources: Mapping[str, str] | None = None
) -> Slice:
    found: Slice = {"params": dict(values), "code": code_version(*roots)}
    return found | ({"sources": dict(sources)} if sources is not None else {})


def _clip(params: Params) -> dict[str, Any]:
    spec = clip_spec(params)
    return {
        "clip": asdict(params.clip) | {"weights": weights_identity(spec)},
        "threads": params.run.threads,
    }


def _training(params: Params, backbone: str) -> dict[str, Any]:
    return _clip(params) | {
        "backbone": params.backbones[backbone],
        "optimizer": asdict(params.optimizer),
    }


def _module(params: Params, backbone: str) -> str:
    from dpc.backbones import BACKBONES

    return BACKBONES.get(backbone, backbone).partition(":")[0]


def clip_spec(params: Params) -> ClipSpec:
    """The CLIP of an experiment."""
    clip = params.clip
    return ClipSpec(clip.model, clip.pretrained, clip.precision, clip.device)
