"""`dpc sweep`: cells of the grid once more with some parameters changed, all their rows in one
file. What a point has in common with the grid, or with another point, comes out of the store."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.errors import DpcError
from dpc.files import digest, full_disk_is_one_line
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.params.sweep_rules import applied, lacking, resolved, shots_of
from dpc.stages import evaluate, features, finetune, slices, teacher, tune
from dpc.stages.cells import Draw, Method, trained_together
from dpc.stages.imported import STAGES, TEACHER, teacher_draw
from dpc.stages.inputs import (
    imported_input,
    manifest_input,
    shots_input,
    taught_input,
    teacher_input,
    test_input,
)
from dpc.stages.layout import SWEEPS, Layout, PointLayout
from dpc.stages.runner import Input, Job, Made, device_of, identity, run
from dpc.stages.side_by_side import run_all
from dpc.store import DAY

# Of a row, where its protocol has them.
FIELDS = (
    "base",
    "new",
    "overall",
    "accuracy",
    "omega_b",
    "omega_n",
    "images_seen",
    "steps",
    "pairs_per_step",
)


@dataclass(frozen=True)
class Chain:
    """Draws of one point that are trained together, from their views to their rows.

    Attributes:
        materials: features that the grid does not have.
        training: stage one, then stage two.
        rows: by draw and kind of method ("" or "dpc").
    """

    point: str
    materials: list[Job]
    training: list[Job]
    rows: dict[tuple[Draw, str], Job]

    @property
    def jobs(self) -> list[Job]:
        """All of them, in the order in which they follow from each other."""
        return [*self.materials, *self.training, *self.rows.values()]

    @property
    def tuned(self) -> str:
        """What tells P from the P of other points."""
        first = self.training[0]
        return digest(artifacts.canonical([dict(first.cell), identity(first.slice)]))


def job(
    params: Params, layout: Layout, name: str, dataset: str, backbone: str, processes: int = 1
) -> Job:
    """Every point of the sweep ``name`` in one cell of the grid, for all its seeds; no rows where
    the sweep has no points for the backbone, and the words that say why.

    Args:
        processes: trainings beside each other.
    """
    require_dataset(params, dataset)
    why = lacking(params, name, backbone)
    described = traits(params, backbone)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        results: dict[str, Any] = {
            "sweep": name,
            "dataset": dataset,
            "backbone": backbone,
            "label": described["label"],
            "transductive": described["transductive"],
            "lacking": why,
            "rows": [],
        }
        if not why:
            with _scratch(layout) as scratch:
                found = [
                    chain
                    for point in points(params, layout, scratch, name, dataset, backbone)
                    for chain in _chains(point, dataset, backbone)
                ]
                _run(found, processes, name)
                results["rows"] = [row for chain in found for row in _rows(chain)]
        return {"sweep.safetensors": Artifact(results=results)}

    return Job(
        "sweep",
        {"sweep": name, "dataset": dataset, "backbone": backbone},
        slices.sweep(params, name, backbone, dataset),
        {} if why else _inputs(params, layout, name, dataset, backbone),
        {"sweep.safetensors": layout.swept(name, dataset, backbone)},
        make,
        device_of(params),
    )


@contextmanager
def _scratch(layout: Layout) -> Iterator[Layout]:
    """A folder for the files of points, of this process alone; nothing of it is left."""
    with full_disk_is_one_line(SWEEPS):
        SWEEPS.mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(dir=SWEEPS))
    try:
        yield replace(layout, root=root)
    finally:
        shutil.rmtree(root)


def drop_leftovers() -> int:
    """Remove what killed sweeps left behind, and nothing into which a file came within a day: some
    process may still be at it.

    Returns:
        Number of folders removed.
    """
    dropped = 0
    for folder in SWEEPS.glob("*"):
        with suppress(FileNotFoundError):  # its sweep is just over
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if time.time() - newest > DAY:
                shutil.rmtree(folder)
                dropped += 1
    return dropped


@dataclass(frozen=True)
class Point:
    """A point of a sweep in one cell: its parameters, its draws, and where its files lie."""

    name: str
    params: Params
    layout: PointLayout
    drawn: tuple[Draw, ...]


def points(
    params: Params, layout: Layout, scratch: Layout, name: str, dataset: str, backbone: str
) -> Iterator[Point]:
    """All points of a sweep.

    Args:
        layout: of the grid, whose features they read.
        scratch: where their own files go.
    """
    teacher_at = params.at(dataset, params.run.shots[0])
    needed = traits(params, backbone)["needs_teacher"]
    for point, changes in params.sweeps[name].points.items():
        shots = shots_of(params, changes)
        there = resolved(params, dataset, shots)
        here = applied(there, backbone, changes)
        own = PointLayout(
            scratch.root / point,
            layout,
            shots not in params.run.shots or slices.shots(here) != slices.shots(there),
            needed and slices.teacher_features(here) != slices.teacher_features(teacher_at),
        )
        yield Point(point, here, own, tuple(Draw(shots, seed) for seed in params.run.seeds))


def _chains(point: Point, dataset: str, backbone: str) -> Iterator[Chain]:
    for drawn in trained_together(point.params, point.drawn):
        yield _chain(point, dataset, backbone, drawn)


def _chain(point: Point, dataset: str, backbone: str, drawn: tuple[Draw, ...]) -> Chain:
    params, layout = point.params, point.layout
    materials: list[Job] = []
    if layout.own_shots:
        materials += [features.shots_job(params, layout, dataset, draw) for draw in drawn]
    if layout.own_teacher:
        materials += teacher.jobs(params, layout, dataset)
    cell = (params, layout, dataset, backbone, drawn)
    rows = {
        (draw, kind): evaluate.job(params, layout, dataset, Method(backbone, kind), draw)
        for draw in drawn
        for kind in ("", "dpc")
    }
    return Chain(point.name, materials, [tune.job(*cell), finetune.job(*cell)], rows)


def _run(found: list[Chain], processes: int, name: str) -> None:
    """Features first, each once. Chains that share P follow each other: the second one then finds
    it in the store, whichever process trained the first.

    Raises:
        DpcError: what a job refused, with the point that it is of.
    """
    point_of = {path: c.point for c in found for job in c.jobs for path in job.outputs.values()}

    def work(job: Job) -> bool:
        try:
            return run(job)
        except DpcError as problem:
            point = point_of[next(iter(job.outputs.values()))]
            raise DpcError(f"sweeps.{name}.points.{point}: {problem}") from None

    materials = {tuple(job.outputs.values()): job for c in found for job in c.materials}
    by_dataset: dict[str, list[Job]] = {}  # a teacher's features follow from its prompts
    for each in materials.values():
        by_dataset.setdefault(each.title if each.stage == "shots" else "teacher", []).append(each)
    run_all(work, list(by_dataset.values()), processes)
    groups: dict[str, list[Job]] = {}
    for chain in found:
        groups.setdefault(chain.tuned, []).extend([*chain.training, *chain.rows.values()])
    run_all(work, list(groups.values()), processes)


def _rows(chain: Chain) -> Iterator[dict[str, Any]]:
    for (draw, kind), made in chain.rows.items():
        row = artifacts.read(made.outputs["row.safetensors"]).results
        found = {"point": chain.point, "shots": draw.shots, "seed": draw.seed, "dpc": bool(kind)}
        yield found | {field: row[field] for field in FIELDS if field in row}


def _inputs(
    params: Params, layout: Layout, name: str, dataset: str, backbone: str
) -> dict[str, Input]:
    """What the points read of the grid's tree, and prompts from elsewhere."""
    found = {"test": test_input(params, layout, dataset)}
    for point in points(params, layout, layout, name, dataset, backbone):
        here, own = point.params, point.layout
        if own.own_shots or own.own_teacher:
            found["manifest"] = manifest_input(params, layout, dataset)
        if own.own_teacher:
            given = imported_input(here, "tuned", dataset, TEACHER, teacher_draw(here))
            found |= {f"teacher.{role}": each for role, each in given.items()}
        if traits(params, backbone)["needs_teacher"] and not own.own_teacher:
            found["teacher"] = teacher_input(here, own, dataset)
            found["taught"] = taught_input(here, own, dataset)
        for draw in point.drawn:
            if not own.own_shots:
                found[f"shots.{draw.name}"] = shots_input(here, own, dataset, draw)
            for stage in STAGES:
                given = imported_input(here, stage, dataset, backbone, draw)
                found |= {f"{stage}.{draw.name}": each for each in given.values()}
    return found
