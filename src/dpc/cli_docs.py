"""docs/commands.md out of the command line's own parser; ``python -m dpc.cli_docs`` prints it."""

import argparse
import sys
from collections.abc import Iterator

from dpc.cli import command_parser

INTRODUCTION = """\
# Commands

`dpc COMMAND --help` says the same in a terminal. This page is generated:
`python -m dpc.cli_docs > docs/commands.md`.

Every command takes `-q` (warnings only), `-v` (every detail), `--params FILE` (another file than
`params.yaml`) and `-h`. Overrides are parameters in Hydra's syntax, such as `dpc.lr=0.01`. The exit
code is 0; 1 for a problem, which one line names; 2 where `params.yaml` or the command line is
wrong; 130 after Ctrl-C.
"""
EVERYWHERE = ("help", "quiet", "verbose", "params")


def page() -> str:
    """The whole page, in Markdown."""
    whole = command_parser()
    (commands,) = (a for a in whole._actions if isinstance(a, argparse._SubParsersAction))
    blocks, said = [], {""}
    for name, parser in commands.choices.items():
        epilog = parser.epilog or ""
        blocks.append(_block(name, parser, epilog if epilog not in said else ""))
        said.add(epilog)
    return "\n".join([INTRODUCTION, *blocks])


def _block(name: str, parser: argparse.ArgumentParser, epilog: str) -> str:
    """One command; what stages say alike stands under the first of them alone."""
    lines = [f"## `dpc {name}`", "", _cell(parser.description or ""), ""]
    rows = [_row(action) for action in parser._actions if action.dest not in EVERYWHERE]
    if rows:
        lines += ["| argument | means |", "|---|---|", *rows, ""]
    if epilog:
        lines += [*_epilog(epilog), ""]
    return "\n".join(lines)


def _row(action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
    if action.option_strings and action.nargs != 0:
        choices = ",".join(map(str, action.choices or ()))
        wanted = f"{{{choices}}}" if choices else action.metavar or action.dest.upper()
        names = names[:-1] + f" {wanted}`"
    needed = " (needed)" if action.required and action.option_strings else ""
    return f"| {_cell(names)}{needed} | {_cell(action.help or '')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _epilog(text: str) -> Iterator[str]:
    """Indented lines are commands, the others are prose."""
    inside = False
    for line in text.strip("\n").splitlines():
        indented = line.startswith("  ")
        if indented != inside and (indented or line):
            yield "<!-- not run: examples of the help -->\n```sh" if indented else "```"
            if not indented:
                yield ""
            inside = indented
        if line or not inside:
            yield line.strip()
    if inside:
        yield "```"


if __name__ == "__main__":
    sys.stdout.write(page())
