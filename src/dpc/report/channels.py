"""Do P and P' use the same channels? What the mix of Weighting-Decoupling is said to rest on.

A part is a backbone's prompts of one tower, or its text features; a run, one seed on a data set.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from dpc.evaluation.channels import agreement
from dpc.report.context import Report, ReportContext
from dpc.report.csvs import Field, csv_text
from dpc.report.rows import Results
from dpc.report.scores import Contender, Score

GROUPS = {
    "text_prompts": "text prompts",
    "image_prompts": "image prompts",
    "other_prompts": "other prompts",
    "text_features": "text features",
}
# Below it the sizes of P's channels tell less than a quarter of what P''s are.
KEPT = 0.5
CONFIRMED, CONTRADICTED, OPEN = "confirmed", "contradicted", "open"


@dataclass(frozen=True)
class Part:
    """What the runs of one backbone say of one group of channels.

    ``others`` holds, by data set, how P's profiles of each two seeds agree, by statistic.
    """

    contender: Contender
    group: str
    runs: Sequence[tuple[Score, Mapping[str, Any]]]
    others: Mapping[str, Sequence[Mapping[str, float]]]

    @property
    def name(self) -> str:
        """``CoOp, text prompts``."""
        return f"{self.contender.name}, {GROUPS[self.group]}"

    def mean(self, pick: Callable[[Mapping[str, Any]], float | None]) -> float | None:
        """Mean over the runs of a number that they hold, over those that hold it."""
        return _mean(value for _, run in self.runs if (value := pick(run)) is not None)

    def statistic(self, name: str, null: str = "", field: str = "value") -> float | None:
        """Mean over the runs of a statistic, or of a number of one of its nulls."""
        return self.mean(lambda run: _field(run, name, null, field))

    def count(self, holds: Callable[[Mapping[str, Any]], bool]) -> int:
        """Runs whose Pearson statistic is so."""
        return sum(holds(run["statistics"]["pearson"]) for _, run in self.runs)

    @property
    def value(self) -> float:
        """The Pearson correlation, mean over the runs."""
        return self.statistic("pearson") or 0.0

    @property
    def other(self) -> float | None:
        """The same of P and P of another seed; None: there is no second seed."""
        return _mean(found["pearson"] for pairs in self.others.values() for found in pairs)

    @property
    def start(self) -> float | None:
        """The same of P and where stage one began; None: unknown."""
        return self.mean(lambda run: run["start"]["pearson"] if run["start"] else None)

    @property
    def above(self) -> int:
        """Runs that keep more than 95 % of the steps of their length would."""
        return self.count(lambda found: found["value"] > found["step"]["high"])

    @property
    def below(self) -> int:
        """Runs that keep less than 95 % of the steps of their length would."""
        return self.count(lambda found: found["value"] < found["step"]["low"])

    @property
    def reason(self) -> tuple[str, str]:
        """What the runs say of the claim, and why."""
        half = len(self.runs) / 2
        chance = self.count(lambda found: found["value"] <= found["permuted"]["high"])
        if chance >= half:
            return CONTRADICTED, "no more alike than with channels in any order"
        if self.value < KEPT:
            return CONTRADICTED, "more alike than by chance, but mostly other channels are large"
        if self.below > half:
            return CONTRADICTED, "less alike than after a step of that length in any order"
        if self.above <= half:
            return OPEN, "alike, but no more than after a step of that length in any order"
        if self.other is None:
            return OPEN, "more alike than chance and such a step explain, with no other seed beside"
        if self.other >= self.value:
            return OPEN, "alike, but prompts tuned apart are as well"
        return CONFIRMED, "more alike than chance, such a step and another seed explain"


def parts(results: Results, context: ReportContext) -> list[Part]:
    """Every part that some run tells of, in table order."""
    found = []
    for contender in results.shown():
        scores = [s for name in results.trained for s in results.runs(name, contender)]
        for group in GROUPS:
            runs = [
                (score, groups[group])
                for score in scores
                if group in (groups := (score.row.get("channels") or {}).get("groups", {}))
            ]
            if runs:
                others = _others([score for score, _ in runs], context, group)
                found.append(Part(contender, group, runs, others))
    return found


def profiles_of(score: Score, context: ReportContext, group: str) -> np.ndarray | None:
    """P's and P''s profiles (2, L, d) in one run."""
    draw = f"shots{score.row.get('shots')}-seed{score.seed}"
    held = context.predictions.get((score.dataset, score.contender.key, draw), {})
    return held.get(f"{group}.profiles")


