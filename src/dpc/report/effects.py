"""The effects that the page tests: paired differences of two contenders over seeds and sets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.evaluation.statistics import PairedTest, paired_t
from dpc.report.rows import Results
from dpc.report.scores import VALIDATED, Contender, Score

ALPHA = 0.05

Pairs = Mapping[tuple[str, int | None], tuple[Score, Score]]


@dataclass(frozen=True)
class Effect:
    """First contender minus second on one accuracy, in percent points.

    ``pairs`` takes every seed of every set as a pair. ``sets`` takes each set's mean as one
    pair: stricter, for the seeds of a set share its test images. ``without_one`` is the range
    of the mean difference when any one set is left out. All None where nothing can be paired.

    ``possible`` counts the pairs that there were if nothing were missing. ``images`` are the
    training images that first and second were shown, means over the pairs; ``one_image`` is
    what one test image more is worth, in points; both are None where the rows do not say.
    """

    first: Contender
    second: Contender
    metric: str  # base | new
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
        return f"{self.first.label} minus {second}, {self.metric}"


def effects(results: Results) -> list[Effect]:
    """The effects of every tuned backbone that its runs can tell, in the order of the page."""
    found = [each for backbone in results.backbones for each in _of_backbone(results, backbone)]
    return [each for each in found if each.pairs is not None]


def _of_backbone(results: Results, backbone: str) -> list[Effect]:
    zero = Contender("zero_shot", "zero_shot")
    plain, dpc, budget = (results.contender(backbone, kind) for kind in ("plain", "dpc", "budget"))
    chosen = results.contender(backbone, "dpc", "val")
    longer = f"a {budget_words(plain.label, effect(results, dpc, budget, 'base').images)}"
    return [
        effect(results, first, second, metric, question)
        for first, second, metric, question in (
            (plain, zero, "base", "Does tuning help the classes it was tuned on?"),
            (plain, zero, "new", "What does that tuning do to the classes it had no labels of?"),
            (dpc, plain, "base", f"Does the second prompt help beyond {plain.label} alone?"),
            (chosen, plain, "base", f"And with {VALIDATED}?"),
            (dpc, plain, "new", "Do new classes stay as they were?"),
            (dpc, budget, "base", f"Is it more than {longer}?"),
            (chosen, budget, "base", f"And with {VALIDATED}?"),
            (dpc, budget, "new", "And on new classes, against that longer training?"),
        )
    ]


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
    results: Results, first: Contender, second: Contender, metric: str, question: str = ""
) -> Effect:
    """Compare two contenders on the pairs that both have."""
    pairs = matched(results, first, second)
    possible = len(results.datasets) * len(results.seeds)
    if not pairs:
        return Effect(first, second, metric, question, None, None, None, possible, None, None)
    gaps = {key: getattr(one, metric) - getattr(two, metric) for key, (one, two) in pairs.items()}
    means = _set_means(gaps)
    return Effect(
        first,
        second,
        metric,
        question,
        paired_t(list(gaps.values())),
        paired_t(list(means.values())),
        _without_one(means),
        possible,
        _images(pairs),
        _one_image(pairs, metric),
    )


def matched(results: Results, first: Contender, second: Contender) -> Pairs:
    """Both scores of each (set, seed) that both ran; zero-shot pairs with every seed."""
    pairs = {}
    for dataset in results.datasets:
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
    counts = _known([one.row.get(f"n_{metric}") for one, _ in pairs.values()])
    return _mean([100.0 / count for count in counts]) if counts and all(counts) else None


def _known(values: Sequence[Any]) -> list[float] | None:
    return None if None in values else [float(value) for value in values]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
