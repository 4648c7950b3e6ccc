"""The tables as files: CSV, Markdown and LaTeX (booktabs)."""

import csv
import io
from collections.abc import Iterable, Sequence

from dpc.report.ablations import rung_key, rungs
from dpc.report.curves import Point, curve, losses
from dpc.report.effects import Effect
from dpc.report.recipes import facts
from dpc.report.rows import Cell, Results
from dpc.report.tables import AVERAGE, METRICS, TRANSDUCTIVE, Line, main_table
from dpc.report.words import DASH


def table_csv(results: Results) -> str:
    """The main table, one line a data set and method, all three rules for ω_b."""
    fields = "dataset method transductive selection omega_b seeds"
    fields += " base base_std new new_std h h_std h_mean"
    fields += " images_seen images_per_step steps learned"
    lines = [fields.split()]
    for name in (*results.datasets, AVERAGE):
        average = name == AVERAGE
        for contender in results.contenders:
            cell = results.average(contender) if average else results.cell(name, contender)
            if cell is None:
                continue
            sets = results.datasets if average else (name,)
            seeds = " ".join(str(seed) for seed in cell.seeds if seed is not None)
            line = [name, contender.key, str(contender.transductive).lower(), contender.selection]
            line += [results.weights(contender, sets), seeds, *_accuracies(cell)]
            cost = facts(results, contender, sets)
            numbers = (cost.images_seen, cost.images_per_step, cost.steps, cost.learned)
            lines.append([*line, _number(cell.h_mean), *[_number(value) for value in numbers]])
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


def ablations_csv(ladder: Results) -> str:
    """The ablation on every data set and on their average; the header alone where none ran."""
    fields = "dataset backbone rung method omega_b omega_n seeds"
    fields += " base base_std new new_std h h_std images_per_step images_seen"
    lines = [fields.split()]
    for name in (*ladder.datasets, AVERAGE):
        for rung in (rung for each in rungs(ladder, name) for rung in each):
            contender, cell = rung.contender, rung.cell
            if cell is None:
                continue
            start = [name, contender.backbone, rung_key(contender), contender.key, *rung.weights]
            seeds = " ".join(str(seed) for seed in cell.seeds if seed is not None)
            images = [_number(cell.images_per_step), _number(cell.images_seen)]
            lines.append([*start, seeds, *_accuracies(cell), *images])
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
        for transductive, group in block.groups:
            if transductive:
                lines.append(f"| {block.name} | *transductive:* | | | | | |")
            for line in group:
                cells = [_bold(line, metric, "**", "**") for metric in METRICS]
                label = line.contender.label.replace("_", "\\_")
                ends = f"{line.h_mean} | {line.images}"
                lines.append(f"| {block.name} | {label} | {' | '.join(cells)} | {ends} |")
    if results.transductive:
        lines += ["", f"Transductive: {TRANSDUCTIVE}."]
    return "\n".join(lines) + "\n"


def latex(results: Results) -> str:
    """The main table for a paper; needs the package booktabs."""
    lines = [r"\begin{tabular}{llrrr}", r"\toprule", r"Data set & Method & Base & New & H \\"]
    for block in main_table(results):
        lines.append(r"\midrule")
        name = _escape(block.name)
        for transductive, group in block.groups:
            if transductive:
                lines.append(r"\cmidrule{2-5}")
                lines.append(rf"{name} & \multicolumn{{4}}{{l}}{{\emph{{Transductive}}}} \\")
                name = ""
            for line in group:
                lines.append(f"{name} & {_latex_line(line)}")
                name = ""
    lines.append(r"\bottomrule")
    if results.transductive:
        note = rf"\footnotesize Transductive: {TRANSDUCTIVE} in the same block."
        lines.append(rf"\multicolumn{{5}}{{p{{0.8\linewidth}}}}{{{note}}} \\")
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _latex_line(line: Line) -> str:
    cells = [_bold(line, metric, r"\textbf{", "}") for metric in METRICS]
    text = " & ".join(cell.replace("±", r"$\pm$").replace("†", r"$\dagger$") for cell in cells)
    return f"{_escape(line.contender.label)} & {text.replace(DASH, '--')} \\\\"


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


def _accuracies(cell: Cell) -> list[str]:
    """Mean and deviation of base, new and H."""
    summaries = [getattr(cell, metric) for metric in METRICS]
    return [_number(value) for each in summaries for value in (each.mean, each.std)]


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
