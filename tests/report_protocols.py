"""Made-up rows of the protocols beside base-to-new, out of those of base-to-new."""

import csv
import functools
import io
import random
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from report_rows import make_nine

from dpc.evaluation.statistics import harmonic_mean
from dpc.report.context import ReportContext
from dpc.report.page import build
from dpc.report.protocols import PROTOCOLS

SHOTS = (1, 2, 4, 8, 16)
SOURCE, TARGETS = "imagenet", ("caltech101", "dtd", "eurosat")
HALVES = ("base", "new", "n_base", "n_new", "classes_base", "classes_new")
OFFSETS = (-2.0, -1.0, 0.0, 1.0, 2.0)

Rows = list[dict[str, Any]]
SETS = ("icons-tabler", "icons-remix")
ALL = (SOURCE, *TARGETS)
FEW = ("zero_shot", "coop", "maple")  # of the backbones, so that pages are drawn in a second or two


def context(protocol: str) -> ReportContext:
    """Names the data sets in order, and little else."""
    sets = ALL if PROTOCOLS[protocol].transfers else SETS
    params = {"protocol": protocol, "run": {"datasets": list(sets[:1])}}
    return ReportContext(params, "icons", datasets=[{"name": name} for name in sets])


@functools.cache
def files(protocol: str) -> dict[str, bytes]:
    """The report of a protocol's rows."""
    return build(ROWS[protocol](), context(protocol))


@functools.cache
def undrawn_files(protocol: str) -> dict[str, bytes]:
    """The same with empty figures, in a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)
        return build(ROWS[protocol](), context(protocol))


def page(files: dict[str, bytes]) -> str:
    """Its text without tags, styles and drawings."""
    text = re.sub(r"(?s)<(style|script|svg)\b.*?</\1>", " ", files["index.html"].decode())
    return " ".join(re.sub(r"<[^>]*>", "", text).replace("\u00a0", " ").split())


def table(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    """A CSV file's lines."""
    return list(csv.DictReader(io.StringIO(files[name].decode())))


class _Columns(HTMLParser):
    """By the label of each table's frame, how many columns each of its rows fills."""

    def __init__(self) -> None:
        super().__init__()
        self.widths: dict[str, set[int]] = {}
        self.label, self.row, self.below = "", 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "scroll" in str(given.get("class")).split():
            self.label = str(given["aria-label"])
        elif tag == "tr":
            self.row, self.below = self.below, 0
        elif tag in ("th", "td"):
            width = int(given.get("colspan") or 1)
            self.row += width
            self.below += width if given.get("rowspan") == "2" else 0

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.widths.setdefault(self.label, set()).add(self.row)


def columns(files: dict[str, bytes]) -> dict[str, set[int]]:
    """Widths of the rows of each table on the page, spans counted."""
    parser = _Columns()
    parser.feed(files["index.html"].decode())
    return parser.widths


def values(rows: Rows, metric: str, **fields: Any) -> list[float]:
    """A metric of the rows that have these fields."""
    return [row[metric] for row in rows if all(row[name] == v for name, v in fields.items())]


def generalized(datasets: tuple[str, ...], seeds: tuple[int, ...] = (1, 2)) -> Rows:
    """Base and new names compete: everything is lower, and an offset trades one for the other."""
    rows = []
    for row in _of_few(datasets, seeds):
        draw = random.Random(f"{row['dataset']}-{row['method']}-{row['seed']}")
        base, new = row["base"] - 4, row["new"] - 9 - draw.random()
        if row["dpc"]:
            new -= 0.5
        points = [
            {"offset": o, "base": base - 2 * o - 0.3 * o * o, "new": new + 3 * o - 0.5 * o * o}
            for o in OFFSETS
        ]
        for point in points:
            point["overall"] = (400 * point["base"] + 410 * point["new"]) / 810
        own = {"protocol": "generalized", "source": row["dataset"], "offsets": points}
        own |= {"shots": None if row["seed"] is None else 16}
        zero = next(point for point in points if point["offset"] == 0)
        found = row | own | {name: zero[name] for name in ("base", "new", "overall")}
        if row["selected"] is not None:
            found["selected"] = {
                rule: _jointly(found, choice, choice["base"] - row["base"])
                for rule, choice in row["selected"].items()
            }
        rows.append(found)
    return rows


