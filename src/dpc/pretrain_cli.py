"""`dpc pretrain`: make the embedded CLIP anew; apart from the stages, since no grid needs it."""

import argparse
from pathlib import Path


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """Add the command to the subcommands of `dpc`."""
    command = commands.add_parser(
        "pretrain",
        parents=[common],
        help="train the embedded CLIP again, from installed icon packages",
        description="Train an embedded CLIP from the installed icon packages. An interrupted run "
        "goes on where it stopped; the same packages, seed and threads give the same weights.",
    )
    command.add_argument("--model", default="icons", help="icons (default), or icons-large")
    command.add_argument(
        "--out", type=Path, default=Path("src/dpc/clip/weights"), help="where the weights go"
    )
    command.add_argument("--seed", type=int, default=1, help="of all that is drawn (default: 1)")
    command.add_argument(
        "--threads", type=int, default=1, choices=(1, 2), help="part of the result (default: 1)"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dpc.pretrain.run import run
    from dpc.progress import LOG

    weights = run(
        options.model, options.out, options.seed, options.threads, say=lambda line: LOG.info(line)
    )
    LOG.info("pretrain: wrote %s", weights)
