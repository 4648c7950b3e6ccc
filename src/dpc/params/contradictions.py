"""Values that are each allowed but do not go together."""

import difflib
from collections.abc import Iterable
from dataclasses import replace

from dpc.backbones import BACKBONES
from dpc.baselines import BASELINES
from dpc.params.backbones import SAFE_NAME, traits
from dpc.params.clip_rules import clip_problems, teacher_problems
from dpc.params.import_rules import import_problems
from dpc.params.protocol_rules import protocol_problems
from dpc.params.sections import Dpc, Params
from dpc.params.sweep_rules import applied, lacking


def contradictions(params: Params) -> list[str]:
    """One line for each pair of keys that contradict each other."""
    found = [line for name in params.tested if (line := unknown_dataset(name, params))]
    found += _names(params)
    found += _exceptions(params)
    found += import_problems(params)
    found += _templates(params)
    found += _grid(params)
    found += protocol_problems(params)
    found += clip_problems(params)
    found += _dpc(params)
    found += _teacher(params)
    return found or _points(params)


def unknown_dataset(name: str, params: Params) -> str | None:
    """A line if no dataset has this name, with the nearest that does."""
    known = known_datasets(params)
    if name in known:
        return None
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"dataset {name!r} does not exist{hint} (known: {', '.join(known)})"


def known_datasets(params: Params) -> list[str]:
    """Embedded datasets, published ones, then those of ``data.on_disk``."""
    from dpc.datasets import EMBEDDED, PUBLISHED

    return [*EMBEDDED, *PUBLISHED, *params.data.on_disk]


def _names(params: Params) -> list[str]:
    from dpc.datasets import PUBLISHED

    found = []
    for name in params.data.on_disk:
        if not SAFE_NAME.match(name):
            found.append(
                f"data.on_disk.{name}: the name becomes a folder; "
                "letters, digits, - and _ are expected"
            )
        if name.startswith("icons-"):
            found.append(f"data.on_disk.{name}: names beginning with icons- are the embedded ones")
        if name in PUBLISHED:
            found.append(
                f"data.on_disk.{name}: a published dataset has this name; give yours another, or "
                f"say under data.places.{name} where the published one lies"
            )
    for name in params.data.places:
        if name not in PUBLISHED:
            found.append(
                f"data.places.{name}: no published dataset{_hint(name, PUBLISHED)} "
                f"(known: {', '.join(PUBLISHED)}); own images go under data.on_disk"
            )
    return found


def _exceptions(params: Params) -> list[str]:
    return [
        f"exceptions.{name}.datasets: {line}"
        for name, exception in params.exceptions.items()
        for dataset in exception.datasets
        if (line := unknown_dataset(dataset, params))
    ]


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
    for key in ("datasets", "backbones", "seeds", "shots"):
        if not getattr(run, key):
            found.append(f"run.{key} is empty; at least one is expected")
    if "zero_shot" in run.backbones:
        found.append("run.backbones: zero_shot learns nothing and is always a row; leave it out")
    for name in run.backbones:
        if name in BASELINES:
            found.append(
                f"run.backbones: {name!r} is a baseline: name it in run.baselines; a backbone of "
                "your own needs another name"
            )
        elif name not in params.backbones:
            known = [known for known in params.backbones if known != "zero_shot"]
            found.append(
                f"run.backbones: {name!r} has no block under backbones{_hint(name, known)}"
                f" (known: {', '.join(known)})"
            )
    for key in ("budget", "ablations"):
        for name in getattr(run, key):
            if name not in run.backbones:
                found.append(f"run.{key}: {name!r} is not in run.backbones")
    for name in run.sweeps:
        if name not in params.sweeps:
            found.append(
                f"run.sweeps: {name!r} has no block under sweeps{_hint(name, params.sweeps)} "
                f"(known: {', '.join(params.sweeps)})"
            )
        else:
            found += [
                f"sweeps.{name}.backbones: {other!r} is not in run.backbones"
                for other in params.sweeps[name].backbones
                if other not in run.backbones
            ]
    for name in run.backbones:
        unlabelled = name in params.backbones and traits(params, name)["transductive"]
        if unlabelled and not _needs_teacher(params, name):
            found.append(
                f"run.backbones: {name!r} is transductive and has no teacher to learn from; "
                "its class says needs_teacher = True, or transductive = False"
            )
    return found


def _points(params: Params) -> list[str]:
    """What contradicts itself at a point of a sweep that runs, and nowhere else."""
    bare, found = replace(params, run=replace(params.run, sweeps=[])), []
    for name in params.run.sweeps:
        for backbone in params.run.backbones:
            if lacking(params, name, backbone):
                continue
            for point, changes in params.sweeps[name].points.items():
                changed = applied(bare, backbone, changes)
                lines = contradictions(changed) if changed is not bare else []
                found += [f"sweeps.{name}.points.{point}: {line}" for line in lines]
    return found


def _dpc(params: Params) -> list[str]:
    found = _weight(params.dpc, "dpc")
    by_backbone = params.dpc.by_backbone
    for name in by_backbone:
        if name not in params.backbones or name == "zero_shot":
            known = [known for known in params.backbones if known != "zero_shot"]
            found.append(
                f"dpc.by_backbone.{name}: no such prompt learner under backbones"
                f"{_hint(name, known)} (known: {', '.join(known)})"
            )
        elif not found:
            found += _weight(params.stage_two(name), f"dpc.by_backbone.{name}")
    return found


def _weight(dpc: Dpc, place: str) -> list[str]:
    if dpc.parametrization == "parallel" or dpc.weight > 0:
        return []
    return [
        f"{place}: weight 0 and parametrization {dpc.parametrization} contradict each other; "
        "stage two divides by the weight there, a weight above 0 is expected"
    ]


def _teacher(params: Params) -> list[str]:
    """Its CLIP and block matter only where a backbone of the grid learns from one."""
    teacher, known = params.teacher, [name for name in params.backbones if name != "zero_shot"]
    students = [name for name in params.run.backbones if _needs_teacher(params, name)]
    if teacher.backbone not in known:
        if not students and teacher.backbone in BACKBONES and teacher.backbone != "zero_shot":
            return []
        return [
            f"teacher.backbone: {teacher.backbone!r} is no prompt learner under backbones"
            f"{_hint(teacher.backbone, known)} (known: {', '.join(known)})"
        ]
    if not students:
        return []
    if _needs_teacher(params, teacher.backbone):
        return [
            f"teacher.backbone: {teacher.backbone!r} needs a teacher itself; "
            "a prompt learner that needs none is expected"
        ]
    return teacher_problems(params)


def _needs_teacher(params: Params, name: str) -> bool:
    return name in params.backbones and traits(params, name)["needs_teacher"]


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
