"""Ours against the paper: accuracies, gains of DPC, and which data set carries a gain."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dpc.evaluation.statistics import harmonic_mean
from dpc.report import paper_reasons
from dpc.report.ablations import rung_key, rungs
from dpc.report.paper_numbers import (
    AVERAGE,
    BACKBONES,
    DATASETS,
    Accuracy,
    ablation,
    base_to_new,
    published,
)
from dpc.report.rows import Cell, Results
from dpc.report.scores import Contender

KINDS = ("plain", "dpc")


@dataclass(frozen=True)
class Pair:
    """One accuracy of ours beside the paper's; ``dataset`` is ``AVERAGE`` for all 11."""

    contender: Contender
    dataset: str
    cell: Cell
    paper: Accuracy

    @property
    def ours(self) -> Accuracy:
        """Means over the seeds; h is the H of the mean base and the mean new."""
        return Accuracy(*(self.cell[metric].mean for metric in Accuracy._fields))

    @property
    def difference(self) -> Accuracy:
        """Ours minus the paper's."""
        return Accuracy(*(a - b for a, b in zip(self.ours, self.paper, strict=True)))


@dataclass(frozen=True)
class Gain:
    """What DPC adds to a backbone on base classes, data set by data set, in points."""

    backbone: str
    source: str  # "ours" | "paper"
    gaps: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Over the data sets."""
        return math.fsum(self.gaps.values()) / len(self.gaps)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Data sets above, at and below 0, to two decimals as printed."""
        printed = [round(gap, 2) for gap in self.gaps.values()]
        up, down = sum(gap > 0 for gap in printed), sum(gap < 0 for gap in printed)
        return up, len(printed) - up - down, down

    @property
    def without(self) -> dict[str, float]:
        """Data set -> the mean gain over all others; empty for a single set."""
        total, rest = math.fsum(self.gaps.values()), len(self.gaps) - 1
        return {name: (total - gap) / rest for name, gap in self.gaps.items()} if rest else {}

    @property
    def carrier(self) -> str | None:
        """The data set without which the mean moves furthest towards, or past, no gain."""
        if not self.without or self.mean == 0:
            return None
        sign = math.copysign(1.0, self.mean)
        return min(self.without, key=lambda name: sign * self.without[name])


@dataclass(frozen=True)
class Standing:
    """A backbone's averages: published by its own paper, run by the DPC paper, run here."""

    backbone: str
    published: Accuracy
    source: str
    paper: tuple[Accuracy, Accuracy]  # alone, with DPC
    ours: tuple[Accuracy, Accuracy] | None  # None unless all 11 data sets ran


@dataclass(frozen=True)
class RungPair:
    """One rung of CoOp's ablation, ours beside the paper's average."""

    name: str
    key: str
    ours: Accuracy
    paper: Accuracy


