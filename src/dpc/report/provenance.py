"""Where each number comes from: of every row the command that makes it and what it was made of."""

from collections.abc import Sequence

from dpc.report.context import Report
from dpc.report.csvs import csv_text
from dpc.report.sections import Section

COLUMNS = ("dataset", "method", "draw", "target", "command", "content", "key", "code", "device")


def section(report: Report) -> Section | None:
    """A line for each row of the results, here and as a file; None where nothing is known."""
    made = report.context.made
    if not made:
        return None
    lines: list[Sequence[str]] = [COLUMNS, *([each[name] for name in COLUMNS] for each in made)]
    by_set: dict[str, list[tuple[str, str, str, str]]] = {}
    for each in made:
        line = (each["method"], each["draw"], each["target"], each["content"][:16])
        by_set.setdefault(each["dataset"], []).append(line)
    values = {"sets": by_set, "example": made[-1]}
    return Section(
        "provenance",
        "Where each number comes from",
        "Provenance",
        "provenance.html.j2",
        values=values,
        files={"provenance.csv": csv_text(lines)},
    )
