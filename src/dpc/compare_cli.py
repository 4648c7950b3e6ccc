"""`dpc compare`: what two trees were made with, and what it did to the numbers."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpc.progress import escaped

if TYPE_CHECKING:
    from dpc.stages.compare import Change, Comparison
    from dpc.stages.compared_rows import Line

DESCRIPTION = """\
Say how two trees of results differ: parameters, data, code and libraries, as their artefacts were
made with them, and the accuracies that came of it. Files are compared by their content, never by
their time; nothing is written.
"""
EPILOG = """\
  dpc compare results ../other/results
  dpc compare results old/metrics.json --all

The exit code is 0 whether they differ or not. Commits of one folder: `dvc exp diff`.
"""
MOST = 12  # lines of a list, unless --all


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """Add the command to the subcommands of `dpc`."""
    command = commands.add_parser(
        "compare",
        parents=[common],
        help="how two trees of results differ, and what it did to the numbers",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("first", "second"):
        command.add_argument(
            name, type=Path, metavar="RUN", help="a folder of results, or a metrics.json"
        )
    command.add_argument("--all", action="store_true", help="every data set, and whole lists")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dpc.stages.compare import compare
    from dpc.stages.sides import read_side

    found = compare(read_side(options.first), read_side(options.second))
    lines = map(escaped, _as_text(found, options.all))
    text = _as_json(found) if options.json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")


def _as_json(found: "Comparison") -> str:
    from dpc.stages.compared_rows import lines

    datasets = list(dict.fromkeys(cell[0] for cell in found.common))
    content: dict[str, Any] = {
        "runs": [
            {"name": side.name, "protocols": side.protocols, "artefacts": len(side.made)}
            for side in found.sides
        ],
        "identical": found.identical,
        "artefacts": {"same": found.same, "other": found.other, "only": found.files},
        "cells": {"common": len(found.common), "only": found.only},
        "params": [asdict(each) for each in found.params],
        "data": [asdict(each) for each in found.data],
        "code": [asdict(each) for each in found.code],
        "libraries": [asdict(each) for each in found.libraries],
        "libraries_unknown": found.unknown,
        "comparable": found.comparable,
        "equal_accuracies": found.equal_rows,
        "averages": [asdict(each) for each in lines(found)],
        "datasets": {name: [asdict(each) for each in lines(found, [name])] for name in datasets},
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _as_text(found: "Comparison", whole: bool) -> Iterator[str]:
    if found.identical:
        yield f"identical: {found.same} artefacts, same hashes"
        yield from _libraries(found)
        return
    first, second = (side.name for side in found.sides)
    yield f"first:  {first}"
    yield f"second: {second}"
    if found.same or found.other:
        yield f"artefacts in both: {found.same} with the same content, {found.other} with another"
    for number, (name, files) in enumerate(zip((first, second), found.files, strict=True)):
        if files and not found.only[number]:
            yield from _list(f"artefacts that only {name} has", files, whole)
    yield from _verdict(found)
    yield from _trees(found, whole)
    for name, cells in zip((first, second), found.only, strict=True):
        yield from _list(f"rows that only {name} has", cells, whole)
    yield from _numbers(found, whole)


def _verdict(found: "Comparison") -> Iterator[str]:
    """One line, where both were made of the same data with the same parameters."""
    if not (found.same or found.other) or found.params or found.data:
        return
    kinds = {"code": found.code, "libraries": found.libraries}
    others = " and ".join(kind for kind, changes in kinds.items() if changes)
    others += " differs" if others == "code" else " differ" if others else ""
    rows = len(found.common)
    if others and found.equal_rows and rows:
        yield f"only {others}, and all {rows} rows that both have agree to the digit"
    elif others:
        yield f"only {others}, of what both were made with"
    elif found.other:
        yield f"made with the same, and yet {found.other} artefacts hold other numbers"
    else:
        yield "what both have is the same"


def _trees(found: "Comparison", whole: bool) -> Iterator[str]:
    """What both were made with, where both are trees."""
    if found.alone:
        names = " and ".join(found.alone)
        yield f"{names}: numbers alone, which do not say what they were made with"
        return
    yield from _list("parameters", map(_changed, found.params), whole)
    yield from _list("data", map(_changed, found.data), whole)
    if whole:
        yield from _list("code", map(_changed, found.code), whole)
    elif found.code:
        yield f"other versions: {', '.join(dict.fromkeys(each.key for each in found.code))} (--all)"
    yield from _libraries(found)


def _libraries(found: "Comparison") -> Iterator[str]:
    yield from _list("libraries", map(_changed, found.libraries), True)
    if found.unknown:
        yield f"libraries of {' and '.join(found.unknown)}: not known, no store tells"


def _changed(change: "Change") -> str:
    where = f"  ({change.where})" if change.where else ""
    return f"{change.key}: {_shown(change.first)} → {_shown(change.second)}{where}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    digits = len(text) in (16, 64) and not set(text) - set("0123456789abcdef")
    return text[:8] if digits else text


def _list(title: str, items: Iterable[str], whole: bool) -> Iterator[str]:
    lines = list(items)
    if not lines:
        return
    yield f"{title}:"
    shown = lines if whole else lines[:MOST]
    yield from (f"  {line}" for line in shown)
    if len(lines) > len(shown):
        yield f"  … and {len(lines) - len(shown)} more (--all)"


def _numbers(found: "Comparison", whole: bool) -> Iterator[str]:
    from dpc.stages.compared_rows import lines

    count = len(found.common)
    if not found.comparable:
        said = " and ".join(" or ".join(side.protocols) or "no row" for side in found.sides)
        yield f"accuracies: not to be compared, the protocols are {said}"
    elif not count:
        yield "accuracies: no row is in both"
    elif found.equal_rows:
        yield f"accuracies: the same to the digit, in all {count} rows that both have"
    else:
        yield f"accuracies, averages over the {count} rows that both have:"
        if found.tests:
            yield f"  (other test images on one side than on the other: {', '.join(found.tests)})"
        yield from _table(lines(found))
        datasets = dict.fromkeys(cell[0] for cell in found.common)
        for name in datasets if whole else ():
            yield f"{name}:"
            yield from _table(lines(found, [name]))
    if any(side.swept for side in found.sides):
        yield "rows of sweeps: not compared; each tree's report shows its own"


def _table(lines: "Sequence[Line]") -> Iterator[str]:
    """Of each measure both values and the difference, aligned."""
    measures = list(dict.fromkeys(name for line in lines for name in line.first))
    heads = ["", *(name.upper() if name == "h" else name for name in measures)]
    rows = [heads]
    for line in lines:
        gains = line.differences()
        texts = [
            f"{line.first[name]:.2f} → {line.second[name]:.2f} {_signed(gains[name])}"
            if name in gains
            else ""
            for name in measures
        ]
        rows.append([line.method, *texts])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield f"  {'   '.join(cells)}".rstrip()


def _signed(points: float) -> str:
    """A difference of two accuracies; none is no number."""
    return "(=)" if points == 0 else f"({points:+.2f})".replace("-", "−")
