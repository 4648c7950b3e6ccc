"""The whole examination: datasets, CLIP, machine, grid; and every problem, once, in one list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dpc.datasets.catalog import CATALOG
from dpc.doctor import clip, datasets, machine, sizes
from dpc.doctor.findings import (
    ClipReport,
    DatasetReport,
    GridReport,
    MachineReport,
    Problem,
    amount,
)
from dpc.doctor.sizes import Size
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.imported import missing_files
from dpc.stages.layout import Layout
from dpc.store import Store

ANOTHER_DISK = 2**30  # bytes by which the free space of two folders differs if they share no disk


@dataclass(frozen=True)
class Examination:
    """All that was found.

    Attributes:
        datasets: in the order of the params file.
        clips: the CLIP, and the teacher if some backbone learns from one.
        machine, grid: None where datasets were asked for by name; the grid also where its CLIP
            cannot be built.
    """

    datasets: tuple[DatasetReport, ...]
    clips: tuple[ClipReport, ...] = ()
    machine: MachineReport | None = None
    grid: GridReport | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What stands in the way of the grid, or is wrong with a dataset that was asked for."""
        found = [p for each in self.datasets if each.needed for p in each.problems]
        found += [p for each in self.clips for p in each.problems]
        for part in (self.machine, self.grid):
            found += part.problems if part else ()
        return tuple(dict.fromkeys(found))


def examine(
    params: Params, names: Sequence[str] = (), everything: bool = False, decode: bool = False
) -> Examination:
    """Look at the datasets of the params file and at all else that its grid needs.

    Args:
        names: look at these datasets alone.
        everything: look at all published datasets as well.
        decode: open every image.

    Raises:
        DpcError: a dataset that nobody knows.
    """
    if names:
        looked = [datasets.examine(name, params, True, decode)[0] for name in names]
        return Examination(tuple(looked))
    others = [name for name in CATALOG if name not in params.tested] if everything else []
    reports, known = [], {}
    for name in [*params.tested, *others]:
        report, size = datasets.examine(name, params, name in params.tested, decode)
        reports.append(report)
        known[name] = size
    clips = [clip.examine(slices.clip_spec(params), "clip")]
    if slices.students(params):
        clips.append(clip.examine(slices.teacher_clip_spec(params), "teacher"))
    here = machine.examine(params, Layout().root, Store().root)
    expected = {report.name: report for report in reports}
    grid = None
    if not any(each.problems for each in clips):
        wanted = {name: known[name] or _published(expected[name]) for name in params.tested}
        grid = _grid(params, wanted, here)
    return Examination(tuple(reports), tuple(clips), here, grid)


def _published(report: DatasetReport) -> Size | None:
    """The published size of a dataset that cannot be read here; None of an own one."""
    return sizes.of_counts(report.expected) if report.expected.classes else None


def _grid(params: Params, wanted: dict[str, Size | None], here: MachineReport) -> GridReport | None:
    """The grid's report; None where the size of some dataset is not known."""
    import torch

    from dpc.doctor.grid import Grid
    from dpc.stages.machine import available_memory

    known = {name: size for name, size in wanted.items() if size is not None}
    if len(known) < len(wanted):
        return None
    torch.set_num_threads(params.run.threads)
    try:
        own = clip.shape(slices.clip_spec(params), here.device)
        students = slices.students(params)
        teacher = clip.shape(slices.teacher_clip_spec(params), here.device) if students else None
    except DpcError as problem:
        trouble = Problem("clip", str(problem))
        return GridReport(params.protocol, {}, {}, 0, "", 0, 0, 0, problems=(trouble,))
    free = available_memory(torch.device(here.device))
    found = Grid(params, known, own, teacher, free).report()
    more = [*_disk_is_full(found, here), *_memory_is_full(found), *_imports_are_missing(params)]
    return replace(found, problems=(*found.problems, *more))


def _disk_is_full(grid: GridReport, here: MachineReport) -> Iterator[Problem]:
    free = min(here.disks.values())
    apart = max(here.disks.values()) - free > ANOTHER_DISK
    needed = grid.disk / 2 if apart else grid.disk
    if needed <= free:
        return
    needed -= 2 * _size_of(Layout().root)  # what is there already, and its copies
    if needed > free:
        yield Problem(
            "disk",
            f"results and their copies in the store take about {amount(round(needed))} and "
            f"{amount(free)} are free",
            "free some (`dpc gc` trims the store), or let DPC_STORE name a folder on another disk",
        )


def _memory_is_full(grid: GridReport) -> Iterator[Problem]:
    import torch

    from dpc.stages.machine import available_memory

    free = available_memory(torch.device("cpu"))
    if free is not None and grid.held > free:
        yield Problem(
            "grid",
            f"the features of one dataset take about {amount(grid.held)} of memory and "
            f"{amount(free)} are free",
            "make data.views.count or data.unlabelled smaller (0 means all training images)",
        )


def _imports_are_missing(params: Params) -> Iterator[Problem]:
    missing = missing_files(params)
    if missing:
        path, command = missing[0]
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield Problem("grid", f"{path}{others}: imported prompts that are not there", command)


def _size_of(folder: Path) -> int:
    """Bytes of all files below ``folder``; 0 if it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
