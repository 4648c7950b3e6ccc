"""`dpc doctor`: is everything here that the grid needs, and what will it take?"""

import argparse

DESCRIPTION = """\
Look at datasets, CLIP, machine and grid before anything runs. Datasets are recognised in CoOp's and
in nested layouts, compared with the published ones, and known wrong copies are named. Nothing is
downloaded, moved or changed. Without names: all that params.yaml needs.
"""
EPILOG = """\
  dpc doctor
  dpc doctor dtd eurosat --images
  dpc doctor --all

Exit code: 0 if the grid of params.yaml can run (with names: if these datasets are fine), 1 if
something is missing or wrong, 2 if params.yaml cannot be used.
"""


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """Add the command to the subcommands of `dpc`."""
    command = commands.add_parser(
        "doctor",
        parents=[common],
        help="is everything here that the grid needs, and what will it take?",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("names", nargs="*", metavar="DATASET", help="look at these alone")
    command.add_argument("--all", action="store_true", help="look at all published datasets too")
    command.add_argument(
        "--images", action="store_true", help="open every image: reads all, which takes a while"
    )
    command.add_argument("--json", action="store_true", help="one JSON object (see docs/data.md)")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from dpc.doctor.examine import examine
    from dpc.doctor.text import as_json, as_text
    from dpc.params.load import load

    params = load(options.params)
    found = examine(params, options.names, options.all, options.images)
    tell = as_json if options.json else as_text
    print(tell(found, str(options.params)))
    return 1 if found.problems else 0
