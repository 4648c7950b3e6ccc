"""The effects that the page tests: paired differences of two methods over seeds and data sets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dpc.evaluation.statistics import PairedTest, paired_t
from dpc.report.rows import Method, Results, backbone_label

ALPHA = 0.05

Differences = Mapping[tuple[str, int | None], float]


@dataclass(frozen=True)
class Effect:
    """First method minus second on one accuracy, in percent points.

    ``pairs`` takes every seed of every set as a pair. ``sets`` takes each set's mean as one
    pair: stricter, for the seeds of a set share its test images. ``without_one`` is the range
    of the mean difference when any one set is left out. All None where nothing can be paired.
    """

    first: Method
    second: Method
    metric: str  # base | new
    question: str
    pairs: PairedTest | None
    sets: PairedTest | None
    without_one: tuple[float, float] | None

    @property
    def title(self) -> str:
        """``CoOp + DPC minus CoOp, base``."""
        second = self.second.label
        if self.second.kind == "zero_shot":
            second = "zero-shot CLIP"
        return f"{self.first.label} minus {second}, {self.metric}"


def effects(results: Results) -> list[Effect]:
    """The tested effects of every tuned backbone, in the order of the page."""
    tested = []
    for backbone in results.backbones:
        zero, plain = Method("zero_shot", "zero_shot"), Method(backbone, "plain")
        dpc, budget = Method(backbone, "dpc"), Method(backbone, "budget")
        name = backbone_label(backbone)
        for first, second, metric, question in (
            (plain, zero, "base", "Does tuning help the classes it was tuned on?"),
            (plain, zero, "new", "What does that tuning cost the classes it never saw?"),
            (dpc, plain, "base", f"Does the second prompt help beyond the {name} it starts from?"),
            (dpc, plain, "new", "Do new classes stay as they were?"),
            (dpc, budget, "base", f"Is it more than {name} trained on as many images?"),
            (dpc, budget, "new", "And on new classes, against that longer training?"),
        ):
            tested.append(effect(results, first, second, metric, question))
    return tested


def effect(
    results: Results, first: Method, second: Method, metric: str, question: str = ""
) -> Effect:
    """Compare two methods on the pairs that both have."""
    gaps = differences(results, first, second, metric)
    if not gaps:
        return Effect(first, second, metric, question, None, None, None)
    means = _set_means(gaps)
    return Effect(
        first,
        second,
        metric,
        question,
        paired_t(list(gaps.values())),
        paired_t(list(means.values())),
        _without_one(means),
    )


def differences(
    results: Results, first: Method, second: Method, metric: str
) -> dict[tuple[str, int | None], float]:
    """First minus second for each (set, seed) that both ran; zero-shot pairs with every seed."""
    gaps: dict[tuple[str, int | None], float] = {}
    for dataset in results.datasets:
        others = {score.seed: score for score in results.runs(dataset, second)}
        for score in results.runs(dataset, first):
            other = others.get(score.seed, others.get(None))
            if other is not None:
                gaps[dataset, score.seed] = getattr(score, metric) - getattr(other, metric)
    return gaps


def _set_means(gaps: Differences) -> dict[str, float]:
    sets: dict[str, list[float]] = {}
    for (dataset, _), gap in gaps.items():
        sets.setdefault(dataset, []).append(gap)
    return {dataset: math.fsum(values) / len(values) for dataset, values in sets.items()}


def _without_one(means: Mapping[str, float]) -> tuple[float, float] | None:
    if len(means) < 2:
        return None
    rest = [
        math.fsum(gap for other, gap in means.items() if other != dataset) / (len(means) - 1)
        for dataset in means
    ]
    return min(rest), max(rest)
