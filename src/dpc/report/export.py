"""The tables as files: CSV, Markdown and LaTeX (booktabs)."""

from collections.abc import Iterator, Mapping, Sequence

from dpc.evaluation.statistics import detectable
from dpc.report.ablations import rung_key, rungs
from dpc.report.csvs import csv_text, shots_cell, shots_field
from dpc.report.curves import Point, curve, losses
from dpc.report.effects import Effect, Series
from dpc.report.recipes import facts
from dpc.report.rows import Cell, Results
from dpc.report.scores import Contender
from dpc.report.tables import AVERAGE, TRANSDUCTIVE, Line, Table
from dpc.report.words import DASH


def table_csv(series: Series) -> str:
    """The main table, one line a data set and method (and shots), all three rules for ω_b."""
    results = next(iter(series.values()))
    metrics = results.protocol.metrics
    fields = ["dataset", "method", *shots_field(series), "transductive", "selection", "omega_b"]
    fields += ["seeds", *_accuracy_fields(metrics)]
    fields += ["h_mean"] * ("h" in metrics) + ["images_seen", "images_per_step", "steps", "learned"]
    lines = [fields]
    for name in (*results.datasets, AVERAGE):
        for contender in results.contenders:
            for shots, each in of_shots(series, contender):
                line = _table_line(each, contender, name)
                if line is not None:
                    lines.append([name, contender.key, *shots, *line])
    return csv_text(lines)


def _table_line(results: Results, contender: Contender, name: str) -> list[str] | None:
    average = name == AVERAGE
    cell = results.average(contender) if average else results.cell(name, contender)
    if cell is None:
        return None
    sets = results.pooled if average else (name,)
    seeds = " ".join(str(seed) for seed in cell.seeds if seed is not None)
    line = [str(contender.transductive).lower(), contender.selection]
    line += [results.weights(contender, sets), seeds, *_accuracies(cell, results.protocol.metrics)]
    line += [_number(cell.h_mean)] * ("h" in results.protocol.metrics)
    cost = facts(results, contender, sets)
    numbers = (cost.images_seen, cost.images_per_step, cost.steps, cost.learned)
    return line + [_number(value) for value in numbers]


def of_shots(series: Series, contender: Contender) -> Iterator[tuple[list[str], Results]]:
    """The results of a contender by shots, if they go by shots; zero-shot CLIP has no shots."""
    for number, (shots, results) in enumerate(series.items()):
        if shots is None or contender.kind != "zero_shot":
            yield shots_cell(shots), results
        elif number == 0:
            yield [""], results


def curves_csv(series: Series) -> str:
    """Every point of the ω curves."""
    fields = ["curve", "split", "weight", "mean", "std", "seeds"]
    lines = [["dataset", "method", *shots_field(series), *fields]]
    first = next(iter(series.values()))
    for dataset in first.datasets:
        for contender in first.shown():
            for shots, results in of_shots(series, contender):
                runs = results.runs(dataset, contender)
                for name, split in (("omega_b", "test"), ("omega_b", "val"), ("omega_n", "test")):
                    for point in curve(runs, name, split):
                        start = [dataset, contender.key, *shots, name, split, f"{point.x:g}"]
                        lines.append([*start, *_values(point)])
    return csv_text(lines)


def losses_csv(series: Series) -> str:
    """Every point of the training curves."""
    fields = ["loss", "epoch", "mean", "std", "seeds"]
    lines = [["dataset", "method", *shots_field(series), *fields]]
    first = next(iter(series.values()))
    for dataset in first.trained:
        for contender in first.shown():
            for shots, results in of_shots(series, contender):
                for name, points in losses(results.runs(dataset, contender)).items():
                    for point in points:
                        start = [dataset, contender.key, *shots, name, f"{point.x:g}"]
                        lines.append([*start, *_values(point)])
    return csv_text(lines)


def ablations_csv(ladder: Results) -> str:
    """The ablation on every data set and on their average; the header alone where none ran."""
    metrics = ladder.protocol.metrics
    lines = [["dataset", "backbone", "rung", "method", "omega_b", "omega_n", "seeds"]]
    lines[0] += _accuracy_fields(metrics)
    lines[0] += ["images_per_step", "images_seen"]
    for name in (*ladder.datasets, AVERAGE):
        for rung in (rung for each in rungs(ladder, name) for rung in each):
            contender, cell = rung.contender, rung.cell
            if cell is None:
                continue
            start = [name, contender.backbone, rung_key(contender), contender.key, *rung.weights]
            seeds = " ".join(str(seed) for seed in cell.seeds if seed is not None)
            images = [_number(cell.images_per_step), _number(cell.images_seen)]
            lines.append([*start, seeds, *_accuracies(cell, metrics), *images])
    return csv_text(lines)


