"""Evaluated rows, put in order: contenders, data sets, and what one cell of the table holds.

Each row becomes scores: one for the weights of the run, and, for DPC, one for each other way to
choose the base weight ω_b. Rungs of an ablation are rows too, for a table of their own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dpc.errors import DpcError
from dpc.evaluation.statistics import Summary, harmonic_mean, summarize
from dpc.report.protocols import EVERY, SOURCE, Protocol, base_to_new
from dpc.report.scores import KINDS, PROMPTLESS, SELECTIONS, Contender, Row, Score, scores_of


@dataclass(frozen=True)
class Cell:
    """One contender on one data set, or on the average of several: mean and deviation over seeds.

    ``values`` goes by metric. The mean of ``h`` is the H of the mean base and mean new, as papers
    print it; its deviation is that of the seeds' own H. ``h_mean`` is set on averages of a
    protocol that has H: the mean of the sets' H.
    """

    seeds: tuple[int | None, ...]
    values: Mapping[str, Summary]
    images_seen: float | None
    images_per_step: float | None
    h_mean: float | None = None

    def __getitem__(self, metric: str) -> Summary:
        """``base``, ``new``, ``h``, ``overall`` or ``accuracy``, as the protocol has them."""
        return self.values[metric]

    @property
    def base(self) -> Summary:
        """Of a protocol that tests base and new classes, as `new` and `h`."""
        return self.values["base"]

    @property
    def new(self) -> Summary:
        """New classes."""
        return self.values["new"]

    @property
    def h(self) -> Summary:
        """Base and new classes."""
        return self.values["h"]


@dataclass(frozen=True)
class Results:
    """All scores of a report, with the order in which everything is shown."""

    datasets: tuple[str, ...]
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    scores: Mapping[tuple[str, Contender], tuple[Score, ...]]
    names: Mapping[str, str] = field(default_factory=dict)  # backbone -> name for readers
    transductive: frozenset[str] = frozenset()  # backbones that saw the new classes' images
    protocol: Protocol = base_to_new
    sources: tuple[str, ...] = ()  # data sets that something was tuned on

    def contender(self, backbone: str, kind: str, selection: str = "last") -> Contender:
        """A contender that carries what the rows say of its backbone, whether it ran or not."""
        name = self.names.get(backbone, backbone)
        return Contender(backbone, kind, selection, name, backbone in self.transductive)

    @property
    def backbones(self) -> tuple[str, ...]:
        """Tuned backbones, in table order."""
        tuned = (m.backbone for m in self.contenders if m.kind not in PROMPTLESS)
        return tuple(dict.fromkeys(tuned))

    @property
    def baselines(self) -> tuple[Contender, ...]:
        """Classifiers without prompts that learn from the shots, in table order."""
        return tuple(contender for contender in self.contenders if contender.kind == "baseline")

    def over(self, which: str) -> tuple[str, ...]:
        """Data sets of a measure: every one, the sources, or the targets."""
        if which == EVERY:
            return self.datasets
        return tuple(name for name in self.datasets if (name in self.sources) == (which == SOURCE))

    @property
    def pooled(self) -> tuple[str, ...]:
        """Data sets of the average: all of them, or the targets where there are any."""
        return self.over(self.protocol.rank.over)

    @property
    def trained(self) -> tuple[str, ...]:
        """Data sets that were tuned on: the source where there are targets, or all."""
        return self.over(self.protocol.lead.over)

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
        values = {m: summarize([score[m] for score in runs]) for m in self.protocol.metrics}
        if "h" in values:
            h = harmonic_mean(values["base"].mean, values["new"].mean)
            values["h"] = Summary(h, values["h"].std, values["h"].n)
        seeds = tuple(score.seed for score in runs)
        images = [mean_of(runs, name) for name in ("images_seen", "images_per_step")]
        return Cell(seeds, values, *images)

    def average(self, contender: Contender, sets: Sequence[str] | None = None) -> Cell | None:
        """A contender averaged over these data sets, or the pooled ones; None unless it ran on all.

        Metrics are means of the sets' means, H is the H of those. The deviations are those of the
        seeds' own averages, and exist where every set has the same seeds.
        """
        sets = self.pooled if sets is None else sets
        cells = [self.cell(dataset, contender) for dataset in sets]
        known = [cell for cell in cells if cell is not None]
        if not known or len(known) < len(cells):
            return None
        seeds = known[0].seeds if len({cell.seeds for cell in known}) == 1 else ()
        whole = self._means([cell.values[m].mean for cell in known] for m in self.protocol.given)
        by_seed = [self._seed_average(contender, seed, sets) for seed in seeds]
        values = {
            metric: _with_spread(mean, [each[metric] for each in by_seed])
            for metric, mean in whole.items()
        }
        has_h = "h" in values
        return Cell(
            seeds,
            values,
            _mean_of_all([cell.images_seen for cell in known]),
            _mean_of_all([cell.images_per_step for cell in known]),
            math.fsum(cell["h"].mean for cell in known) / len(known) if has_h else None,
        )

    def _seed_average(
        self, contender: Contender, seed: int | None, sets: Sequence[str]
    ) -> dict[str, float]:
        runs = [score for d in sets for score in self.runs(d, contender) if score.seed == seed]
        return self._means([score[m] for score in runs] for m in self.protocol.given)

    def _means(self, values: Iterable[Sequence[float]]) -> dict[str, float]:
        """Mean of each given metric's values, and the H of them, in table order."""
        given = zip(self.protocol.given, values, strict=True)
        means = {metric: math.fsum(each) / len(each) for metric, each in given}
        if "h" in self.protocol.metrics:
            means["h"] = harmonic_mean(means["base"], means["new"])
        return {metric: means[metric] for metric in self.protocol.metrics}


