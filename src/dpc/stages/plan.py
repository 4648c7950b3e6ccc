"""The grid as jobs: which cells a stage has, in the order in which stages follow each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpc import artifacts
from dpc.baselines import BASELINES
from dpc.errors import DpcError
from dpc.files import sha256
from dpc.params.sections import Params
from dpc.stages import baseline, evaluate, features, finetune, prepare, slices, sweep, teacher, tune
from dpc.stages.cells import ZERO_SHOT, Draw, methods, trained_together
from dpc.stages.layout import Layout
from dpc.stages.runner import Input, Job, provenance_of

ORDER = ("prepare", "features", "teacher", "tune", "finetune", "evaluate", "sweep")


@dataclass(frozen=True)
class Selection:
    """The cells that a command is about; empty means all of params.yaml.

    Attributes:
        datasets, backbones, seeds, shots: restrict the grid.
        test: of `features`, the test images' part.
        views: of `features`, the draws' part.
        part: of `tune`, `finetune` and `evaluate`, one of ``cells.PARTS``; "" is all of them.
        sweeps: of `sweep`, names under run.sweeps.
        processes: of `sweep`, trainings beside each other in one job.
    """

    datasets: Sequence[str] = ()
    backbones: Sequence[str] = ()
    seeds: Sequence[int] = ()
    shots: Sequence[int] = ()
    test: bool = True
    views: bool = True
    part: str = ""
    sweeps: Sequence[str] = ()
    processes: int = 1

    def wants(self, part: str) -> bool:
        """Whether cells of a part of the grid are chosen."""
        return self.part in ("", part)


def jobs(stage: str, params: Params, layout: Layout, chosen: Selection) -> Iterator[Job]:
    """The jobs of one stage for the chosen cells.

    Raises:
        DpcError: a backbone that the grid does not have.
    """
    drawn = _draws(params, chosen)
    groups = trained_together(params, drawn)
    backbones = _backbones(params, chosen)
    for dataset in chosen.datasets or params.tested:
        if stage == "prepare":
            yield prepare.job(params, layout, dataset)
        elif stage == "evaluate":
            yield from _evaluations(params, layout, dataset, chosen, backbones, drawn)
        elif stage == "features" and chosen.test:
            yield features.test_job(params, layout, dataset)
        if dataset in params.run.targets:  # nothing is tuned on it
            continue
        if stage == "features" and chosen.views:
            yield from (features.shots_job(params, layout, dataset, draw) for draw in drawn)
        elif stage == "teacher" and set(backbones) & set(slices.students(params)):
            yield from teacher.jobs(params, layout, dataset)
        elif stage in ("tune", "finetune"):
            for backbone in backbones:
                if backbone in params.run.backbones:  # nothing else is tuned
                    yield from _training(stage, params, layout, dataset, backbone, groups, chosen)
        elif stage == "sweep":
            yield from _sweeps(params, layout, dataset, backbones, chosen)


def stale(params: Params, layout: Layout) -> list[str]:
    """Titles of the cells whose files do not belong to the present parameters, inputs and code.

    Raises:
        DpcError: a file is missing or damaged.
    """
    known = _Known()
    return [
        job.title
        for stage in ORDER
        for job in jobs(stage, params, layout, Selection())
        if not _fresh(job, known)
    ]


def leftovers(params: Params, layout: Layout) -> list[Path]:
    """Artefacts in the folders of the grid's data sets that no cell of it makes: of a seed or a
    backbone that was taken out. The report ignores them; an engine that takes folders does not."""
    made = {
        path
        for stage in ORDER
        for job in jobs(stage, params, layout, Selection())
        for path in job.outputs.values()
    }
    places = [f"{stage}/{dataset}" for stage in ("*", "sweeps/*") for dataset in params.tested]
    folders = [layout.root.glob(place) for place in places]
    found = (path for each in folders for folder in each for path in folder.rglob("*"))
    return sorted(path for path in found if path.is_file() and path not in made)


class _Known:
    """Hashes of what was read: many cells have one input, which may be large."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[Path, tuple[str, ...]], str] = {}

    def content(self, entry: Input) -> str:
        """Hash of what is read of an input."""
        key = (entry.path, entry.parts)
        if key not in self._hashes:
            self._hashes[key] = artifacts.examine(entry.path, entry.remedy, entry.parts).part
        return self._hashes[key]


def _fresh(job: Job, known: _Known) -> bool:
    """Whether the tree holds what this job would make. Another kind of device is another result,
    but no staler one."""
    contents = {role: known.content(entry) for role, entry in job.inputs.items()}
    expected = provenance_of(job, contents)
    for path in job.outputs.values():
        if path.suffix == ".zip":
            continue  # its hash stands in the manifest beside it
        found = artifacts.examine(path, f"run `dpc {job.stage}` again")
        if dict(found.provenance) | {"device": None} != expected | {"device": None}:
            return False
        archive = found.results.get("archive") if job.stage == "prepare" else None
        if archive is not None and not _holds(path.parent / "images.zip", archive):
            return False
    return True


def _holds(path: Path, expected: str) -> bool:
    return path.is_file() and sha256(path) == expected


def _training(
    stage: str,
    params: Params,
    layout: Layout,
    dataset: str,
    backbone: str,
    groups: Sequence[tuple[Draw, ...]],
    chosen: Selection,
) -> Iterator[Job]:
    for drawn in groups:
        cell = (params, layout, dataset, backbone, drawn)
        if stage == "finetune":
            if chosen.wants("main"):
                yield finetune.job(*cell)
            if chosen.wants("ablation") and backbone in params.run.ablations:
                yield finetune.job(*cell, two_step=True)
            continue
        if chosen.wants("main"):
            yield tune.job(*cell)
        if chosen.wants("budget") and backbone in params.run.budget:
            yield tune.job(*cell, budget=True)


def _evaluations(
    params: Params,
    layout: Layout,
    dataset: str,
    chosen: Selection,
    backbones: Sequence[str],
    drawn: Sequence[Draw],
) -> Iterator[Job]:
    for method in methods(params, dataset):
        if chosen.wants(method.part) and method.backbone in backbones:
            for draw in [None] if method.seedless else drawn:
                if method.is_baseline and draw is not None:
                    yield baseline.job(params, layout, dataset, method, draw)
                else:
                    yield evaluate.job(params, layout, dataset, method, draw)


def _sweeps(
    params: Params, layout: Layout, dataset: str, backbones: Sequence[str], chosen: Selection
) -> Iterator[Job]:
    for name in chosen.sweeps:
        if name not in params.run.sweeps:
            known = ", ".join(params.run.sweeps) or "none"
            raise DpcError(f"sweep {name!r} is not in run.sweeps (known: {known})")
    for name in chosen.sweeps or params.run.sweeps:
        for backbone in backbones:
            if backbone in params.run.backbones:
                yield sweep.job(params, layout, name, dataset, backbone, chosen.processes)


def _draws(params: Params, chosen: Selection) -> list[Draw]:
    shots = chosen.shots or params.run.shots
    return [Draw(each, seed) for each in shots for seed in chosen.seeds or params.run.seeds]


def _backbones(params: Params, chosen: Selection) -> list[str]:
    known = [ZERO_SHOT, *params.run.baselines, *params.run.backbones]
    for name in chosen.backbones:
        if name in BASELINES and name not in known:
            raise DpcError(
                f"{name} is not in run.baselines: add it there (a baseline has no prompt)"
            )
        if name not in known:
            raise DpcError(f"backbone {name!r} is not in run.backbones (known: {', '.join(known)})")
    return list(chosen.backbones or known)
