"""Evaluated rows, put in order: contenders, data sets, and what one cell of the table holds.

Each row becomes scores: one for the weights of the run, and, for DPC, one for each other way to
choose the base weight ω_b. Rungs of an ablation are rows too, for a table of their own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dpc.errors import DpcError
from dpc.evaluation.statistics import Summary, harmonic_mean, summarize
from dpc.report.scores import KINDS, SELECTIONS, Contender, Row, Score, scores_of


@dataclass(frozen=True)
class Cell:
    """One contender on one data set, or on the average of all: mean and deviation over seeds.

    ``h.mean`` is the H of the mean base and mean new, as papers print it; ``h.std`` is the
    deviation of the seeds' own H. ``h_mean`` is set on averages only: the mean of the sets' H.
    """

    seeds: tuple[int | None, ...]
    base: Summary
    new: Summary
    h: Summary
    images_seen: float | None
    images_per_step: float | None
    h_mean: float | None = None


@dataclass(frozen=True)
class Results:
    """All scores of a report, with the order in which everything is shown."""

    datasets: tuple[str, ...]
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    scores: Mapping[tuple[str, Contender], tuple[Score, ...]]
    names: Mapping[str, str] = field(default_factory=dict)  # backbone -> name for readers
    transductive: frozenset[str] = frozenset()  # backbones that saw the new classes' images

    def contender(self, backbone: str, kind: str, selection: str = "last") -> Contender:
        """A contender that carries what the rows say of its backbone, whether it ran or not."""
        name = self.names.get(backbone, backbone)
        return Contender(backbone, kind, selection, name, backbone in self.transductive)

    @property
    def backbones(self) -> tuple[str, ...]:
        """Tuned backbones, in table order."""
        return tuple(dict.fromkeys(m.backbone for m in self.contenders if m.kind != "zero_shot"))

    def runs(self, dataset: str, contender: Contender) -> tuple[Score, ...]:
        """Scores of one cell by seed; empty where nothing ran."""
        return self.scores.get((dataset, contender), ())

    def shown(self, selection: str = "last") -> tuple[Contender, ...]:
        """Contenders whose ω_b was chosen in this way."""
        return tuple(contender for contender in self.contenders if contender.selection == selection)

    def incomplete(self, dataset: str, contender: Contender) -> bool:
        """Whether a cell has runs, but fewer seeds than the report has."""
        seeds = {score.seed for score in self.runs(dataset, contender)}
        return bool(seeds) and None not in seeds and seeds != set(self.seeds)

    def weights(self, contender: Contender, datasets: Iterable[str] | None = None) -> str:
        """The base weights of the runs on these sets, or on all: ``0.2``, ``0.5 to 1`` or ""."""
        sets = self.datasets if datasets is None else datasets
        runs = [score for dataset in sets for score in self.runs(dataset, contender)]
        used = sorted({score.applied for score in runs if score.applied is not None})
        if len(used) > 1:
            return f"{used[0]:g} to {used[-1]:g}"
        return f"{used[0]:g}" if used else ""

    def cell(self, dataset: str, contender: Contender) -> Cell | None:
        """Mean and deviation over the seeds of one cell; None where nothing ran."""
        runs = self.runs(dataset, contender)
        if not runs:
            return None
        base = summarize([score.base for score in runs])
        new = summarize([score.new for score in runs])
        spread = summarize([score.h for score in runs])
        h = Summary(harmonic_mean(base.mean, new.mean), spread.std, spread.n)
        seeds = tuple(score.seed for score in runs)
        images = [mean_of(runs, name) for name in ("images_seen", "images_per_step")]
        return Cell(seeds, base, new, h, *images)

    def average(self, contender: Contender) -> Cell | None:
        """A contender averaged over the data sets; None unless it ran on every one of them.

        Base and new are means of the sets' means, H is the H of those two. The deviations are
        those of the seeds' own averages, and exist where every set has the same seeds.
        """
        cells = [self.cell(dataset, contender) for dataset in self.datasets]
        known = [cell for cell in cells if cell is not None]
        if not known or len(known) < len(cells):
            return None
        seeds = known[0].seeds if len({cell.seeds for cell in known}) == 1 else ()
        base = math.fsum(cell.base.mean for cell in known) / len(known)
        new = math.fsum(cell.new.mean for cell in known) / len(known)
        by_seed = [self._seed_average(contender, seed) for seed in seeds]
        return Cell(
            seeds,
            _with_spread(base, [pair[0] for pair in by_seed]),
            _with_spread(new, [pair[1] for pair in by_seed]),
            _with_spread(harmonic_mean(base, new), [harmonic_mean(*pair) for pair in by_seed]),
            _mean_of_all([cell.images_seen for cell in known]),
            _mean_of_all([cell.images_per_step for cell in known]),
            math.fsum(cell.h.mean for cell in known) / len(known),
        )

    def _seed_average(self, contender: Contender, seed: int | None) -> tuple[float, float]:
        runs = [s for d in self.datasets for s in self.runs(d, contender) if s.seed == seed]
        count = len(self.datasets)
        return (
            math.fsum(score.base for score in runs) / count,
            math.fsum(score.new for score in runs) / count,
        )


def collect(
    rows: Iterable[Row], datasets: Sequence[str] = (), backbones: Sequence[str] = ()
) -> Results:
    """Order rows for a report; the result does not depend on the order of the rows.

    Zero-shot CLIP comes first, then each inductive backbone, then each transductive one.

    Args:
        rows: evaluated rows; rungs of an ablation among them are left out.
        datasets: data sets in the order to show; sets that only rows name follow by name.
        backbones: backbones in the order to show; others follow by name.

    Raises:
        DpcError: a row lacks a field, an accuracy is not a percentage, or a run comes twice.
    """
    return arrange((row for row in rows if row.get("rung") is None), datasets, backbones)


def ladder(
    rows: Iterable[Row], datasets: Sequence[str] = (), backbones: Sequence[str] = ()
) -> Results:
    """The rungs of the ablated backbones, with the backbone alone below and DPC above them.

    Arguments and errors as of :func:`collect`.
    """
    rows = list(rows)
    ablated = {row["backbone"] for row in rows if row.get("rung") is not None}
    chosen = [row for row in rows if row["backbone"] in ablated and not row["budget"]]
    return arrange(chosen, datasets if ablated else (), backbones)


def arrange(rows: Iterable[Row], datasets: Sequence[str], backbones: Sequence[str]) -> Results:
    """All rows in order, rungs included; see :func:`collect`."""
    scores: dict[tuple[str, Contender], dict[int | None, Score]] = {}
    for row in rows:
        for score in scores_of(row):
            runs = scores.setdefault((score.dataset, score.contender), {})
            if score.seed in runs:
                raise DpcError(
                    f"{score.contender.key} on {score.dataset}, seed {score.seed}, comes twice in "
                    "the evaluated rows; keep one of them"
                )
            runs[score.seed] = score
    named = {dataset for dataset, _ in scores}
    order = tuple(dict.fromkeys([*datasets, *sorted(named.difference(datasets))]))
    contenders = sorted({m for _, m in scores}, key=lambda each: _rank(each, backbones))
    seeds = {seed for runs in scores.values() for seed in runs if seed is not None}
    ordered = {key: tuple(sorted(runs.values(), key=_by_seed)) for key, runs in scores.items()}
    names = {contender.backbone: contender.name for contender in contenders}
    transductive = frozenset(m.backbone for m in contenders if m.transductive)
    return Results(order, tuple(contenders), tuple(sorted(seeds)), ordered, names, transductive)


def _rank(contender: Contender, backbones: Sequence[str]) -> tuple[bool, bool, int, str, int, int]:
    name = contender.backbone
    place = backbones.index(name) if name in backbones else len(backbones)
    kind, selection = KINDS.index(contender.kind), SELECTIONS.index(contender.selection)
    return contender.kind != "zero_shot", contender.transductive, place, name, kind, selection


def _by_seed(score: Score) -> int:
    return -1 if score.seed is None else score.seed


def _with_spread(mean: float, values: Sequence[float]) -> Summary:
    return Summary(mean, summarize(values).std if values else None, len(values))


def mean_of(runs: Sequence[Score], name: str) -> float | None:
    """Mean of a number that the rows of some runs hold, over those that hold it."""
    values = [float(s.row[name]) for s in runs if s.row.get(name) is not None]
    return math.fsum(values) / len(values) if values else None


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