def _jointly(row: dict[str, Any], choice: dict[str, Any], moved: float) -> dict[str, Any]:
    """All accuracies at another weight: what base classes win, new ones pay with half of it."""
    base, new = row["base"] + moved, row["new"] - moved / 2
    overall = (400 * base + 410 * new) / 810
    return {"weight": choice["weight"], "base": base, "new": new, "overall": overall}


def few_shot(
    datasets: tuple[str, ...],
    seeds: tuple[int, ...] = (1, 2),
    shots: tuple[int, ...] = SHOTS,
    gain: float = 0.0,
) -> Rows:
    """All classes, more of them right with more shots; DPC has ``gain`` more a doubling."""
    rows = []
    for row in _of_few(datasets, seeds):
        whole = harmonic_mean(row["base"], row["new"])
        if row["seed"] is None:
            rows.append(_whole(row, "few-shot", whole, row["dataset"]) | {"shots": None})
            continue
        for step, count in enumerate(shots):
            own = whole - 6 + 2.5 * step + (gain * step if row["dpc"] else 0)
            found = _whole(row, "few-shot", own, row["dataset"]) | {"shots": count}
            seen = row["images_seen"] * count // 16
            rows.append(found | {"images_seen": seen, "curves": _shift(row, own, ())})
    return rows


def transfer(
    seeds: tuple[int, ...] = (1, 2), protocol: str = "cross-dataset", omega_n: float = 0.0
) -> Rows:
    """One source and three targets, which the backbone reads alone if ``omega_n`` is 0."""
    names = dict(
        zip(
            (SOURCE, *TARGETS),
            ("icons-tabler", "icons-remix", "icons-phosphor", "icons-bootstrap"),
            strict=True,
        )
    )
    given: dict[str, Rows] = {}
    for row in _of_few(tuple(names.values()), seeds):
        given.setdefault(row["dataset"], []).append(row)
    rows = []
    for name, stand_in in names.items():
        for row in given[stand_in]:
            own = row["base"] if name == SOURCE else row["new"] - (2 * omega_n if row["dpc"] else 0)
            found = _whole(row, protocol, own, SOURCE)
            if row["dpc"]:
                found["omega_n"] = omega_n
                found["curves"] = _shift(row, own, ("omega_n",) if name != SOURCE else ())
                if name != SOURCE:
                    found["selected"] = None
            shots = None if row["seed"] is None else 16
            rows.append(found | {"dataset": name, "shots": shots})
    return rows


def _whole(row: dict[str, Any], protocol: str, accuracy: float, source: str) -> dict[str, Any]:
    """A row of one accuracy in place of base and new."""
    found = {name: value for name, value in row.items() if name not in HALVES}
    found |= {"protocol": protocol, "source": source, "accuracy": accuracy, "n": 810, "classes": 50}
    if row["selected"] is not None:
        moved = accuracy - row["base"]
        found["selected"] = {
            rule: {"weight": choice["weight"], "accuracy": choice["base"] + moved}
            for rule, choice in row["selected"].items()
        }
    return found


def _shift(row: dict[str, Any], accuracy: float, kept: tuple[str, ...]) -> dict[str, Any] | None:
    """The curve of ω_b about another accuracy, or that of ω_n where it is kept."""
    if row["curves"] is None:
        return None
    moved = accuracy - row["base"]
    along = [
        point | {split: point[split] + moved for split in ("test", "val")}
        for point in row["curves"]["omega_b"]
    ]
    new = row["curves"]["omega_n"]
    moved = accuracy - new[0]["test"]
    beside = [point | {"test": point["test"] + moved} for point in new]
    return {"omega_b": [] if kept else along, "omega_n": beside if kept else []}


def _of_few(datasets: tuple[str, ...], seeds: tuple[int, ...]) -> Rows:
    rows = make_nine(datasets, seeds)
    return [row for row in rows if row["rung"] is None and row["backbone"] in FEW]


ROWS = {
    "generalized": lambda: generalized(SETS),
    "few-shot": lambda: few_shot(SETS, gain=0.3),
    "cross-dataset": transfer,
    "domain-generalization": lambda: transfer(protocol="domain-generalization", omega_n=0.1),
}
