"""`dpc report`: the page, its tables and figures, and the metrics, out of the evaluated rows."""

import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dpc import artifacts
from dpc.artifacts import Examined
from dpc.errors import DpcError
from dpc.files import digest, write_atomically
from dpc.params.load import without_places
from dpc.params.sections import Params
from dpc.progress import LOG, duration
from dpc.provenance import library_versions
from dpc.report.page import ReportContext, build
from dpc.stages import live, slices
from dpc.stages.cells import Draw, Method, draws, draws_of, methods
from dpc.stages.inputs import row_input, shots_input, test_input
from dpc.stages.layout import Layout
from dpc.stages.negatives import PAIRS
from dpc.stages.plan import stale
from dpc.stages.swept import swept
from dpc.stages.thumbnails import Thumbnails

# Files of the report that lie beside its folder, where engines look for them.
TOP_LEVEL = ("metrics.json", "summary.json")


def write(params: Params, layout: Layout) -> None:
    """Build the report of the cells that the params name, whatever else lies in the tree.

    Raises:
        DpcError: a row, or anything that it came from, is missing or stale.
    """
    begin = time.monotonic()
    behind = stale(params, layout)
    if behind:
        raise DpcError(
            f"stale: {', '.join(behind)}; run `snakemake --cores all all` or `dvc repro` first"
        )
    content = files(params, layout)
    for path, data in content.items():
        write_atomically(path, data)
    for path in sorted([*layout.report.rglob("*"), *layout.live.rglob("*")]):
        if path.is_file() and path not in content:
            path.unlink()
    taken = duration(time.monotonic() - begin)
    LOG.info("report: wrote %s, %d files (%s)", layout.report / "index.html", len(content), taken)


def files(params: Params, layout: Layout) -> dict[Path, bytes]:
    """Every file of the report, by path; the same rows and params give the same bytes."""
    lines = [
        _line(params, layout, dataset, method, draw)
        for dataset in params.tested
        for method in methods(params, dataset)
        for draw in draws_of(method, params)
    ]
    rows = [line.found.results for line in lines]
    with Thumbnails(params, layout) as thumbnail:
        built = build(rows, replace(_context(params, layout, lines), thumbnail=thumbnail))
    content = {
        (layout.root if name in TOP_LEVEL else layout.report) / name: data
        for name, data in built.items()
    }
    return content | {layout.live / name: data for name, data in live.files(rows).items()}


class _Line(NamedTuple):
    """A row of the table, as its file has it."""

    dataset: str
    method: Method
    draw: Draw | None
    path: Path
    remedy: str
    found: Examined


def _line(params: Params, layout: Layout, dataset: str, method: Method, draw: Draw | None) -> _Line:
    entry = row_input(params, layout, dataset, method, draw)
    return _Line(dataset, method, draw, entry.path, entry.remedy, entry.examine())


def _predictions(lines: Sequence[_Line]) -> dict[tuple[str, str, str], dict[str, np.ndarray]]:
    """What every row predicts and what is true, without its logits: those of ImageNet are large."""
    wanted = (".predictions", ".labels", ".profiles", PAIRS)
    return {
        (line.dataset, line.method.name, line.path.stem): artifacts.some(
            line.path, line.remedy, wanted
        )
        for line in lines
    }


def _made(layout: Layout, line: _Line) -> dict[str, str]:
    """How a row came about, and how to make it again."""
    cell = f"--dataset {line.dataset} --backbone {line.method.backbone}"
    if line.draw is not None:
        cell += f" --part {line.method.part} --shots {line.draw.shots} --seeds {line.draw.seed}"
    return {
        "dataset": line.dataset,
        "method": line.method.name,
        "draw": "" if line.draw is None else line.draw.title,
        "target": str(Layout().root / line.path.relative_to(layout.root)),
        "command": f"dpc evaluate {cell}",
        "content": line.found.content,
        "key": digest(artifacts.canonical(line.found.provenance)),
        "code": line.found.provenance["code"],
        "device": line.found.provenance["device"] or "",
    }


def _context(params: Params, layout: Layout, lines: Sequence[_Line]) -> ReportContext:
    sets, inputs = [], {}
    for dataset in params.tested:
        test = test_input(params, layout, dataset).examine()
        inputs[f"{dataset}: test features"] = test.content
        inputs[f"{dataset}: manifest"] = test.provenance["inputs"]["manifest"]
        base, most = test.results["base"] if params.halved else 0, 0
        for draw in draws(params) if dataset in params.run.datasets else ():
            shots = shots_input(params, layout, dataset, draw).examine()
            inputs[f"{dataset}: few-shot set, {draw.title}"] = shots.results["draw"]
            most = max(most, shots.results["train_images"])
        sets.append(
            {
                "name": dataset,
                "classnames": test.results["classnames"],
                "classes": len(test.results["classnames"]),
                "classes_base": base,
                "classes_new": len(test.results["classnames"]) - base if base else 0,
                "n_shots": most,
                "n_train": test.results["train_images"],
                "n_test": test.results["test_images"],
                "split_by": test.results["rule"],
                "published": test.results["published"],
            }
        )
    clip = slices.clip_spec(params)
    return ReportContext(
        sweeps=swept(params, layout),
        predictions=_predictions(lines),
        made=[_made(layout, line) for line in lines],
        params=without_places(params),
        clip=f"{clip.model} ({clip.pretrained}, {clip.precision})",
        versions=library_versions() | {"python": platform.python_version()},
        inputs=inputs,
        datasets=sets,
        commands=["snakemake --cores all all", "dvc repro"],
    )
