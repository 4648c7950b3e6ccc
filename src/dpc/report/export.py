"""The tables as files: CSV, Markdown and LaTeX (booktabs)."""

import csv
import io
from collections.abc import Iterable, Sequence

from dpc.report.effects import Effect
from dpc.report.rows import Results
from dpc.report.tables import AVERAGE, METRICS, Line, Point, curve, losses, main_table
from dpc.report.words import DASH


def table_csv(results: Results) -> str:
    """The main table, one line a data set and method, all three rules for ω_b."""
    fields = "dataset method selection omega_b seeds base base_std new new_std h h_std h_mean"
    lines = [[*fields.split(), "images_seen"]]
    for name in (*results.datasets, AVERAGE):
        average = name == AVERAGE
        for contender in results.contenders:
            cell = results.average(contender) if average else results.cell(name, contender)
            if cell is None:
                continue
            sets = results.datasets if average else (name,)
            seeds = " ".join(str(seed) for seed in cell.seeds if seed is not None)
            line = [
                name,
                contender.key,
                contender.selection,
                results.weights(contender, sets),
                seeds,
            ]
            for metric in METRICS:
                summary = getattr(cell, metric)
                line += [_number(summary.mean), _number(summary.std)]
            lines.append([*line, _number(cell.h_mean), _number(cell.images_seen)])
    return _csv(lines)


def curves_csv(results: Results) -> str:
    """Every point of the ω curves."""
    lines = [["dataset", "method", "curve", "split", "weight", "mean", "std", "seeds"]]
    for dataset in results.datasets:
        for contender in results.shown():
            for name, split in (("omega_b", "test"), ("omega_b", "val"), ("omega_n", "test")):
                for point in curve(results.runs(dataset, contender), name, split):
                    start = [dataset, contender.key, name, split, f"{point.x:g}"]
                    lines.append([*start, *_values(point)])
    return _csv(lines)


def losses_csv(results: Results) -> str:
    """Every point of the training curves."""
    lines = [["dataset", "method", "loss", "epoch", "mean", "std", "seeds"]]
    for dataset in results.datasets:
        for contender in results.shown():
            for name, series in losses(results.runs(dataset, contender)).items():
                for point in series:
                    lines.append([dataset, contender.key, name, f"{point.x:g}", *_values(point)])
    return _csv(lines)


def effects_csv(tested: Sequence[Effect]) -> str:
    """The tested effects; ``selection`` is the rule for the first method's ω_b."""
    fields = "first selection second metric pairs mean low high t p wins ties losses p_over_sets"
    lines = [fields.split()]
    for effect in tested:
        first, second = effect.first, effect.second
        start = [first.key, first.selection, second.key, effect.metric]
        test, sets = effect.pairs, effect.sets
        if test is None:
            lines.append([*start, "0", *[""] * 9])
            continue
        numbers = (test.mean, test.low, test.high, test.t, test.p)
        counts = [str(test.wins), str(test.ties), str(test.losses)]
        over_sets = _number(sets.p if sets is not None else None, 6)
        lines.append([*start, str(test.n), *[_number(x, 6) for x in numbers], *counts, over_sets])
    return _csv(lines)


def markdown(results: Results) -> str:
    """The main table for a README."""
    lines = [
        "| data set | method | base | new | H | mean of H | images seen |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for block in main_table(results):
        for line in block.lines:
            cells = [_bold(line, metric, "**", "**") for metric in METRICS]
            label = line.contender.label.replace("_", "\\_")
            ends = f"{line.h_mean} | {line.images}"
            lines.append(f"| {block.name} | {label} | {' | '.join(cells)} | {ends} |")
    return "\n".join(lines) + "\n"


def latex(results: Results) -> str:
    """The main table for a paper; needs the package booktabs."""
    lines = [r"\begin{tabular}{llrrr}", r"\toprule", r"Data set & Method & Base & New & H \\"]
    for block in main_table(results):
        lines.append(r"\midrule")
        for index, line in enumerate(block.lines):
            name = _escape(block.name) if index == 0 else ""
            cells = [_bold(line, metric, r"\textbf{", "}") for metric in METRICS]
            text = " & ".join(
                cell.replace("±", r"$\pm$").replace("†", r"$\dagger$") for cell in cells
            )
            lines.append(
                f"{name} & {_escape(line.contender.label)} & {text.replace(DASH, '--')} \\\\"
            )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _bold(line: Line, metric: str, before: str, after: str) -> str:
    text = line.text(metric)
    if metric not in line.best:
        return text
    mean, mark, spread = text.partition(" ")
    return before + mean + after + mark + spread


def _escape(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, "\\" + character)
    return text.replace("ω\\_b", r"$\omega_b$")


def _values(point: Point) -> list[str]:
    return [_number(point.mean), _number(point.std), str(point.n)]


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return ""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _csv(lines: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
