"""Prompts that were tuned elsewhere, in the place of a stage's training."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.errors import DpcError
from dpc.hashes import remembered_sha256
from dpc.params.backbones import traits
from dpc.params.import_rules import TEACHER
from dpc.params.sections import Params
from dpc.stages.cells import Draw, draws

if TYPE_CHECKING:
    from torch import Tensor

    from dpc.backbones.base import Backbone, Task
    from dpc.exchange.layouts import Names

STAGES = ("tuned", "parallel")


def imported_file(
    params: Params, stage: str, dataset: str, backbone: str, draw: Draw
) -> Path | None:
    """The file that a cell's prompts come from; None: they are trained here.

    Args:
        stage: "tuned" (P) or "parallel" (P').
        backbone: its name, or ``TEACHER``.
    """
    text = _place(params, stage, backbone)
    return put_in(text, dataset, draw) if text else None


def put_in(place: str, dataset: str, draw: Draw) -> Path:
    """A place of params.yaml as the path of one cell."""
    for name, value in {"dataset": dataset, "shots": draw.shots, "seed": draw.seed}.items():
        place = place.replace(f"{{{name}}}", str(value))
    return Path(place)


def standard_place(stage: str, backbone: str) -> str:
    """Where `dpc import` writes, as params.yaml says it."""
    part = "-parallel" if stage == "parallel" else ""
    return f"imported/{backbone}/{{dataset}}-shots{{shots}}-seed{{seed}}{part}.safetensors"


def mark(params: Params, stage: str, backbone: str) -> dict[str, Any]:
    """What a slice says of it: whether, not where, the prompts come from elsewhere."""
    return {"imported": True} if _place(params, stage, backbone) else {}


def _place(params: Params, stage: str, backbone: str) -> str:
    entry = params.imported.get(backbone)
    return getattr(entry, stage) if entry is not None else ""


def file_hashes(params: Params, stage: str, backbone: str) -> dict[str, Any]:
    """What engines look at beside the parameters: the files' content, null of a missing one."""
    files = _files(params, stage, backbone)
    found = {f"{dataset} {draw.title}": _hash(path) for dataset, draw, path in files}
    return {"imported": found} if found else {}


def missing_files(params: Params) -> list[tuple[Path, str]]:
    """Files that the grid asks for and that are not there, with the command that makes each."""
    backbones = params.run.backbones
    taught = any(traits(params, backbone)["needs_teacher"] for backbone in backbones)
    return [
        (path, import_command(stage, dataset, backbone, draw))
        for backbone in (*backbones, *([TEACHER] if taught else []))
        for stage in STAGES
        for dataset, draw, path in _files(params, stage, backbone)
        if not path.is_file()
    ]


def _files(params: Params, stage: str, backbone: str) -> Iterator[tuple[str, Draw, Path]]:
    for dataset in params.run.datasets:
        for draw in [teacher_draw(params)] if backbone == TEACHER else draws(params):
            path = imported_file(params, stage, dataset, backbone, draw)
            if path is not None:
                yield dataset, draw, path


def teacher_draw(params: Params) -> Draw:
    """The draw that the teacher is tuned on, one for all seeds."""
    return Draw(params.run.shots[0], params.teacher.seed)


def block_of(params: Params, backbone: str) -> tuple[str, dict[str, Any], str]:
    """The prompt learner of a backbone or of ``TEACHER``, its block, and where that is set."""
    if backbone == TEACHER:
        return params.teacher.backbone, params.teacher_block(), "teacher.settings"
    return backbone, params.block(backbone), f"backbones.{backbone}"


def _hash(path: Path) -> str | None:
    try:
        return remembered_sha256(path)
    except OSError:
        return None


def cell_of(stage: str, dataset: str, backbone: str, draw: Draw) -> dict[str, Any]:
    """What an imported file says that its prompts are for."""
    named = {"stage": stage, "dataset": dataset, "backbone": backbone}
    return named | {"shots": draw.shots, "seed": draw.seed}


def import_command(stage: str, dataset: str, backbone: str, draw: Draw) -> str:
    """What makes such a file, for a message."""
    part = " --stage parallel" if stage == "parallel" else ""
    cell = f"--dataset {dataset} --shots {draw.shots} --seed {draw.seed}"
    return f"run `dpc import CHECKPOINT --backbone {backbone} {cell}{part}`"


def taken(
    params: Params,
    stage: str,
    dataset: str,
    backbone: str,
    draw: Draw,
    module: "Backbone",
    task: "Task",
    artifact: Artifact,
) -> Artifact:
    """An imported artefact as the stage's own: prompts as they are, of no steps.

    Args:
        backbone: its name, or ``TEACHER``.
        module: the backbone at its start, or P; its state says which tensors there are. What stage
            one takes from a teacher it gives to a P that lacks it.
        task: the classes that it learns to tell apart here. A file that was tuned in other
            sentences is taken with a warning.

    Raises:
        DpcError: prompts of another cell, stage or size.
    """
    from dpc.exchange.importing import fit
    from dpc.exchange.layouts import layout_named, layouts
    from dpc.progress import LOG
    from dpc.stages.states import arrays, tensors

    place = str(imported_file(params, stage, dataset, backbone, draw))
    meant, wanted = artifact.results["cell"], cell_of(stage, dataset, backbone, draw)
    if other := [f"{key} {meant[key]}" for key in wanted if meant[key] != wanted[key]]:
        raise DpcError(
            f"{place} was imported for {', '.join(other)}; "
            f"{import_command(stage, dataset, backbone, draw)}"
        )
    learner, block, key = block_of(params, backbone)
    names = layout_named(layouts(params.backbones), learner)
    state, found = module.state_dict(), tensors(artifact)
    if stage == "tuned" and names.from_teacher is not None:
        found = {k: v for k, v in state.items() if k.startswith(names.from_teacher)} | found
    fit(found, state, names, block, place, key)
    LOG.info("%s %s %s: %s prompts come from %s", dataset, backbone, draw.title, stage, place)
    same = _warn_of_other_sentences(names, found, module, task, artifact, place)
    results: dict[str, Any] = {
        "history": {},
        "steps": 0,
        "images_seen": 0,
        "imported": {
            **{key: artifact.results[key] for key in ("source", "layout", "epoch")},
            "same_sentences": same,
        },
    }
    if stage == "tuned":
        learned = {name: list(value.shape) for name, value in module.named_parameters()}
        results |= {"epochs": 0, "learned": learned}
    else:
        results["pairs_per_step"] = None
    return Artifact(arrays(found), results)


def _warn_of_other_sentences(
    names: "Names",
    found: Mapping[str, "Tensor"],
    module: "Backbone",
    task: "Task",
    artifact: Artifact,
    place: str,
) -> bool | None:
    """Whether the prompts were tuned in the sentences of ``task``; None: the file does not say."""
    from dpc.exchange.sentences import differing
    from dpc.progress import LOG

    marks = artifact.results["sentences"]
    if marks is None:
        return None
    sentences = module.sentences(task.classnames, task.template)
    others = differing(marks, task.clip, sentences, len(found[names.contexts[0]]))
    if others:
        LOG.warning(
            "%s was tuned with other class names, words or another CLIP: %d of %d sentences "
            "differ, first %r",
            place,
            len(others),
            len(marks),
            sentences[others[0]],
        )
    return not others