def collect(
    rows: Iterable[Row],
    datasets: Sequence[str] = (),
    backbones: Sequence[str] = (),
    protocol: Protocol = base_to_new,
) -> Results:
    """Order rows for a report; the result does not depend on the order of the rows.

    Zero-shot CLIP comes first, then the baselines, then each inductive backbone, then each
    transductive one.

    Args:
        rows: evaluated rows; rungs of an ablation among them are left out.
        datasets: data sets in the order to show; sets that only rows name follow by name.
        backbones: backbones in the order to show; others follow by name.
        protocol: of all rows.

    Raises:
        DpcError: a row lacks a field or is of another protocol, an accuracy is not a percentage,
            or a run comes twice.
    """
    return arrange((row for row in rows if row.get("rung") is None), datasets, backbones, protocol)


def ladder(
    rows: Iterable[Row],
    datasets: Sequence[str] = (),
    backbones: Sequence[str] = (),
    protocol: Protocol = base_to_new,
) -> Results:
    """The rungs of the ablated backbones, with the backbone alone below and DPC above them.

    Arguments and errors as of `collect`.
    """
    rows = list(rows)
    ablated = {row["backbone"] for row in rows if row.get("rung") is not None}
    chosen = [row for row in rows if row["backbone"] in ablated and not row["budget"]]
    return arrange(chosen, datasets if ablated else (), backbones, protocol)


def arrange(
    rows: Iterable[Row], datasets: Sequence[str], backbones: Sequence[str], protocol: Protocol
) -> Results:
    """All rows in order, rungs included; see `collect`."""
    scores: dict[tuple[str, Contender], dict[int | None, Score]] = {}
    for row in rows:
        _check_protocol(row, protocol)
        for score in scores_of(row, protocol.given, protocol.independent):
            runs = scores.setdefault((score.dataset, score.contender), {})
            if score.seed in runs:
                raise DpcError(
                    f"{score.contender.key} on {score.dataset}, seed {score.seed}, comes twice in "
                    "the evaluated rows; keep one of them"
                )
            runs[score.seed] = score
    named = {dataset for dataset, _ in scores}
    order = tuple(dict.fromkeys([*datasets, *sorted(named.difference(datasets))]))
    contenders = in_order((m for _, m in scores), backbones)
    found = [score for runs in scores.values() for score in runs.values()]
    seeds = {score.seed for score in found if score.seed is not None}
    sources = {score.source for score in found if score.contender.kind != "zero_shot"}
    return Results(
        order,
        contenders,
        tuple(sorted(seeds)),
        {key: tuple(sorted(runs.values(), key=_by_seed)) for key, runs in scores.items()},
        {contender.backbone: contender.name for contender in contenders},
        frozenset(m.backbone for m in contenders if m.transductive),
        protocol,
        tuple(sorted(sources)),
    )


def in_order(contenders: Iterable[Contender], backbones: Sequence[str]) -> tuple[Contender, ...]:
    """Each contender once, in table order; see `collect`."""
    return tuple(sorted(set(contenders), key=lambda each: _rank(each, backbones)))


def _check_protocol(row: Row, protocol: Protocol) -> None:
    own = row.get("protocol", protocol.name)
    if own != protocol.name:
        raise DpcError(
            f"a row of {row.get('backbone')} on {row.get('dataset')} is of protocol {own}, the "
            f"report of {protocol.name}; evaluate that cell again"
        )


def _rank(contender: Contender, backbones: Sequence[str]) -> tuple[int, bool, int, str, int, int]:
    name = contender.backbone
    place = backbones.index(name) if name in backbones else len(backbones)
    kind, selection = KINDS.index(contender.kind), SELECTIONS.index(contender.selection)
    first = PROMPTLESS.index(contender.kind) if contender.kind in PROMPTLESS else len(PROMPTLESS)
    return first, contender.transductive, place, name, kind, selection


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
