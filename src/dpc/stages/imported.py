"""Files of prompts that were tuned elsewhere: which cells have one, where, and its content."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpc.errors import DpcError
from dpc.hashes import remembered_sha256
from dpc.params.backbones import traits
from dpc.params.import_rules import TEACHER
from dpc.params.sections import Params
from dpc.params.sweep_rules import lacking
from dpc.stages.cells import Draw, draws, draws_of_sweep

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


def file_hashes(
    params: Params, stage: str, backbone: str, drawn: Sequence[Draw] = ()
) -> dict[str, Any]:
    """What engines look at beside the parameters: the files' content, null of a missing one.

    Args:
        drawn: of these draws; empty: of the grid's.
    """
    files = _files(params, stage, backbone, drawn or draws(params))
    found = {f"{dataset} {draw.title}": _hash(path) for dataset, draw, path in files}
    return {"imported": found} if found else {}


def missing_files(params: Params) -> list[tuple[Path, str]]:
    """Files that the grid and its sweeps ask for and that are not there, with the command that
    makes each."""
    backbones = params.run.backbones
    taught = any(traits(params, backbone)["needs_teacher"] for backbone in backbones)
    return [
        (path, import_command(stage, dataset, backbone, draw))
        for backbone in (*backbones, *([TEACHER] if taught else []))
        for stage in STAGES
        for dataset, draw, path in _files(params, stage, backbone, _asked(params, backbone))
        if not path.is_file()
    ]


def _asked(params: Params, backbone: str) -> list[Draw]:
    """Draws of the grid, and those that its sweeps have beside them."""
    found = draws(params)
    for name in params.run.sweeps if backbone != TEACHER else ():
        found += [] if lacking(params, name, backbone) else draws_of_sweep(params, name)
    return list(dict.fromkeys(found))


def _files(
    params: Params, stage: str, backbone: str, drawn: Sequence[Draw]
) -> Iterator[tuple[str, Draw, Path]]:
    for dataset in params.run.datasets:
        for draw in [teacher_draw(params)] if backbone == TEACHER else drawn:
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


def require_cell(
    meant: Mapping[str, Any], stage: str, dataset: str, backbone: str, draw: Draw, place: str
) -> None:
    """Refuse a file for another cell or stage.

    Raises:
        DpcError: it names all that differs and the command that makes the right one.
    """
    wanted = cell_of(stage, dataset, backbone, draw)
    if other := [f"{key} {meant[key]}" for key in wanted if meant[key] != wanted[key]]:
        raise DpcError(
            f"{place} was imported for {', '.join(other)}; "
            f"{import_command(stage, dataset, backbone, draw)}"
        )


def import_command(stage: str, dataset: str, backbone: str, draw: Draw) -> str:
    """What makes such a file, for a message."""
    part = " --stage parallel" if stage == "parallel" else ""
    cell = f"--dataset {dataset} --shots {draw.shots} --seed {draw.seed}"
    return f"run `dpc import CHECKPOINT --backbone {backbone} {cell}{part}`"
