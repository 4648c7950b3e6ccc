"""The examination for people (at most 100 columns) and for programs (JSON)."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict

from dpc import __version__
from dpc.doctor.examine import Examination
from dpc.doctor.findings import (
    ClipReport,
    Counts,
    DatasetReport,
    GridReport,
    MachineReport,
    Problem,
    amount,
)

WIDTH = 100
CLOCK = (("days", 86_400), ("hours", 3600), ("minutes", 60))
COLUMNS = ("classes", "train", "val", "test")
LAYOUTS = {
    "coop": "CoOp's layout",
    "nested": "a nested layout",
    "own root": "data.root is its folder",
    "given": "named in data.places",
}
WEIGHTS = {
    "embedded": "come with the package",
    "file": "a local file",
    "cache": "downloaded before",
    "download": "not here; the first run would download them from",
    "random": "random ones, for tests",
}


def as_json(found: Examination, params: str) -> str:
    """One object; docs/data.md says what its keys hold."""
    content = {
        "dpc": __version__,
        "params": params,
        "ok": not found.problems,
        "datasets": [asdict(each) for each in found.datasets],
        "clips": [asdict(each) for each in found.clips],
        "machine": asdict(found.machine) if found.machine else None,
        "grid": asdict(found.grid) if found.grid else None,
        "problems": [asdict(each) for each in found.problems],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def as_text(found: Examination, params: str) -> str:
    """Sections, and all problems with their fixes at the end."""
    lines = [*_datasets(found)]
    if found.clips:
        lines += ["", "CLIP", *(line for each in found.clips for line in _clip(each))]
    if found.machine:
        lines += ["", "machine", *_machine(found.machine)]
    if found.machine and not found.grid:
        lines += ["", "grid: not planned, since a dataset's size or a CLIP is not known"]
    elif found.grid:
        lines += ["", *_grid(found.grid, params)]
    return "\n".join([*lines, "", *_problems(found, params)])


def duration(seconds: float) -> str:
    """Seconds in words; two hours are still minutes."""
    for word, size in CLOCK:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"


def _datasets(found: Examination) -> Iterator[str]:
    wide = max([8, *(len(each.name) for each in found.datasets)])
    yield f"{'datasets':<{wide + 2}}  {'':<9}" + "".join(f"{name:>11}" for name in COLUMNS)
    for report in found.datasets:
        counts = report.counts if report.counts.classes else report.expected
        yield f"  {report.name:<{wide}}  {_state(report):<9}{_numbers(counts)}".rstrip()
        if counts is report.counts and _differs(report):
            yield f"  {'':<{wide}}  published{_numbers(report.expected)}"
        for line in _about(report):
            yield from _indented(line, wide + 4)
    if any(each.found and each.kind != "embedded" for each in found.datasets):
        opened = any(each.opened is not None for each in found.datasets)
        if not opened:
            yield "  (no image was opened; --images opens all of them)"


def _state(report: DatasetReport) -> str:
    if report.kind == "embedded":
        return "embedded" if report.found else "missing"
    if not report.found and not report.wrong_copy:
        return "not here"
    return "wrong" if report.problems else "fine"


def _differs(report: DatasetReport) -> bool:
    """Whether other numbers were published; what was not published is not compared."""
    pairs = [(getattr(report.counts, name), getattr(report.expected, name)) for name in COLUMNS]
    return any(published is not None and number != published for number, published in pairs)


def _seen(report: DatasetReport) -> bool:
    return report.found or report.wrong_copy


def _numbers(counts: Counts) -> str:
    cells = (getattr(counts, name) for name in COLUMNS)
    return "".join(f"{'–' if number is None else f'{number:,}':>11}" for number in cells)


def _about(report: DatasetReport) -> Iterator[str]:
    if report.found and report.folder:
        layout = LAYOUTS.get(report.layout or "")
        yield report.folder + (f" ({layout})" if layout else "")
    elif report.expected.classes:
        yield "(published numbers)"
    if report.content and report.content == report.expected_content:
        yield "the split is the published one"
    if report.opened is not None:
        bad = report.undecodable.count
        yield f"{report.opened:,} images opened, {bad or 'none'} damaged"
    yield from (f"note: {note}" for note in report.notes)
    if not report.needed:
        yield from (f"wrong: {each.what}" for each in report.problems if _seen(report))
    yield from report.get


def _clip(report: ClipReport) -> Iterator[str]:
    state = WEIGHTS.get(report.weights or "", "cannot be used")
    size = f" ({amount(report.bytes)})" if report.bytes is not None else ""
    yield f"  {report.role:<10}  {report.model}, {report.pretrained}: weights {state}{size}"
    if report.place and report.weights != "embedded":
        yield from _indented(report.place, 14)


def _machine(report: MachineReport) -> Iterator[str]:
    gpu = f" ({report.gpu}, {amount(report.gpu_bytes or 0)})" if report.gpu else ""
    sees = "no CUDA device" if not report.torch_sees else f"{report.torch_sees} CUDA devices"
    driver = "the driver shows some" if report.driver_sees else "the driver shows none"
    yield f"  device      {report.device}{gpu}, {report.precision}"
    yield f"  torch       {report.torch} sees {sees}, {driver}"
    free = "not known" if report.free_bytes is None else f"{amount(report.free_bytes)} free"
    yield f"  memory      {free}"
    more = "" if report.threads <= report.processors else ": more threads than processors are slow"
    yield f"  processors  {report.processors}, run.threads {report.threads}{more}"
    disks = ", ".join(f"{amount(free)} free for {name}" for name, free in report.disks.items())
    yield f"  disk        {disks}"


def _grid(report: GridReport, params: str) -> Iterator[str]:
    yield f"grid of {params}: {report.protocol}"
    for stage, cells in report.cells.items():
        if not cells:
            continue
        seconds = report.seconds.get(stage, 0.0)
        time = f"about {duration(seconds)}" if seconds >= 1 else ""
        yield f"  {stage:<10}  {cells:>5} cells  {time}".rstrip()
    total = sum(report.seconds.values())
    yield f"  time        about {duration(total)}, one cell after another, to a factor of 3;"
    yield "              reading images is not counted, what the store holds is not taken off"
    yield (
        f"  memory      about {amount(report.memory)} at the peak ({report.largest}), "
        f"beside {amount(report.weights)} of weights"
    )
    yield f"              about {amount(report.held)} for the features of the largest dataset"
    yield f"  disk        about {amount(report.disk)}, half of it copies in the store"
    if report.assumed:
        yield from _indented(f"published numbers stand in for {', '.join(report.assumed)}", 14)


def _problems(found: Examination, params: str) -> Iterator[str]:
    problems = found.problems
    if not problems:
        whole = f"the grid of {params} can run" if found.machine else "the datasets are fine"
        yield f"no problem: {whole}"
        return
    yield f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    for number, problem in enumerate(problems, 1):
        yield from _problem(number, problem)


def _problem(number: int, problem: Problem) -> Iterator[str]:
    begin = f"{number:>3}. "
    yield from _wrapped(f"{begin}{problem.where}: {problem.what}", len(begin))
    if problem.fix:
        yield from _wrapped(f"{' ' * len(begin)}fix: {problem.fix}", len(begin) + 5)


def _indented(line: str, column: int) -> list[str]:
    return _wrapped(" " * column + line, column + 2)


def _wrapped(line: str, column: int) -> list[str]:
    """Lines of at most 100 columns; a path or an address is never cut."""
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=" " * column,
        break_long_words=False,
        break_on_hyphens=False,
    )
