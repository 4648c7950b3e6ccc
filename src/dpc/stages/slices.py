"""Slices: for each kind of work, exactly the parameters it reads and the version of its code.

A slice is a small JSON file that is rewritten only when its content changes. Its hash tells DVC,
its time tells Snakemake, and its values are part of the store's key: one mechanism for all three.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from dpc.baselines import BASELINES
from dpc.clip.spec import ClipSpec, weights_identity
from dpc.params.backbones import backbone_module, traits
from dpc.params.load import as_dict, without_places
from dpc.params.sections import Params
from dpc.params.sweep_rules import INFERENCE, applied, lacking, resolved, shots_of
from dpc.provenance import code_version
from dpc.stages.cells import Draw, Method, trained_together
from dpc.stages.imported import TEACHER, mark

Slice = dict[str, Any]


def prepare(params: Params, dataset: str) -> Slice:
    """A dataset's images: how they are split, and the files they come from."""
    from dpc.datasets import EMBEDDED, icons, on_disk

    if dataset in EMBEDDED:
        read = {"split_by": params.data.split_by, "test_cap": params.data.test_cap}
        drawn_by = {name: metadata.version(name) for name in ("pillow", "resvg-py")}
        return _slice(
            read,
            "dpc.stages.prepare",
            "dpc.datasets.icons",
            sources=icons.sources(dataset) | drawn_by,
        )
    own = params.data.on_disk.get(dataset)
    read = asdict(own) if own is not None else {}
    if own is not None:  # where files lie is no parameter of a result, only what they hold
        read |= {"images": None, "split": Path(own.split).name}
    reader = on_disk.reader_module(dataset)
    sources = on_disk.sources(dataset, params)
    return _slice(read, "dpc.stages.prepare", "dpc.datasets.on_disk", reader, sources=sources)


def features(params: Params) -> Slice:
    """Features of test images: the CLIP and its arithmetic."""
    return _computed(params, {}, "dpc.stages.features")


def shots(params: Params) -> Slice:
    """Features of one draw's training views: the CLIP, the classes, the draw and the views."""
    read = _drawn(params) | {"pool": pool_of_all(params), "classes": _classes(params)}
    return _computed(params, read, "dpc.stages.features")


def teacher(params: Params) -> Slice:
    """The teacher's prompts: its CLIP, its block, the draw, the views that its epochs show."""
    values = {
        "backbone": params.teacher_block(),
        "shots": params.run.shots[0],
        "classes": _classes(params),
        "views": _drawn(params)["views"],
        "seed": params.teacher.seed,
        "template": params.backbones["zero_shot"]["template"],
        "optimizer": asdict(params.optimizer),
    } | mark(params, "tuned", TEACHER)
    module = backbone_module(params, params.teacher.backbone)
    return _computed(params, values, "dpc.stages.teacher", module, clip=teacher_clip_spec(params))


def teacher_features(params: Params) -> Slice:
    """What students read of the teacher: its CLIP, and the views that they are shown."""
    values = {
        "views": as_dict(params)["data"]["views"] | {"count": student_views(params)},
        "template": params.backbones["zero_shot"]["template"],
        "unlabelled": params.data.unlabelled,
    }
    module = backbone_module(params, params.teacher.backbone)
    return _computed(params, values, "dpc.stages.teacher", module, clip=teacher_clip_spec(params))


def students(params: Params) -> list[str]:
    """The grid's backbones that learn from a teacher."""
    return [name for name in params.run.backbones if traits(params, name)["needs_teacher"]]


def student_views(params: Params) -> int:
    """Views of each training image that some student is shown, in whichever of its trainings."""
    count = params.data.views.count
    longest = 1
    for name in students(params):
        epochs = [params.backbones[name]["epochs"], params.stage_two(name).epochs]
        longest = max(longest, count if name in params.run.budget else 1, *epochs)
    return min(longest, count)


def tune(params: Params, backbone: str, drawn: Sequence[Draw] = ()) -> Slice:
    """Stage one: the backbone's block, the optimizer, the CLIP.

    Args:
        drawn: here and below the draws of one job; several take their steps together.
    """
    values = _training(params, backbone, drawn) | mark(params, "tuned", backbone)
    return _computed(params, values, "dpc.stages.tune", backbone_module(params, backbone))


def budget(params: Params, backbone: str, drawn: Sequence[Draw] = ()) -> Slice:
    """Stage one prolonged to the images of both stages: what stage two's length depends on too."""
    dpc = params.stage_two(backbone)
    length = {
        "dpc.batch": dpc.batch,
        "dpc.epochs": dpc.epochs,
        "dpc.objective": dpc.objective,
        "dpc.negatives.k": dpc.negatives.k,
    }
    values = _training(params, backbone, drawn) | length
    return _computed(params, values, "dpc.stages.tune", backbone_module(params, backbone))


def finetune(
    params: Params, backbone: str, two_step: bool = False, drawn: Sequence[Draw] = ()
) -> Slice:
    """Stage two: all of ``dpc`` but what only inference reads."""
    values = stage_two(params, backbone)
    if two_step:
        values["objective"] = "cross_entropy"
        del values["negatives"]  # it draws none
    elsewhere = {} if two_step else mark(params, "parallel", backbone)
    read = _training(params, backbone, drawn) | {"dpc": values} | elsewhere
    return _computed(params, read, "dpc.stages.finetune", backbone_module(params, backbone))


def stage_two(params: Params, backbone: str) -> dict[str, Any]:
    """Of ``dpc`` what stage two reads."""
    dpc = asdict(params.stage_two(backbone))
    inference = {*INFERENCE, "sweep", "sweep_new", "by_backbone"}
    if dpc["parametrization"] != "parallel":
        inference -= {"weight"}  # there ω_b is a parameter of training as well
    return {key: value for key, value in dpc.items() if key not in inference}


