"""The slices of a grid as files, which both engines look at.

What a file holds beside the slice of a cell (exceptions, groups of seeds, imported files) tells an
engine that some cells of it may have changed; which ones, the store knows.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from dpc import hashes
from dpc.files import write_atomically
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import draws, draws_of_sweep, methods, trained_together
from dpc.stages.imported import STAGES, TEACHER, file_hashes
from dpc.stages.layout import Layout
from dpc.stages.slices import Slice


def all_slices(params: Params) -> dict[str, Slice]:
    """Every slice of the grid, by name."""
    found = {
        "features": slices.features(params),
        "shots": slices.shots(params),
        "teacher": _teacher(params),
        "report": slices.report(params),
    }
    for dataset in params.tested:
        found[f"prepare.{dataset}"] = slices.prepare(params, dataset)
    seeds = _groups(params)
    for backbone in params.run.backbones:
        apart = seeds | _exceptions(params, backbone)
        files = {stage: file_hashes(params, stage, backbone) for stage in STAGES}
        found[f"tune.{backbone}"] = slices.tune(params, backbone) | apart | files["tuned"]
        found[f"finetune.{backbone}"] = (
            slices.finetune(params, backbone) | apart | files["parallel"]
        )
        if backbone in params.run.budget:
            found[f"budget.{backbone}"] = slices.budget(params, backbone) | apart
        if backbone in params.run.ablations:
            made = slices.finetune(params, backbone, two_step=True)
            found[f"two_step.{backbone}"] = made | apart
    for name in params.run.sweeps:
        for backbone in params.run.backbones:
            found[f"sweep.{name}.{backbone}"] = _sweep(params, name, backbone)
    for method in methods(params):
        found[f"evaluate.{method.name}"] = slices.evaluate(params, method) | _exceptions(
            params, method.backbone
        )
    return found


def _teacher(params: Params) -> Slice:
    """Both works of `dpc teacher`, or that no backbone needs it."""
    students = slices.students(params)
    if not students:
        return {"params": {}, "code": ""}
    made: Slice = {
        "tuned": slices.teacher(params),
        "features": slices.teacher_features(params),
    }
    made |= file_hashes(params, "tuned", TEACHER)
    return made | _exceptions(params, params.teacher.backbone, *students)


def _sweep(params: Params, name: str, backbone: str) -> Slice:
    """All points of a sweep, which may have draws that the grid has not, and a teacher's views."""
    drawn, readers = draws_of_sweep(params, name), [backbone]
    files = {stage: file_hashes(params, stage, backbone, drawn) for stage in STAGES}
    if backbone in slices.students(params):
        readers.append(params.teacher.backbone)
        files[TEACHER] = file_hashes(params, "tuned", TEACHER)
    given = {role: each["imported"] for role, each in files.items() if each}
    made = slices.sweep(params, name, backbone) | _exceptions(params, *readers)
    return made | ({"imported": given} if given else {})


def _exceptions(params: Params, *backbones: str) -> Slice:
    """What engines look at beside a backbone's block; a single cell has it in its own block."""
    named = [asdict(entry) for entry in params.exceptions.values() if entry.backbone in backbones]
    return {"exceptions": named} if named else {}


def _groups(params: Params) -> Slice:
    """Seeds that are trained together; a single cell has those of its own group."""
    if params.run.together == 1:
        return {}
    groups = trained_together(params, draws(params))
    return {"together": [[[draw.shots, draw.seed] for draw in group] for group in groups]}


def sync(params: Params, layout: Layout) -> list[Path]:
    """Write the slices that changed; remove those that no cell of the grid has any more.

    Returns:
        The files whose content is new.
    """
    wanted = _files(params, layout)
    changed = _differing(wanted)
    for path in changed:
        write_atomically(path, wanted[path])
    folder = layout.slice("any").parent
    for path in folder.glob("*.json") if folder.is_dir() else ():
        if path not in wanted:
            path.unlink()
    for dataset in params.run.datasets:
        layout.make_room_for_teacher(dataset)
    layout.make_room_for_sweeps()
    hashes.save()
    return changed


def outdated(params: Params, layout: Layout) -> list[Path]:
    """Slices that are missing, or say something else than params and code do now."""
    return _differing(_files(params, layout))


def _files(params: Params, layout: Layout) -> dict[Path, bytes]:
    """Every slice of the grid as the file it is written to."""
    return {
        layout.slice(name): json.dumps(made, sort_keys=True, indent=1, ensure_ascii=False).encode()
        for name, made in all_slices(params).items()
    }


def _differing(wanted: Mapping[Path, bytes]) -> list[Path]:
    return [p for p, content in wanted.items() if not p.is_file() or p.read_bytes() != content]
