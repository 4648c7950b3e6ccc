"""A table of images: a CSV file with a header and the columns image, label and, perhaps, split."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dpc.datasets import split_file
from dpc.datasets.base import SPLITS
from dpc.datasets.folders import Labelled
from dpc.errors import DpcError

DELIMITERS = (",", ";", "\t")


def read(path: Path) -> list[Labelled]:
    """The rows of a table, in its order; other columns are not looked at.

    UTF-8, with or without a byte order mark; commas, semicolons or tabs, as in the header; lines
    end as on Unix or Windows. ``split`` is train, val or test in every row, or no column.

    Raises:
        DpcError: no such file, or the first line that is not as it should be, by its number.
    """
    rows = list(_rows(path))
    if not rows:
        raise DpcError(f"table {path} is empty; a header with image and label is expected")
    columns = [cell.strip().lower() for cell in rows[0][1]]
    for name in ("image", "label"):
        if name not in columns:
            raise DpcError(
                f"table {path}: no column {name!r} in line 1 ({', '.join(columns)}); "
                "image, label and, perhaps, split are expected"
            )
    for name in ("image", "label", "split"):
        if columns.count(name) > 1:
            raise DpcError(f"table {path}: two columns are called {name!r}; one is expected")
    seen: dict[str, tuple[int, str]] = {}
    found = []
    for line, cells in rows[1:]:
        place = f"table {path}, line {line}"
        if len(cells) != len(columns):
            raise DpcError(f"{place}: {len(cells)} cells; {len(columns)} are expected")
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        labelled = _labelled(row, place)
        earlier, key = seen.setdefault(labelled.image, (line, labelled.key))
        if earlier != line:
            labels = "" if key == labelled.key else f", as {key!r} and {labelled.key!r}"
            raise DpcError(
                f"{place}: {labelled.image} stands in line {earlier} already{labels}; "
                "an image has one line"
            )
        found.append(labelled)
    if not found:
        raise DpcError(f"table {path} has a header and no image")
    return found


def _labelled(row: dict[str, str], place: str) -> Labelled:
    for name in ("image", "label"):
        if not row[name]:
            raise DpcError(f"{place}: {name} is empty")
    split = row.get("split")
    if split is not None and split.lower() not in SPLITS:
        raise DpcError(f"{place}: split is {split!r}; train, val or test is expected")
    if split_file.leaves(row["image"]):
        raise DpcError(f"{place}: {row['image']!r} leaves the folder of the images")
    image = str(PurePosixPath(row["image"]))  # ./a.png is a.png
    return Labelled(image, row["label"], split.lower() if split is not None else None)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DpcError(f"table {path} is missing; put it there") from None
    except IsADirectoryError:
        raise DpcError(f"{path} is a folder; a CSV file is expected") from None
    except UnicodeDecodeError as problem:
        raise DpcError(f"table {path} is no UTF-8: {problem.reason}; save it as UTF-8") from None
    header = text.lstrip().splitlines()[:1]
    delimiter = max(DELIMITERS, key="".join(header).count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as problem:
        raise DpcError(f"table {path}, line {reader.line_num}: {problem}") from None
