"""What each command does; imports stand inside, so that `dpc --help` costs nothing."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dpc.errors import DpcError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpc.params.sections import Params
    from dpc.stages.layout import Layout
    from dpc.stages.runner import Job


def run_stage(options: argparse.Namespace) -> None:
    """Run the chosen cells of one stage; in a scratch tree, all that they need first."""
    from dataclasses import replace
    from functools import partial

    from dpc.params.load import load
    from dpc.stages.cells import trained_with
    from dpc.stages.layout import Layout
    from dpc.stages.memory import run_within
    from dpc.stages.plan import ORDER, Selection, jobs
    from dpc.stages.side_by_side import run_all

    params = load(options.params, options.overrides)
    layout = layout_of(options)
    chosen = Selection(
        datasets=options.dataset,
        backbones=getattr(options, "backbone", ()),
        seeds=getattr(options, "seeds", ()),
        shots=getattr(options, "shots", ()),
        test=not getattr(options, "only_shots", False),
        views=not getattr(options, "only_test", False),
        part=getattr(options, "part", ""),
        sweeps=getattr(options, "name", ()),
    )
    count = _beside_each_other(options.stage, options.jobs, params)
    work = partial(run_within, params)
    sources = [params.source_of(name) for name in chosen.datasets]  # of targets among them
    sets = list(dict.fromkeys([*chosen.datasets, *sources]))
    # rungs stand on the main cells
    seeds = trained_with(params, chosen.seeds)
    needed = replace(chosen, datasets=sets, seeds=seeds, part="", test=True, views=True)
    if layout != Layout():  # a scratch tree may lack what this cell needs: make it, or take it
        dry = getattr(options, "dry_run", False)  # needs images alone, no training
        from_features = dry or options.stage == "sweep"
        for earlier in ORDER[: ORDER.index("tune" if from_features else options.stage)]:
            run_all(work, _groups(list(jobs(earlier, params, layout, needed))), count)
    if options.stage == "teacher":
        for dataset in chosen.datasets or params.run.datasets:
            layout.make_room_for_teacher(dataset)
    if options.stage == "sweep":  # a cell is many trainings: these stand beside each other
        chosen, count = replace(chosen, processes=count), 1
    wanted = list(jobs(options.stage, params, layout, chosen))
    if not wanted and options.stage != "teacher":
        raise DpcError(f"{options.stage}: the grid of {options.params} has no such cell")
    if getattr(options, "dry_run", False):
        from dpc.stages.dry_run import plans

        for paragraph in plans(params, wanted):
            print(paragraph, flush=True)
        return
    begin = time.monotonic()
    computed = run_all(work, _groups(wanted), count)
    for job in wanted if options.stage == "evaluate" else ():
        _say_row(job.outputs["row.safetensors"])
    _say_end(options.stage, layout, len(wanted), computed, time.monotonic() - begin)


def _say_end(stage: str, layout: "Layout", cells: int, computed: int, seconds: float) -> None:
    from dpc.progress import LOG, duration

    count = f"{cells} cell{'' if cells == 1 else 's'}"
    text = "%s: %s in %s, %d computed, %d from the store, below %s"
    LOG.info(text, stage, count, duration(seconds), computed, cells - computed, layout.root)


def _beside_each_other(stage: str, asked: int | None, params: "Params") -> int:
    """Cells of a stage at a time; None fills the processor, or the GPUs where it uses them.

    Raises:
        DpcError: more than the GPUs of this machine may hold.
    """
    from dpc.devices import device_kind, visible_gpus
    from dpc.stages.side_by_side import processors

    run = params.run
    if stage == "prepare" or device_kind(params.clip.device) == "cpu":
        return asked or max(1, processors() // run.threads)
    found = len(visible_gpus())
    most = max(1, found * run.gpu_share)
    if asked is not None and asked > most:
        raise DpcError(
            f"--jobs {asked}: {found} GPUs with run.gpu_share={run.gpu_share} hold at most {most} "
            "cells at a time; write --jobs auto, or raise run.gpu_share"
        )
    return asked or most


def _groups(wanted: "Sequence[Job]") -> "list[list[Job]]":
    """Jobs that follow from each other stay together: a teacher and its features."""
    if any(job.stage == "teacher" for job in wanted):
        sets = dict.fromkeys(job.cell["dataset"] for job in wanted)
        return [[job for job in wanted if job.cell["dataset"] == name] for name in sets]
    return [[job] for job in wanted]


def _say_row(path: Path) -> None:
    from dpc import artifacts
    from dpc.evaluation.statistics import harmonic_mean
    from dpc.progress import LOG

    row = artifacts.read(path).results
    if "accuracy" in row:
        LOG.info("  accuracy %.2f", row["accuracy"])
        return
    base, new = row["base"], row["new"]
    LOG.info("  base %.2f, new %.2f, H %.2f", base, new, harmonic_mean(base, new))


def layout_of(options: argparse.Namespace) -> "Layout":
    """The tree of a command: the engines' one only for params.yaml as it stands.

    Raises:
        DpcError: other parameters are asked to write into the engines' tree.
    """
    from dpc.files import digest
    from dpc.stages.layout import Layout

    own = Layout()
    if not options.overrides and options.params.resolve() == Path("params.yaml").resolve():
        return Layout(options.out) if options.out else own
    if options.out and options.out.resolve() == own.root.resolve():
        raise DpcError(
            f"--out {options.out} belongs to params.yaml as it stands; name another folder"
        )
    named = [options.params.read_text(), *sorted(options.overrides)]
    return Layout(options.out or Path(".cache/scratch") / digest("\n".join(named))[:12])


def run_report(options: argparse.Namespace) -> None:
    """Build the report."""
    from dpc.params.load import load
    from dpc.stages.report import write

    write(load(options.params, options.overrides), layout_of(options))


def run_params(options: argparse.Namespace) -> None:
    """Print a preset, or a file's values, as a params file with all comments; or write it."""
    from dpc.files import write_atomically
    from dpc.params.load import (
        checked,
        compose,
        description_for,
        leading_comment,
        preset,
        preset_heading,
        read,
    )
    from dpc.params.render import render

    if options.file is not None:
        place = str(options.file)
        values = compose(read(options.file), options.overrides, place)
        heading = leading_comment(options.file.read_text())
    else:
        place = f"preset {options.preset}"
        values = preset(options.preset, options.overrides)
        heading = preset_heading(options.preset)
    checked(values, place)
    text = render(values, description_for(values), heading)
    if options.out is None:
        sys.stdout.write(text)
    else:
        write_atomically(options.out, text.encode())


