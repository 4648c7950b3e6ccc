"""The averages of two sides over the cells that both have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dpc.report.context import series
from dpc.report.protocols import PROTOCOLS
from dpc.report.rows import ladder
from dpc.report.scores import Row
from dpc.stages.compare import Comparison


@dataclass(frozen=True)
class Line:
    """A method's averages on both sides, in percent, by measure (base, new, h, …).

    Attributes:
        sets: number of data sets in the average.
    """

    method: str
    sets: int
    first: Mapping[str, float]
    second: Mapping[str, float]

    def differences(self) -> dict[str, float]:
        """Second minus first, in points."""
        return {name: self.second[name] - value for name, value in self.first.items()}


def lines(found: Comparison, datasets: Sequence[str] | None = None) -> list[Line]:
    """Every method's averages over seeds and sets, as the report takes them, rungs of an ablation
    last; few-shot ones have their shots behind the method, ``coop+dpc@16``.

    Args:
        datasets: over these alone; None: over all.
    """
    cells = [cell for cell in found.common if datasets is None or cell[0] in datasets]
    if not cells or not found.comparable:
        return []
    first, second = (_averages(side.rows[cell] for cell in cells) for side in found.sides)
    return [Line(key, sets, mine, second[key][1]) for key, (sets, mine) in first.items()]


def _averages(rows: Iterable[Row]) -> dict[str, tuple[int, dict[str, float]]]:
    """By method: number of sets, and the means of all measures."""
    rows = list(rows)
    protocol = PROTOCOLS[rows[0]["protocol"]]
    averages: dict[str, tuple[int, dict[str, float]]] = {}
    everything = [*series(rows, protocol=protocol).items(), (None, ladder(rows, protocol=protocol))]
    for shots, results in everything:
        for contender in results.shown():
            means, most = {}, 0
            for measure in protocol.measures:
                sets = [d for d in results.over(measure.over) if results.runs(d, contender)]
                cell = results.average(contender, sets)
                if cell is not None:
                    means[measure.key] = cell[measure.metric].mean
                    most = max(most, len(sets))
            alone = shots is None or contender.kind == "zero_shot"
            if means:
                averages[contender.key if alone else f"{contender.key}@{shots}"] = most, means
    return averages