def effects_csv(
    averages: Mapping[int | None, Sequence[Effect]], cells: Mapping[int | None, Sequence[Effect]]
) -> str:
    """The tested effects by shots, over the data sets and on each alone; ``selection`` is the rule
    for the first method's ω_b, and ``p_holm`` is p adjusted over ``family`` tests."""
    by_shots = None not in averages
    fields = "dataset first selection second metric seeds sets mean std low high t p p_holm family"
    fields += " wins ties losses detectable images_low images_high p_over_sets set_wins set_ties"
    fields += " set_losses without_one_low without_one_high"
    lines = [["shots"] * by_shots + fields.split()]
    for average, tested in ((True, averages), (False, cells)):
        for shots, group in tested.items():
            for effect in group:
                name = AVERAGE if average else next(iter(effect.pairs))[0]
                lines.append([str(shots)] * by_shots + [name, *_effect_line(effect)])
    return csv_text(lines)


def _effect_line(effect: Effect) -> list[str]:
    first, second, test, sets = effect.first, effect.second, effect.seeds, effect.sets
    start = [first.key, first.selection, second.key, effect.measure.key]
    if test is None or sets is None:
        return [*start, *[""] * 22]
    numbers = (test.mean, test.std, test.low, test.high, test.t, test.p, effect.adjusted)
    beside = [detectable(test), *(effect.over_images or (None, None)), sets.p]
    return [
        *start,
        str(test.n),
        str(sets.n),
        *(_number(each, 6) for each in numbers),
        *(str(each) for each in (effect.family, test.wins, test.ties, test.losses)),
        *(_number(each, 6) for each in beside),
        *(str(each) for each in (sets.wins, sets.ties, sets.losses)),
        *(_number(each, 6) for each in effect.without_one or (None, None)),
    ]


def markdown(table: Table) -> str:
    """The main table for a README."""
    first = ["data set"] if table.named else []
    count = len(table.headings)
    heads = list(table.headings)
    if table.named:  # headings are words, not names of data sets
        heads = [_small(heading) for heading in heads]
    lines = [
        f"| {' | '.join([*first, 'method', *heads])} |",
        f"|{'---|' * (len(first) + 1)}{'---:|' * count}",
    ]
    apart = False
    for block in table.blocks:
        start = f"| {block.name} " if table.named else ""
        for transductive, group in block.groups:
            if transductive:
                apart = True
                lines.append(f"{start}| *transductive:* |{' |' * count}")
            for line in group:
                cells = [_bold(line, column, "**", "**") for column in table.columns]
                label = line.contender.label.replace("_", "\\_")
                lines.append(f"{start}| {' | '.join([label, *cells, *line.extras])} |")
    if apart:
        lines += ["", f"Transductive: {TRANSDUCTIVE}."]
    return "\n".join(lines) + "\n"


def _small(heading: str) -> str:
    """With a small first letter, H as it is."""
    small = heading[:1].lower() + heading[1:]
    return heading if len(heading) == 1 else small


def latex(table: Table) -> str:
    """The main table for a paper, without its further columns; needs the package booktabs."""
    first = ["Data set"] if table.named else []
    width = len(first) + 1 + len(table.columns)
    heads = [_escape(head) for head in (*first, "Method", *table.columns.values())]
    shape = "l" * (len(first) + 1) + "r" * len(table.columns)
    lines = [rf"\begin{{tabular}}{{{shape}}}", r"\toprule", rf"{' & '.join(heads)} \\"]
    apart = False
    for block in table.blocks:
        lines.append(r"\midrule")
        name = _escape(block.name)
        for transductive, group in block.groups:
            if transductive:
                apart = True
                lines.append(rf"\cmidrule{{{len(first) + 1}-{width}}}")
                text = rf"\multicolumn{{{width - len(first)}}}{{l}}{{\emph{{Transductive}}}} \\"
                lines.append(f"{name} & {text}" if table.named else text)
                name = ""
            for line in group:
                text = _latex_line(line, table)
                lines.append(f"{name} & {text}" if table.named else text)
                name = ""
    lines.append(r"\bottomrule")
    if apart:
        note = rf"\footnotesize Transductive: {TRANSDUCTIVE} in the same block."
        lines.append(rf"\multicolumn{{{width}}}{{p{{0.8\linewidth}}}}{{{note}}} \\")
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _latex_line(line: Line, table: Table) -> str:
    cells = [_bold(line, column, r"\textbf{", "}") for column in table.columns]
    text = " & ".join(cell.replace("±", r"$\pm$").replace("†", r"$\dagger$") for cell in cells)
    return f"{_escape(line.contender.label)} & {text.replace(DASH, '--')} \\\\"


def _bold(line: Line, column: str, before: str, after: str) -> str:
    text = line.text(column)
    if column not in line.best:
        return text
    mean, mark, spread = text.partition(" ")
    return before + mean + after + mark + spread


def _escape(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, "\\" + character)
    return text.replace("ω\\_b", r"$\omega_b$")


def _accuracy_fields(metrics: Sequence[str]) -> list[str]:
    return [name for m in metrics for name in (m, f"{m}_std", f"{m}_low", f"{m}_high")]


def _accuracies(cell: Cell, metrics: Sequence[str]) -> list[str]:
    """Mean, deviation and 95 % interval of each metric."""
    numbers = [(cell[m].mean, cell[m].std, *(cell[m].interval() or (None, None))) for m in metrics]
    return [_number(value) for each in numbers for value in each]


def _values(point: Point) -> list[str]:
    return [_number(point.mean), _number(point.std), str(point.n)]


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return ""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
