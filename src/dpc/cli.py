"""The command line: `dpc STAGE …`; both engines call exactly this."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from dpc import __version__
from dpc.errors import DpcError
from dpc.progress import setup

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
STAGE_HELP = {
    "prepare": "render or read a dataset: class names, splits, a content hash for every image",
    "features": "frozen CLIP features of test images and of each seed's training views",
    "tune": "stage one: tune a backbone's prompt P on the base classes",
    "finetune": "stage two: the parallel prompt P', tuned on the classes that P confuses",
    "evaluate": "test P, and P mixed with P', on base and new classes",
}
EPILOG = """\
Without --dataset, --backbone or --seeds a stage runs every cell of params.yaml that is not in the
store yet. Overrides in Hydra's syntax (dpc.lr=0.01 'dpc.sweep=[0.1,0.5]') run the cell and all it
needs into a scratch folder, never into the tree that Snakemake and DVC own.

  dpc tune --dataset icons-tabler --backbone coop --seeds 1
  dpc evaluate --dataset icons-tabler --backbone coop --seeds 1 dpc.weight=0.5
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code: 0, 1 (a problem in one line), 2 (wrong params)."""
    options = _parser().parse_args(arguments)
    setup(options.verbose - options.quiet)
    try:
        return options.run(options) or 0
    except DpcError as problem:
        for line in str(problem).splitlines():
            print(f"dpc: {line}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("dpc: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-q", "--quiet", action="count", default=0, help="warnings only")
    common.add_argument("-v", "--verbose", action="count", default=0, help="every detail")
    common.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="the parameters (default: params.yaml)",
    )
    parser = argparse.ArgumentParser(
        prog="dpc",
        description="Dual-Prompt Collaboration for CLIP prompt tuning, reproducibly.",
        epilog="`dpc COMMAND --help` explains a command. The whole grid: snakemake --cores all all",
    )
    parser.add_argument("--version", action="version", version=f"dpc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for stage, text in STAGE_HELP.items():
        _add_stage(commands, common, stage, text)
    _add_report(commands, common)
    _add_params(commands, common)
    _add_others(commands, common)
    return parser


def _add_stage(commands: Commands, common: argparse.ArgumentParser, stage: str, text: str) -> None:
    command = commands.add_parser(
        stage,
        parents=[common],
        help=text,
        description=text.capitalize() + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--dataset", type=_names, default=(), help="only these: A or A,B")
    if stage not in ("prepare", "features"):
        command.add_argument("--backbone", type=_names, default=(), help="only these: A or A,B")
    if stage != "prepare":
        command.add_argument("--seeds", type=_seeds, default=(), help="only these: 1 or 1,2")
    if stage == "features":
        part = command.add_mutually_exclusive_group()
        part.add_argument("--only-test", action="store_true", help="only the test images")
        part.add_argument("--only-shots", action="store_true", help="only the training views")
    if stage in ("tune", "evaluate"):
        part = command.add_mutually_exclusive_group()
        only, others = "only the run prolonged to the images of both stages", "all but that run"
        part.add_argument("--budget", action="store_true", default=None, help=only)
        part.add_argument(
            "--no-budget", dest="budget", action="store_false", default=None, help=others
        )
    command.add_argument("--out", type=Path, help="result folder (default: results, or scratch)")
    command.add_argument("overrides", nargs="*", help="parameters in Hydra's syntax: dpc.lr=0.01")
    command.set_defaults(run=_run_stage, stage=stage)


def _add_report(commands: Commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "report",
        parents=[common],
        help="the page, tables, figures and metrics.json",
        description="Build results/report/index.html, metrics.json and summary.json.",
    )
    command.add_argument("--out", type=Path, help="result folder (default: results)")
    command.set_defaults(run=_run_report)


def _add_params(commands: Commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "params",
        parents=[common],
        help="print a complete, commented params.yaml",
        description="Print a complete params.yaml: a preset, with overrides in Hydra's syntax.",
    )
    command.add_argument("--preset", default="icons", help="see `dpc list` (default: icons)")
    command.add_argument("--out", type=Path, help="write here instead of printing")
    command.add_argument("overrides", nargs="*", help="parameters in Hydra's syntax: dpc.lr=0.01")
    command.set_defaults(run=_run_params)


def _add_others(commands: Commands, common: argparse.ArgumentParser) -> None:
    simple = {
        "slices": (_run_slices, "write what each stage reads of params.yaml, where it changed"),
        "check": (_run_check, "check params.yaml and say how large the grid is"),
        "list": (_run_list, "datasets, backbones and presets"),
        "verify": (_run_verify, "does every file of the tree belong to params.yaml and the code?"),
    }
    for name, (function, text) in simple.items():
        command = commands.add_parser(
            name, parents=[common], help=text, description=text.capitalize()
        )
        command.set_defaults(run=function)
    command = commands.add_parser(
        "gc",
        parents=[common],
        help="trim the store to a size",
        description="Forget what the store has not been asked for longest.",
    )
    command.add_argument("--keep", default="5GB", metavar="SIZE", help="default: 5GB")
    command.set_defaults(run=_run_gc)
    from dpc.pretrain_cli import add_parser

    add_parser(commands, common)


def _run_stage(options: argparse.Namespace) -> None:
    from dpc.params.load import load
    from dpc.stages.layout import Layout
    from dpc.stages.plan import ORDER, Selection, jobs
    from dpc.stages.runner import run

    params = load(options.params, options.overrides)
    layout = Layout(options.out or _default_root(options.overrides))
    chosen = Selection(
        datasets=options.dataset,
        backbones=getattr(options, "backbone", ()),
        seeds=getattr(options, "seeds", ()),
        test=not getattr(options, "only_shots", False),
        shots=not getattr(options, "only_test", False),
        budget=getattr(options, "budget", None),
    )
    if layout != Layout():  # a scratch tree starts empty: make (or take) all that this cell needs
        for earlier in ORDER[: ORDER.index(options.stage)]:
            for job in jobs(earlier, params, layout, chosen):
                run(job)
    for job in jobs(options.stage, params, layout, chosen):
        run(job)
        if options.stage == "evaluate":
            _say_row(job.outputs["row.safetensors"])


def _say_row(path: Path) -> None:
    from dpc import artifacts
    from dpc.evaluation.statistics import harmonic_mean
    from dpc.progress import LOG

    row = artifacts.read(path).results
    base, new = row["base"], row["new"]
    LOG.info("  base %.2f, new %.2f, H %.2f", base, new, harmonic_mean(base, new))


def _default_root(overrides: Sequence[str]) -> Path:
    from dpc.files import digest

    if not overrides:
        return Path("results")
    return Path(".cache/scratch") / digest("\n".join(sorted(overrides)))[:12]


def _run_report(options: argparse.Namespace) -> None:
    from dpc.params.load import load
    from dpc.stages.layout import Layout
    from dpc.stages.report import write

    write(load(options.params), Layout(options.out or Path("results")))


def _run_params(options: argparse.Namespace) -> None:
    from dpc.files import write_atomically
    from dpc.params.load import checked, description_for, preset, preset_heading
    from dpc.params.render import render

    values = preset(options.preset, options.overrides)
    checked(values, f"preset {options.preset}")
    text = render(values, description_for(values), preset_heading(options.preset))
    if options.out is None:
        sys.stdout.write(text)
    else:
        write_atomically(options.out, text.encode())


def _run_slices(options: argparse.Namespace) -> None:
    from dpc.params.load import load
    from dpc.progress import LOG
    from dpc.stages.layout import Layout
    from dpc.stages.slices import sync

    changed = sync(load(options.params), Layout())
    LOG.info("slices: %d changed", len(changed))


def _run_check(options: argparse.Namespace) -> None:
    from dpc.params.load import load
    from dpc.stages.cells import methods

    params = load(options.params)
    run = params.run
    rows = ", ".join(method.name for method in methods(params))
    print(
        f"{options.params}: fine; {len(run.datasets)} datasets × {len(run.seeds)} seeds × ({rows})"
    )


def _run_list(options: argparse.Namespace) -> None:
    from dpc.backbones import BACKBONES
    from dpc.datasets import EMBEDDED
    from dpc.params.load import preset_heading, presets

    print("datasets (embedded): " + ", ".join(EMBEDDED))
    print("backbones: " + ", ".join(BACKBONES))
    print("presets:")
    for name in presets():
        print(f"  {name}: {preset_heading(name).splitlines()[0]}")


def _run_verify(options: argparse.Namespace) -> None:
    from dpc.params.load import load
    from dpc.stages.layout import Layout
    from dpc.stages.plan import ORDER, Selection, fresh, jobs

    params, layout = load(options.params), Layout()
    stale = [
        job.title
        for stage in ORDER
        for job in jobs(stage, params, layout, Selection())
        if not fresh(job)
    ]
    if stale:
        raise DpcError(f"stale: {', '.join(stale)}; run `snakemake --cores all all` or `dvc repro`")
    print("every file of the tree belongs to params.yaml, its inputs and the code")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers") from None


def _run_gc(options: argparse.Namespace) -> None:
    from dpc.store import Store

    dropped, kept = Store().collect(_bytes(options.keep))
    print(f"store: {dropped} entries dropped, {kept / 1e6:.0f} MB kept")


def _bytes(text: str) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number, unit = text[:-2], text[-2:].upper()
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError):
        raise DpcError(f"size {text!r} is not understood; write 500MB or 5GB") from None
