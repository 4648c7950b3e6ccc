"""Tables whose columns are not metrics: accuracy by shots, and from a source to its targets."""

from collections.abc import Mapping

from dpc.evaluation.statistics import Summary
from dpc.report.context import shots_name, shots_text
from dpc.report.protocols import capital
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.tables import AVERAGE, Line, Table, block, in_block, weight_note

ZERO = "0"  # the column of zero-shot CLIP, which has no shots


def shots_table(series: Mapping[int | None, Results]) -> Table:
    """Accuracy by shots: the average over the data sets, then each of them.

    Zero-shot CLIP stands at 0 shots, everything else at its own.
    """
    first = next(iter(series.values()))
    zero = any(contender.kind == "zero_shot" for contender in first.contenders)
    known = [shots for shots in series if shots is not None]
    columns = {shots_text(shots): capital(shots_name(shots)) for shots in known}
    blocks = []
    for name in (AVERAGE, *first.datasets):
        sets = first.datasets if name == AVERAGE else (name,)
        lines = [
            _shots_line(series, contender, name, sets)
            for contender in in_block(first, name == AVERAGE)
        ]
        blocks.append(block(name, lines, list(columns)))
    heads = {ZERO: "0 shots"} if zero else {}
    return Table(heads | columns, tuple(blocks))


def _shots_line(
    series: Mapping[int | None, Results], contender: Contender, name: str, sets: tuple[str, ...]
) -> Line:
    shown: dict[str, Summary | None] = {}
    incomplete, used = set(), set()
    for shots, results in series.items():
        column = ZERO if contender.kind == "zero_shot" else shots_text(shots)
        cell = results.average(contender) if name == AVERAGE else results.cell(name, contender)
        shown[column] = cell["accuracy"] if cell is not None else None
        if any(results.incomplete(dataset, contender) for dataset in sets):
            incomplete.add(column)
        used.add(results.weights(contender, sets))
    used.discard("")
    note = weight_note(contender, used.pop() if len(used) == 1 else "")
    return Line(contender, shown, frozenset(incomplete), note)


def transfer_table(results: Results) -> Table:
    """The source, each target, then the average over the targets: methods by data sets."""
    targets = results.pooled
    sources = [name for name in results.datasets if name not in targets]
    columns = {name: f"{name} (source)" for name in sources} | {name: name for name in targets}
    columns[AVERAGE] = f"Average of {len(targets)} target{'s' if len(targets) != 1 else ''}"
    lines = []
    for contender in results.shown():
        cells = {name: results.cell(name, contender) for name in (*sources, *targets)}
        cells[AVERAGE] = results.average(contender)
        missing = {name for name in cells if results.incomplete(name, contender)}
        if any(name in missing for name in targets):
            missing.add(AVERAGE)
        shown = {name: cell["accuracy"] if cell else None for name, cell in cells.items()}
        note = weight_note(contender, results.weights(contender, sources))
        lines.append(Line(contender, shown, frozenset(missing), note))
    return Table(columns, (block("", lines, list(columns)),))