@dataclass(frozen=True)
class Line:
    """Accuracy along P + t·(P' − P) of one backbone: change against P in points, by t, over runs.

    ``dip`` is how far it falls below the straight line from P to P' (0: nowhere), and ``at`` where.
    """

    contender: Contender
    points: Mapping[float, float]
    runs: int
    dip: float
    at: float | None


def lines(results: Results) -> list[Line]:
    """Of every backbone whose runs were read at both ends and between or beyond them."""
    found = []
    for contender in results.shown():
        walks = [
            walk
            for dataset in results.trained
            for score in results.runs(dataset, contender)
            if (walk := _walk(score)) and {0.0, 1.0} <= walk.keys()
        ]
        if walks:
            weights = sorted(set.intersection(*(set(walk) for walk in walks)))
            points = {w: float(np.mean([walk[w] - walk[0.0] for walk in walks])) for w in weights}
            depths = {w: w * points[1.0] - points[w] for w in weights if 0 < w < 1}
            at = max(depths, key=lambda w: depths[w], default=None)
            dip = max(depths[at], 0.0) if at is not None else 0.0
            found.append(Line(contender, points, len(walks), dip, at if dip > 0 else None))
    return found


def invariance_csv(report: Report) -> str:
    """Every statistic of every run, then the mean over seed pairs of what other seeds share.

    ``layer`` is a number in lines of one layer, which have no nulls.
    """
    fields = "dataset method shots seed part layers channels step_length layer statistic value"
    fields += " permuted_mean permuted_95 permuted_p step_mean step_5 step_95 step_p start"
    table: list[Sequence[Field]] = [[*fields.split(), "other_seeds"]]
    for results in report.series.values():
        for part in parts(results, report.context):
            for score, run in part.runs:
                key = [score.dataset, part.contender.key, str(score.row.get("shots") or "")]
                key += [str(score.seed), part.group]
                size: list[Field] = [run["layers"], run["width"], run["step"]]
                pairs = part.others.get(score.dataset, ())
                for name, found in run["statistics"].items():
                    permuted, step = found["permuted"], found["step"]
                    start = (run["start"] or {}).get(name)
                    nulls = [permuted["mean"], permuted["high"], permuted["p"]]
                    nulls += [step["mean"], step["low"], step["high"], step["p"], start]
                    other = _mean(pair[name] for pair in pairs)
                    table.append([*key, *size, "", name, found["value"], *nulls, other])
                for layer, value in enumerate(run["by_layer"]):
                    table.append([*key, *size, str(layer), "pearson", value, *[None] * 9])
    return csv_text(table)


def _others(
    scores: Sequence[Score], context: ReportContext, group: str
) -> dict[str, list[dict[str, float]]]:
    """By data set, how P's profiles agree between each two of its runs."""
    held: dict[str, list[np.ndarray]] = {}
    for score in scores:
        profiles = profiles_of(score, context, group)
        if profiles is not None:
            held.setdefault(score.dataset, []).append(profiles[0])
    return {
        dataset: [agreement(one, other) for one, other in combinations(found, 2)]
        for dataset, found in held.items()
    }


def _walk(score: Score) -> dict[float, float]:
    """t -> test accuracy of one run, as far as it was read."""
    along = (score.row.get("curves") or {}).get("omega_b") or ()
    beyond = (score.row.get("channels") or {}).get("beyond") or ()
    return {float(each["weight"]): float(each["test"]) for each in (*along, *beyond)}


def _field(run: Mapping[str, Any], name: str, null: str, field: str) -> float | None:
    found = run["statistics"].get(name)
    if found is None:
        return None
    return float((found[null] if null else found)[field])


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return math.fsum(known) / len(known) if known else None