def run_slices(options: argparse.Namespace) -> None:
    """Write the slices that changed, and name them."""
    from dpc.params.load import load
    from dpc.stages.layout import Layout
    from dpc.stages.slice_files import sync

    changed = sync(load(options.params), Layout())
    names = ", ".join(sorted(path.stem for path in changed))
    print(f"slices: {names or 'everything is up to date'}")


def run_check(options: argparse.Namespace) -> None:
    """Check the params file and say how large the grid is."""
    from dpc.params.load import load
    from dpc.stages.cells import methods

    params = load(options.params)
    run = params.run
    rows = ", ".join(method.name for method in methods(params))
    shots = f"{len(run.shots)} numbers of shots × " if len(run.shots) > 1 else ""
    sets = f"{len(run.datasets)} datasets"
    if run.targets:
        sets += f" and {len(run.targets)} targets"
    cells = f"{sets} × {shots}{len(run.seeds)} seeds × ({rows})"
    swept = [f"{name} ({len(params.sweeps[name].points)} points)" for name in run.sweeps]
    cells += f", sweeps {', '.join(swept)}" if swept else ""
    print(f"{options.params}: fine; {params.protocol}, {cells}")


def run_list(options: argparse.Namespace) -> None:
    """Name datasets, backbones, baselines and presets."""
    from dpc.backbones import BACKBONES
    from dpc.baselines import BASELINES
    from dpc.datasets import EMBEDDED, PUBLISHED
    from dpc.params.load import preset_heading, presets

    print("datasets (embedded): " + ", ".join(EMBEDDED))
    print("datasets (on your disk, see `dpc doctor`): " + ", ".join(PUBLISHED))
    print("backbones: " + ", ".join(BACKBONES))
    print("baselines (run.baselines): " + ", ".join(BASELINES))
    print("presets:")
    for name in presets():
        print(f"  {name}: {preset_heading(name).splitlines()[0]}")


def run_verify(options: argparse.Namespace) -> None:
    """Name every file that does not belong to params, inputs and code; none is success."""
    from dpc.params.load import load
    from dpc.stages.layout import Layout
    from dpc.stages.plan import leftovers, stale
    from dpc.stages.report import files
    from dpc.stages.slice_files import outdated

    params, layout = load(options.params), Layout()
    behind = [f"slice {path.stem}" for path in outdated(params, layout)] + stale(params, layout)
    if not behind:
        report = files(params, layout)
        wrong = [str(p) for p, data in report.items() if not p.is_file() or p.read_bytes() != data]
        behind += wrong
    if behind:
        raise DpcError(
            f"stale: {', '.join(behind)}; run `snakemake --cores all all` or `dvc repro`"
        )
    if others := leftovers(params, layout):
        names = ", ".join(str(path) for path in others)
        raise DpcError(f"of a seed, backbone or row that the grid no longer has: {names}; delete")
    print("every file of the tree belongs to params.yaml, its inputs and the code")


def run_gc(options: argparse.Namespace) -> None:
    """Trim the store; remove what killed sweeps left."""
    from dpc.stages.sweep import drop_leftovers
    from dpc.store import Store

    dropped, kept = Store().collect(_bytes(options.keep))
    print(f"store: {dropped} entries dropped, {kept / 1e6:.0f} MB kept")
    if left := drop_leftovers():
        print(f"sweeps: {left} folders of killed runs dropped")


def _bytes(text: str) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number, unit = text[:-2], text[-2:].upper()
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError):
        raise DpcError(f"size {text!r} is not understood; write 500MB or 5GB") from None
