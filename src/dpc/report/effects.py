"""The effects that the page tests: paired differences of two contenders over seeds and sets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.evaluation.statistics import PairedTest, paired_t
from dpc.report.protocols import Measure, Question
from dpc.report.rows import Results
from dpc.report.scores import Contender, Score

ALPHA = 0.05

Pairs = Mapping[tuple[str, int | None], tuple[Score, Score]]


@dataclass(frozen=True)
class Effect:
    """First contender minus second on one measure, in percent points.

    ``pairs`` takes every seed of every set as a pair. ``sets`` takes each set's mean as one
    pair: stricter, for the seeds of a set share its test images. ``without_one`` is the range
    of the mean difference when any one set is left out. All None where nothing can be paired.

    ``possible`` counts the pairs that there were if nothing were missing. ``images`` are the
    training images that first and second were shown, means over the pairs; ``one_image`` is
    what one test image more is worth, in points; both are None where the rows do not say.
    """

    first: Contender
    second: Contender
    measure: Measure
    question: str
    pairs: PairedTest | None
    sets: PairedTest | None
    without_one: tuple[float, float] | None
    possible: int
    images: tuple[float, float] | None
    one_image: float | None

    @property
    def title(self) -> str:
        """``CoOp + DPC minus CoOp, base``."""
        second = self.second.label
        if self.second.kind == "zero_shot":
            second = "zero-shot CLIP"
        return f"{self.first.label} minus {second}, {self.measure.label}"


def effects(results: Results) -> list[Effect]:
    """The effects of every tuned backbone that its runs can tell, in the order of the page.

    Where data sets are only tested on and ω_n is 0, what DPC changes on them is left out: it is
    the backbone's own reading, and there is nothing to test.
    """
    found = [each for backbone in results.backbones for each in _of_backbone(results, backbone)]
    return [each for each in found if each.pairs is not None]


def _of_backbone(results: Results, backbone: str) -> list[Effect]:
    methods = {
        "zero": Contender("zero_shot", "zero_shot"),
        "chosen": results.contender(backbone, "dpc", "val"),
        **{kind: results.contender(backbone, kind) for kind in ("plain", "budget", "dpc")},
    }
    protocol, name = results.protocol, methods["plain"].label
    images = effect(results, methods["dpc"], methods["budget"], protocol.lead).images
    longer = f"a {budget_words(name, images)}"

    def told(question: Question) -> Effect:
        first, second = methods[question.first], methods[question.second]
        text = question.text.format(name=name, longer=longer)
        return effect(results, first, second, question.measure, text)

    found = [told(question) for question in protocol.questions]
    return [each for each in found if not (protocol.transfers and by_construction(results, each))]


def by_construction(results: Results, found: Effect) -> bool:
    """Whether DPC equals its backbone because ω_n = 0 gives it the same prompts there."""
    test, fixed = found.pairs, results.protocol.fixed
    if (found.first.kind, found.second.kind) != ("dpc", "plain") or found.measure != fixed:
        return False
    runs = [s for name in results.over(fixed.over) for s in results.runs(name, found.first)]
    return test is not None and test.ties == test.n and all(s.row.get("omega_n") == 0 for s in runs)


def budget_words(name: str, images: tuple[float, float] | None) -> str:
    """``CoOp of the same total budget (N against M images seen)``.

    Args:
        name: the backbone's.
        images: seen by DPC, and by the backbone of the same budget.
    """
    text = f"{name} of the same total budget"
    return (
        text
        if images is None
        else f"{text} ({images[1]:,.0f} against {images[0]:,.0f} images seen)"
    )


def effect(
    results: Results, first: Contender, second: Contender, measure: Measure, question: str = ""
) -> Effect:
    """Compare two contenders on the pairs that both have."""
    sets, metric = results.over(measure.over), measure.metric
    pairs = matched(results, first, second, sets)
    possible = len(sets) * len(results.seeds)
    if not pairs:
        return Effect(first, second, measure, question, None, None, None, possible, None, None)
    gaps = {key: one[metric] - two[metric] for key, (one, two) in pairs.items()}
    means = _set_means(gaps)
    return Effect(
        first,
        second,
        measure,
        question,
        paired_t(list(gaps.values())),
        paired_t(list(means.values())),
        _without_one(means),
        possible,
        _images(pairs),
        _one_image(pairs, metric),
    )


def matched(
    results: Results, first: Contender, second: Contender, sets: Sequence[str] | None = None
) -> Pairs:
    """Both scores of each (set, seed) that both ran; zero-shot pairs with every seed."""
    pairs = {}
    for dataset in results.datasets if sets is None else sets:
        others = {score.seed: score for score in results.runs(dataset, second)}
        for score in results.runs(dataset, first):
            other = others.get(score.seed, others.get(None))
            if other is not None:
                pairs[dataset, score.seed] = (score, other)
    return pairs


def _set_means(gaps: Mapping[tuple[str, int | None], float]) -> dict[str, float]:
    sets: dict[str, list[float]] = {}
    for (dataset, _), gap in gaps.items():
        sets.setdefault(dataset, []).append(gap)
    return {dataset: _mean(values) for dataset, values in sets.items()}


def _without_one(means: Mapping[str, float]) -> tuple[float, float] | None:
    if len(means) < 2:
        return None
    rest = [_mean([gap for other, gap in means.items() if other != left]) for left in means]
    return min(rest), max(rest)


def _images(pairs: Pairs) -> tuple[float, float] | None:
    first = _known([one.row.get("images_seen") for one, _ in pairs.values()])
    second = _known([two.row.get("images_seen") for _, two in pairs.values()])
    return None if first is None or second is None else (_mean(first), _mean(second))


def _one_image(pairs: Pairs, metric: str) -> float | None:
    name = "n" if metric == "accuracy" else f"n_{metric}"
    counts = _known([one.row.get(name) for one, _ in pairs.values()])
    return _mean([100.0 / count for count in counts]) if counts and all(counts) else None


def _known(values: Sequence[Any]) -> list[float] | None:
    return None if None in values else [float(value) for value in values]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
