"""Evaluated rows, put in order: contenders, data sets, and what one cell of the table holds.

A row is what one evaluated cell of the grid wrote (a plain dict). Here it becomes scores: one
for the weights of the run, and, for DPC, one for each other way to choose the base weight ω_b.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.errors import DpcError
from dpc.evaluation.statistics import Summary, harmonic_mean, summarize

Row = Mapping[str, Any]

KINDS = ("zero_shot", "plain", "budget", "dpc")
SELECTIONS = ("last", "val", "test_oracle")
NAMES = {"coop": "CoOp", "maple": "MaPLe", "promptsrc": "PromptSRC", "promptkd": "PromptKD"}
VALIDATED = "ω_b chosen on validation shots"
REQUIRED = ("dataset", "backbone", "dpc", "budget", "seed", "base", "new")


@dataclass(frozen=True)
class Contender:
    """What a line of a table is about: a method, and for DPC the way ω_b was chosen.

    The key names the method alone, as folders and rows do; the label names both.
    """

    backbone: str
    kind: str  # one of KINDS
    selection: str = "last"  # one of SELECTIONS; "last" means the weights of the run

    @property
    def key(self) -> str:
        """Short name: ``coop``, ``coop+dpc``, ``coop+budget`` or ``zero_shot``."""
        return self.backbone + {"dpc": "+dpc", "budget": "+budget"}.get(self.kind, "")

    @property
    def label(self) -> str:
        """Name for readers."""
        if self.kind == "zero_shot":
            return "Zero-shot CLIP"
        name = backbone_label(self.backbone)
        if self.kind == "budget":
            return f"{name} (same budget)"
        if self.kind == "plain":
            return name
        rule = {"val": f" ({VALIDATED})", "test_oracle": " (ω_b chosen on test)"}
        return f"{name} + DPC{rule.get(self.selection, '')}"


def backbone_label(backbone: str) -> str:
    """A backbone's name as papers write it."""
    return NAMES.get(backbone, backbone)


@dataclass(frozen=True)
class Score:
    """Accuracies of one run, in percent."""

    dataset: str
    contender: Contender
    seed: int | None
    base: float
    new: float
    omega_b: float | None
    row: Row

    @property
    def h(self) -> float:
        """Harmonic mean of base and new."""
        return harmonic_mean(self.base, self.new)

    @property
    def applied(self) -> float | None:
        """The base weight at test time: 1 where base classes are read with P' alone."""
        alone = self.row.get("inference") == "parallel" and self.contender.selection == "last"
        return 1.0 if alone else self.omega_b

    @property
    def inference(self) -> str | None:
        """How base classes were read: a weight chosen on a curve is always one of the mix."""
        given = self.row.get("inference")
        return given if given is None or self.contender.selection == "last" else "mixed"


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
    h_mean: float | None = None


@dataclass(frozen=True)
class Results:
    """All scores of a report, with the order in which everything is shown."""

    datasets: tuple[str, ...]
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    scores: Mapping[tuple[str, Contender], tuple[Score, ...]]

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
        seen = [float(s.row["images_seen"]) for s in runs if s.row.get("images_seen") is not None]
        seeds = tuple(score.seed for score in runs)
        return Cell(seeds, base, new, h, summarize(seen).mean if seen else None)

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
        seen = [cell.images_seen for cell in known if cell.images_seen is not None]
        return Cell(
            seeds,
            _with_spread(base, [pair[0] for pair in by_seed]),
            _with_spread(new, [pair[1] for pair in by_seed]),
            _with_spread(harmonic_mean(base, new), [harmonic_mean(*pair) for pair in by_seed]),
            math.fsum(seen) / len(seen) if len(seen) == len(known) else None,
            math.fsum(cell.h.mean for cell in known) / len(known),
        )

    def _seed_average(self, contender: Contender, seed: int | None) -> tuple[float, float]:
        runs = [s for d in self.datasets for s in self.runs(d, contender) if s.seed == seed]
        count = len(self.datasets)
        return (
            math.fsum(score.base for score in runs) / count,
            math.fsum(score.new for score in runs) / count,
        )


def collect(rows: Iterable[Row], datasets: Sequence[str] = ()) -> Results:
    """Order rows for a report; the result does not depend on the order of the rows.

    Args:
        rows: evaluated rows.
        datasets: data sets in the order to show; sets that only rows name follow by name.

    Raises:
        DpcError: a row lacks a field, an accuracy is not a percentage, or a run comes twice.
    """
    scores: dict[tuple[str, Contender], dict[int | None, Score]] = {}
    for row in rows:
        for score in _scores(row):
            runs = scores.setdefault((score.dataset, score.contender), {})
            if score.seed in runs:
                raise DpcError(
                    f"{score.contender.key} on {score.dataset}, seed {score.seed}, comes twice in "
                    "the evaluated rows; keep one of them"
                )
            runs[score.seed] = score
    named = {dataset for dataset, _ in scores}
    order = tuple(dict.fromkeys([*datasets, *sorted(named.difference(datasets))]))
    contenders = sorted({contender for _, contender in scores}, key=_rank)
    seeds = {seed for runs in scores.values() for seed in runs if seed is not None}
    ordered = {key: tuple(sorted(runs.values(), key=_by_seed)) for key, runs in scores.items()}
    return Results(order, tuple(contenders), tuple(sorted(seeds)), ordered)


def _scores(row: Row) -> list[Score]:
    """The score of a row and, for DPC, those of the other choices of ω_b."""
    missing = [name for name in REQUIRED if name not in row]
    if missing:
        raise DpcError(f"an evaluated row lacks {', '.join(missing)}; it holds {sorted(row)}")
    dataset, seed, new = str(row["dataset"]), row["seed"], _percent(row, "new", row["new"])
    contender = Contender(str(row["backbone"]), _kind(row))
    base = _percent(row, "base", row["base"])
    result = [Score(dataset, contender, seed, base, new, row.get("omega_b"), row)]
    selected = row.get("selected") or {}
    for selection in SELECTIONS[1:]:
        choice = selected.get(selection)
        if contender.kind == "dpc" and choice is not None:
            other = Contender(contender.backbone, "dpc", selection)
            base = _percent(row, f"selected.{selection}.base", choice["base"])
            result.append(Score(dataset, other, seed, base, new, choice["weight"], row))
    return result


def _kind(row: Row) -> str:
    if row["backbone"] == "zero_shot":
        return "zero_shot"
    if row["dpc"]:
        return "dpc"
    return "budget" if row["budget"] else "plain"


def _percent(row: Row, name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 100:  # false for a value that is not a number as well
        raise DpcError(
            f"{name} of {row['backbone']} on {row['dataset']}, seed {row['seed']}, is {value}; "
            "accuracies are percent, 0 to 100: evaluate that cell again"
        )
    return number


def _rank(contender: Contender) -> tuple[bool, str, int, int]:
    kind, selection = KINDS.index(contender.kind), SELECTIONS.index(contender.selection)
    return contender.kind != "zero_shot", contender.backbone, kind, selection


def _by_seed(score: Score) -> int:
    return -1 if score.seed is None else score.seed


def _with_spread(mean: float, values: Sequence[float]) -> Summary:
    return Summary(mean, summarize(values).std if values else None, len(values))