def evaluate(params: Params, method: Method) -> Slice:
    """One row: the backbone's block and the CLIP; with DPC, its weights."""
    if method.is_baseline:
        return baseline(params, method.backbone)
    values = _backbone(params, method.backbone) | {"protocol": params.protocol}
    if method.has_parallel:
        dpc = asdict(params.stage_two(method.backbone))
        read = ["inference", "parametrization", "couplings", "keep_losses", "regularize"]
        values |= {"dpc": {key: dpc[key] for key in [*read, *_curves(method)]}}
        values["weights"] = list(method.weights(params.stage_two(method.backbone)))
    return _computed(
        params, values, "dpc.stages.evaluate", backbone_module(params, method.backbone)
    )


def baseline(params: Params, name: str) -> Slice:
    """A row without prompts: its own block, and zero-shot CLIP's, which reads the new classes."""
    values = {
        "baseline": asdict(getattr(params.baselines, name)),
        "zero_shot": params.backbones["zero_shot"],
        "protocol": params.protocol,
    }
    module = BASELINES[name].partition(":")[0]
    return _computed(params, values, "dpc.stages.baseline", module)


def _curves(method: Method) -> tuple[str, ...]:
    return ("sweep", "sweep_new") if method.kind == "dpc" else ()


def sweep(params: Params, name: str, backbone: str, dataset: str = "") -> Slice:
    """All points of a sweep: what each kind of their work reads, and the code of all of it.

    Args:
        dataset: of a cell; without one exceptions are not put in.
    """
    why = lacking(params, name, backbone)
    points = {} if why else params.sweeps[name].points
    values = {p: _point(params, changes, backbone, dataset) for p, changes in points.items()}
    readers = [backbone]
    if traits(params, backbone)["needs_teacher"]:  # points that are shown more views tune it again
        readers.append(params.teacher.backbone)
    modules = [backbone_module(params, each) for each in readers]
    found = _slice({"points": values, "lacking": why}, "dpc.stages.sweep", *modules)
    return found | {"device": params.clip.device}


def _point(
    params: Params, changes: Mapping[str, Any], backbone: str, dataset: str
) -> dict[str, Any]:
    count = shots_of(params, changes)
    groups = trained_together(params, [Draw(count, seed) for seed in params.run.seeds])
    there = resolved(params, dataset, count) if dataset else params
    here = applied(there, backbone, changes)
    made = {
        "shots": shots(here),
        "tune": tune(here, backbone),
        "finetune": finetune(here, backbone),
        "evaluate": evaluate(here, Method(backbone)),
        "evaluate+dpc": evaluate(here, Method(backbone, "dpc")),
    }
    if traits(params, backbone)["needs_teacher"]:
        made |= {"teacher": teacher(here), "teacher_features": teacher_features(here)}
    found = {kind: each["params"] for kind, each in made.items()}
    return found | {"draws": [[[draw.shots, draw.seed] for draw in group] for group in groups]}


def report(params: Params) -> Slice:
    """The page shows every parameter, and the versions of what draws it."""
    drawn_by = {name: metadata.version(name) for name in ("matplotlib", "scipy", "jinja2")}
    return _slice(without_places(params) | {"versions": drawn_by}, "dpc.stages.report")


def _slice(
    values: Mapping[str, Any], *roots: str, sources: Mapping[str, str] | None = None
) -> Slice:
    found: Slice = {"params": dict(values), "code": code_version(*roots)}
    return found | ({"sources": dict(sources)} if sources is not None else {})


def _computed(
    params: Params, values: Mapping[str, Any], *roots: str, clip: ClipSpec | None = None
) -> Slice:
    """A slice of work with the CLIP, or with another ``clip``. ``device`` as it is written is no
    parameter: the kind of device it comes to is part of the store's key, so `auto` and what it
    means are one result."""
    used = {
        "weights": weights_identity(clip or clip_spec(params)),
        "precision": params.clip.precision,
        "threads": params.run.threads,
    }
    return _slice({"clip": used} | dict(values), *roots) | {"device": params.clip.device}


def _drawn(params: Params) -> dict[str, Any]:
    values = as_dict(params)["data"]
    return {key: values[key] for key in ("val_shots", "views")}


def _classes(params: Params) -> str:
    """Which classes of a dataset prompts are tuned on."""
    return "base" if params.halved else "all"


def pool_of_all(params: Params) -> bool:
    """Whether some backbone's negatives come from all training images, not from the shots."""
    return any(params.stage_two(n).negatives.pool == "train" for n in params.run.backbones)


def _backbone(params: Params, backbone: str) -> dict[str, Any]:
    """A backbone's block; its sentence is one for all datasets (zero-shot CLIP's default)."""
    return {
        "backbone": params.backbones[backbone],
        "template": params.backbones["zero_shot"]["template"],
    }


def _training(params: Params, backbone: str, drawn: Sequence[Draw]) -> dict[str, Any]:
    found = _backbone(params, backbone) | {"optimizer": asdict(params.optimizer)}
    if len(drawn) > 1:
        found["together"] = [draw.seed for draw in drawn]
    if traits(params, backbone)["transductive"]:
        found["views"] = _drawn(params)["views"]  # of images that are in no few-shot set
    return found


def clip_spec(params: Params) -> ClipSpec:
    """The CLIP of an experiment."""
    clip = params.clip
    return ClipSpec(clip.model, clip.pretrained, clip.precision, clip.device)


def teacher_clip_spec(params: Params) -> ClipSpec:
    """The CLIP of the teacher; precision and device are the experiment's."""
    clip = params.clip
    return ClipSpec(params.teacher.model, params.teacher.pretrained, clip.precision, clip.device)
