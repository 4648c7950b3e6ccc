"""`dpc export`: a tuned classifier as files for other programs."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Write the classifier of a tuned cell for other programs: the prompts and the class embeddings as
safetensors, the embeddings for numpy, image tower and classes in one onnx file, and a model card.
"""
EPILOG = """\
  dpc export --dataset icons-tabler --backbone coop --out exported/coop
  dpc export --dataset icons-tabler --backbone maple --classes base --format onnx --out exported/m

Overrides name the scratch tree of the same overrides, as in `dpc evaluate`. See docs/exchange.md.
"""
FORMATS = ("safetensors", "npz", "onnx")


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """Add the command to the subcommands of `dpc`."""
    command = commands.add_parser(
        "export",
        parents=[common],
        help="a tuned classifier as safetensors, npz and onnx, with a model card",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--dataset", required=True, help="its classes")
    command.add_argument("--backbone", required=True, help="its prompt learner")
    command.add_argument(
        "--method",
        choices=("dpc", "alone"),
        default="dpc",
        help="P mixed with P', or P (default: dpc)",
    )
    command.add_argument("--seed", type=int, help="default: the first of run.seeds")
    command.add_argument("--shots", type=int, help="default: the first of run.shots")
    command.add_argument(
        "--classes",
        choices=("base", "new", "all"),
        default="all",
        help="base classes, new ones, or all of them in competition (default: all)",
    )
    command.add_argument(
        "--weight", type=_share, metavar="W", help="ω_b in place of the one in params.yaml"
    )
    command.add_argument(
        "--format",
        type=_formats,
        default=FORMATS,
        metavar="A,B",
        help=f"of {', '.join(FORMATS)} (default: all)",
    )
    command.add_argument(
        "--out", dest="folder", type=Path, required=True, metavar="FOLDER", help="a new folder"
    )
    command.add_argument("--force", action="store_true", help="replace an earlier export")
    command.add_argument("overrides", nargs="*", help="parameters in Hydra's syntax: dpc.lr=0.01")
    command.set_defaults(run=_run, out=None)


def _run(options: argparse.Namespace) -> None:
    from dpc.commands import layout_of
    from dpc.exchange import exporting, onnx_file
    from dpc.params.load import load
    from dpc.progress import LOG
    from dpc.stages.cells import Draw, Method
    from dpc.stages.exported import Wanted, collect

    exporting.check_folder(options.folder, options.force)
    if "onnx" in options.format:
        onnx_file.require_packages()
    params = load(options.params, options.overrides)
    run = params.run
    wanted = Wanted(
        options.dataset,
        Method(options.backbone, "dpc" if options.method == "dpc" else ""),
        Draw(
            run.shots[0] if options.shots is None else options.shots,
            run.seeds[0] if options.seed is None else options.seed,
        ),
        options.classes,
        options.weight,
        options.params,
        options.overrides,
    )
    content = exporting.files(collect(params, layout_of(options), wanted), options.format)
    exporting.write_folder(options.folder, content, options.force)
    for name, each in content.items():
        LOG.info("%s (%d kB)", options.folder / name, -(-len(each) // 1000))


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 1")
    return value


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(name for name in FORMATS if name in text.split(","))
    unknown = [name for name in text.split(",") if name not in FORMATS]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(f"{text!r}: formats are {', '.join(FORMATS)}")
    return chosen
