"""CSV text, as every file of the report is written."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Field = str | float | None


def csv_text(lines: Iterable[Sequence[Field]]) -> str:
    """Lines of fields; numbers to six digits, None is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_field(value) for value in line] for line in lines)
    return buffer.getvalue()


def shots_field(series: Mapping[int | None, Any]) -> list[str]:
    """The heading of the column of shots, where a report goes by their number."""
    return [] if None in series else ["shots"]


def shots_cell(shots: int | None) -> list[str]:
    """What stands below it."""
    return [] if shots is None else [str(shots)]


def _field(value: Field) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value + 0.0:.6g}"  # -0 + 0 is 0