@dataclass(frozen=True)
class Comparison:
    """All that stands beside the paper; with ``reasons`` nothing does."""

    reasons: tuple[str, ...]
    left_out: Mapping[str, str]  # backbone -> why
    foreign: Mapping[str, str]  # data set under a name of the paper's -> why it is not compared
    notes: tuple[str, ...]
    datasets: tuple[str, ...]  # those of the paper that are compared, in its order
    pairs: tuple[Pair, ...]
    gains: tuple[Gain, ...]  # of each backbone ours, then the paper's on the same sets
    standings: tuple[Standing, ...]
    ablation: tuple[RungPair, ...]
    names: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether all 11 data sets are compared."""
        return len(self.datasets) == len(DATASETS)


def comparison(
    results: Results,
    params: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]] = (),
    ablated: Results | None = None,
) -> Comparison:
    """Ours beside the paper's base-to-new table, if that comparison holds.

    Args:
        results: of `dpc.report.rows.collect`.
        params: the run's parameters, as plain values.
        datasets: what the run says of its data; those not known to be published do not count.
        ablated: of `dpc.report.rows.ladder`.
    """
    why, out = paper_reasons.reasons(params), paper_reasons.left_out(params)
    backbones = [name for name in BACKBONES if name in results.backbones and name not in out]
    ran = {name for name, contender in results.scores if contender.backbone in backbones}
    other = paper_reasons.foreign(tuple(ran), datasets)
    sets = tuple(name for name in DATASETS if name in ran and name not in other)
    if not why and other and not sets:
        why = [f"{name} is left out, since {reason}" for name, reason in other.items()]
    if why:
        return Comparison(tuple(why), {}, {}, (), (), (), (), (), (), {})
    ours = replace(results, datasets=sets)
    pairs = tuple(pair for name in backbones for pair in _pairs(ours, name))
    return Comparison(
        (),
        out,
        other,
        tuple(paper_reasons.notes(params, backbones, sets)) if pairs else (),
        sets,
        pairs,
        tuple(gain for name in backbones for gain in _gains(name, pairs)),
        tuple(_standing(name, pairs) for name in backbones),
        tuple(_rungs(replace(ablated, datasets=sets))) if ablated is not None else (),
        {name: ours.names.get(name, BACKBONES[name]) for name in BACKBONES},
    )


def h_mean(pairs: tuple[Pair, ...], contender: Contender) -> tuple[float, float]:
    """The mean of the data sets' H, ours and the paper's: not the H of the averages."""
    own = [p for p in pairs if p.contender == contender and p.dataset != AVERAGE]
    ours, paper = ([getattr(pair, side).h for pair in own] for side in ("ours", "paper"))
    return math.fsum(ours) / len(own), math.fsum(paper) / len(own)


def _pairs(results: Results, backbone: str) -> Iterator[Pair]:
    """Each data set that a method ran on, then the average where it ran on all 11."""
    for contender in (results.contender(backbone, kind) for kind in KINDS):
        for dataset in (*results.datasets, AVERAGE):
            if dataset == AVERAGE:
                whole = len(results.datasets) == len(DATASETS)
                cell = results.average(contender) if whole else None
            else:
                cell = results.cell(dataset, contender)
            if cell is not None:
                yield Pair(contender, dataset, cell, base_to_new()[contender.key, dataset])


def _gains(backbone: str, pairs: tuple[Pair, ...]) -> Iterator[Gain]:
    by_kind = {
        kind: {p.dataset: p for p in pairs if p.contender == Contender(backbone, kind)}
        for kind in KINDS
    }
    plain, dpc = (by_kind[kind] for kind in KINDS)
    both = [name for name in DATASETS if name in plain and name in dpc]
    if not both:
        return
    for source in ("ours", "paper"):
        gaps = {n: getattr(dpc[n], source).base - getattr(plain[n], source).base for n in both}
        yield Gain(backbone, source, gaps)


def _standing(backbone: str, pairs: tuple[Pair, ...]) -> Standing:
    accuracy, source = published()[backbone]
    keys = (backbone, f"{backbone}+dpc")
    averages = {p.contender.key: p.ours for p in pairs if p.dataset == AVERAGE}
    paper = (base_to_new()[keys[0], AVERAGE], base_to_new()[keys[1], AVERAGE])
    ran = all(key in averages for key in keys)
    ours = (averages[keys[0]], averages[keys[1]]) if ran else None
    return Standing(backbone, accuracy, source, paper, ours)


def _rungs(ablated: Results) -> Iterator[RungPair]:
    """CoOp's rungs that ran on all 11 data sets."""
    if len(ablated.datasets) < len(DATASETS) or "coop" not in ablated.backbones:
        return
    for rung in (rung for ladder in rungs(ablated) for rung in ladder):
        if rung.contender.backbone == "coop" and rung.cell is not None:
            base, new = rung.cell["base"].mean, rung.cell["new"].mean
            ours = Accuracy(base, new, harmonic_mean(base, new))
            key = rung_key(rung.contender)
            yield RungPair(rung.name, key, ours, ablation()[key])
