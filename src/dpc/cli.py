"""The command line: `dpc STAGE …`; both engines call exactly this."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from dpc import __version__, commands
from dpc.errors import DpcError
from dpc.progress import LOG, escaped, setup
from dpc.uncompiled import postpone_compiler

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
STAGE_HELP = {
    "prepare": "render or read a dataset: class names, splits, a content hash for every image",
    "features": "frozen CLIP features of test images and of each draw's training views",
    "teacher": "tune the teacher of backbones that learn from one, and its features",
    "tune": "stage one: tune a backbone's prompt P on the shots of the classes that are tuned on",
    "finetune": "stage two: the parallel prompt P', tuned on the classes that P confuses",
    "evaluate": "test P, and P mixed with P', on what the protocol tests",
    "sweep": "cells once more with some parameters changed: the points of run.sweeps",
}
PARTS = {
    "tune": ("main", "budget"),
    "finetune": ("main", "ablation"),
    "evaluate": ("main", "budget", "ablation"),
}
PART_HELP = {
    "main": "every backbone, alone and with DPC",
    "budget": "run.budget, tuned for as many images as both stages see",
    "ablation": "the further rungs of run.ablations",
}
EPILOG = """\
Without --dataset, --backbone, --shots or --seeds a stage runs every cell of params.yaml that is not
in the store yet. Overrides in Hydra's syntax (dpc.lr=0.01 'dpc.sweep=[0.1,0.5]') run the cell and
all it needs into a scratch folder, never into the tree that Snakemake and DVC own.

  dpc tune --dataset icons-tabler --backbone coop --seeds 1
  dpc evaluate --dataset icons-tabler --backbone coop --seeds 1 dpc.weight=0.5
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code: 0, 1 (a problem in one line), 2 (wrong params)."""
    options = command_parser().parse_args(arguments)
    setup(options.verbose - options.quiet)
    postpone_compiler()
    try:
        code = options.run(options) or 0
        sys.stdout.flush()  # here, where a full disk is a line
        return code
    except DpcError as problem:
        _say(str(problem))
        return problem.exit_code
    except KeyboardInterrupt:
        print("dpc: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _close_output()
        return 141
    except OSError as problem:
        LOG.debug("where that came from:", exc_info=True)
        where = "" if problem.filename is None else f"{problem.filename}: "
        _say(f"{where}{problem.strerror or problem} (-v says where)")
        _close_output()
        return 1


def _say(problem: str) -> None:
    for line in problem.splitlines():
        print(f"dpc: {escaped(line)}", file=sys.stderr)


def _close_output() -> None:
    """Drop what cannot be written, or the interpreter tries it once more and complains."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            sys.stdout.close()


def command_parser() -> argparse.ArgumentParser:
    """What ``dpc`` understands; docs/commands.md is made of it."""
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
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for stage, text in STAGE_HELP.items():
        _add_stage(parsers, common, stage, text)
    _add_report(parsers, common)
    _add_params(parsers, common)
    _add_others(parsers, common)
    return parser


def _add_stage(parsers: Parsers, common: argparse.ArgumentParser, stage: str, text: str) -> None:
    command = parsers.add_parser(
        stage,
        parents=[common],
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--dataset", type=_names, default=(), help="only these: A or A,B")
    if stage not in ("prepare", "features", "teacher"):
        command.add_argument("--backbone", type=_names, default=(), help="only these: A or A,B")
    if stage == "sweep":
        command.add_argument("--name", type=_names, default=(), help="only these: A or A,B")
    elif stage not in ("prepare", "teacher"):
        command.add_argument("--seeds", type=_numbers, default=(), help="only these: 1 or 1,2")
        command.add_argument("--shots", type=_numbers, default=(), help="only these: 16 or 4,16")
    if stage == "features":
        part = command.add_mutually_exclusive_group()
        part.add_argument("--only-test", action="store_true", help="only the test images")
        part.add_argument("--only-shots", action="store_true", help="only the training views")
    if stage in PARTS:
        parts = [f"{part}: {PART_HELP[part]}" for part in PARTS[stage]]
        command.add_argument(
            "--part",
            choices=PARTS[stage],
            default="",
            help=f"only this part of the grid ({'; '.join(parts)})",
        )
    if stage in ("tune", "finetune"):
        command.add_argument(
            "--dry-run",
            action="store_true",
            help="train nothing: say what each cell learns, its steps, memory and time, and "
            "refuse what cannot fit",
        )
    command.add_argument(
        "--jobs",
        type=_job_count,
        default=1,
        metavar="N",
        help="cells beside each other; auto: as many as processor or GPUs hold (default: 1)",
    )
    _add_target(command, "result folder (default: results, or scratch)")
    command.set_defaults(run=commands.run_stage, stage=stage)


def _add_report(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    command = parsers.add_parser(
        "report",
        parents=[common],
        help="the page, tables, figures and metrics.json",
        description="Build results/report/index.html, metrics.json and summary.json.",
    )
    _add_target(command, "result folder (default: results, or scratch)")
    command.set_defaults(run=commands.run_report)


def _add_params(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    command = parsers.add_parser(
        "params",
        parents=[common],
        help="print a complete, commented params.yaml",
        description="Print a complete params.yaml: a preset, with overrides in Hydra's syntax.",
    )
    source = command.add_mutually_exclusive_group()
    source.add_argument("--preset", default="icons", help="see `dpc list` (default: icons)")
    source.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="the values of FILE, with all comments put back (DVC drops some when it edits)",
    )
    _add_target(command, "write here instead of printing")
    command.set_defaults(run=commands.run_params)


def _add_others(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    simple = {
        "slices": (
            commands.run_slices,
            "write what each stage reads of params.yaml, where it changed",
        ),
        "check": (commands.run_check, "check params.yaml and say how large the grid is"),
        "list": (commands.run_list, "datasets, backbones, baselines and presets"),
        "verify": (
            commands.run_verify,
            "does every file of the tree belong to params.yaml and the code?",
        ),
    }
    for name, (function, text) in simple.items():
        command = parsers.add_parser(
            name, parents=[common], help=text, description=text[0].upper() + text[1:]
        )
        command.set_defaults(run=function)
    command = parsers.add_parser(
        "gc",
        parents=[common],
        help="trim the store to a size",
        description="Forget what the store has not been asked for longest, "
        "and what killed sweeps left.",
    )
    command.add_argument("--keep", default="5GB", metavar="SIZE", help="default: 5GB")
    command.set_defaults(run=commands.run_gc)
    from dpc import compare_cli, doctor_cli, export_cli, import_cli, predict_cli, pretrain_cli

    doctor_cli.add_parser(parsers, common)
    import_cli.add_parser(parsers, common)
    export_cli.add_parser(parsers, common)
    predict_cli.add_parser(parsers, common)
    compare_cli.add_parser(parsers, common)
    pretrain_cli.add_parser(parsers, common)


def _add_target(command: argparse.ArgumentParser, out: str) -> None:
    command.add_argument("--out", type=Path, help=out)
    command.add_argument("overrides", nargs="*", help="parameters in Hydra's syntax: dpc.lr=0.01")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _job_count(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number of at least 1")


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers") from None


if __name__ == "__main__":
    sys.exit(main())
