"""The effects that the page tests: paired differences of two contenders over seeds and sets.

What decides is a paired t over the seeds: the difference of one seed is the mean over its data
sets, so that what a seed does to all of them at once is counted once. docs/statistics.md says
what that answers and what it does not.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dpc.evaluation.statistics import TIE, PairedTest, holm, paired_t
from dpc.report.protocols import Measure, Question
from dpc.report.rows import Results
from dpc.report.scores import Contender, Score

Series = Mapping[int | None, Results]  # by shots; by None where there is no series
Pairs = Mapping[tuple[str, int | None], tuple[Score, Score]]
Gaps = Mapping[tuple[str, int | None], float]


@dataclass(frozen=True)
class Effect:
    """First contender minus second on one measure, in percent points.

    ``seeds`` is the test that decides; ``adjusted`` is its p by Holm's rule over the ``family``
    tests that stand beside it, or its own where it stands alone. ``sets`` takes each data set's
    mean over the seeds as a pair: would it hold on another data set? ``without_one`` is the range
    of the mean difference when any one set is left out. All None where nothing can be paired.

    ``pairs`` holds both scores of each (set, seed), every seed on every set, out of ``of_sets``
    and ``of_seeds`` if nothing were missing. ``images`` are the training images that first and
    second were shown, means over the pairs; ``one_image`` is what one test image more is worth,
    in points; both are None where the rows do not say. ``over_images`` is the 95 % interval over
    the test images, see ``image_spread``; None where it was not asked or cannot be told.
    """

    first: Contender
    second: Contender
    measure: Measure
    question: str
    of_sets: int
    of_seeds: int
    pairs: Pairs
    seeds: PairedTest | None = None
    adjusted: float | None = None
    family: int = 1
    sets: PairedTest | None = None
    without_one: tuple[float, float] | None = None
    images: tuple[float, float] | None = None
    one_image: float | None = None
    over_images: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """``CoOp + DPC minus CoOp, base``."""
        second = self.second.label
        if self.second.kind == "zero_shot":
            second = "zero-shot CLIP"
        return f"{self.first.label} minus {second}, {self.measure.label}"

    @property
    def equal(self) -> bool:
        """Whether both have the same accuracy, to the digit, in every pair there is."""
        gaps = gaps_of(self.pairs, self.measure)
        return bool(gaps) and all(abs(gap) <= TIE for gap in gaps.values())


def effects(series: Series) -> dict[int | None, list[Effect]]:
    """By shots, the effects of every tuned backbone that its runs can tell, in the page's order.

    Where data sets are only tested on and ω_n is 0, what DPC changes on them is left out: it is
    the backbone's own reading, and there is nothing to test.
    """
    protocol = next(iter(series.values())).protocol
    answers = [answered(series, question) for question in protocol.questions]
    return {
        shots: [
            answer[shots, backbone]
            for backbone in results.backbones
            for answer in answers
            if _to_test(results, answer[shots, backbone])
        ]
        for shots, results in series.items()
    }


def _to_test(results: Results, found: Effect) -> bool:
    given = results.protocol.transfers and by_construction(results, found)
    return found.seeds is not None and not given


def answered(series: Series, question: Question) -> dict[tuple[int | None, str], Effect]:
    """One question asked of every backbone at every number of shots: a family of tests."""
    found = {
        (shots, backbone): _told(results, backbone, question)
        for shots, results in series.items()
        for backbone in results.backbones
    }
    return dict(zip(found, one_family(found.values()), strict=True))


def on_each_set(series: Series) -> dict[int | None, list[Effect]]:
    """By shots, what DPC adds to each backbone on each data set alone: one family of tests.

    Empty where the leading measure is over one data set: that is its average.
    """
    asked = []
    for shots, results in series.items():
        lead = results.protocol.lead
        sets = results.over(lead.over)
        for backbone in results.backbones:
            dpc, plain = (results.contender(backbone, kind) for kind in ("dpc", "plain"))
            for name in sets if len(sets) > 1 else ():
                asked.append((shots, effect(results, dpc, plain, lead, "", (name,))))
    told = [(shots, each) for shots, each in asked if each.seeds is not None]
    found: dict[int | None, list[Effect]] = {shots: [] for shots in series}
    for (shots, _), each in zip(told, one_family(each for _, each in told), strict=True):
        found[shots].append(each)
    return found


def one_family(found: Iterable[Effect]) -> list[Effect]:
    """The effects with their p values adjusted for standing side by side."""
    effects = list(found)
    values = [None if each.seeds is None else each.seeds.p for each in effects]
    count = sum(p is not None for p in values)
    pairs = zip(effects, holm(values), strict=True)
    return [replace(each, adjusted=p, family=count) for each, p in pairs]


def _told(results: Results, backbone: str, question: Question) -> Effect:
    first, second = (_method(results, backbone, name) for name in (question.first, question.second))
    text = question.text
    if "{" in text:
        dpc, budget, plain = (_method(results, backbone, n) for n in ("dpc", "budget", "plain"))
        images = effect(results, dpc, budget, results.protocol.lead).images
        text = text.format(name=plain.label, longer=f"a {budget_words(plain.label, images)}")
    return effect(results, first, second, question.measure, text)


def _method(results: Results, backbone: str, name: str) -> Contender:
    """By the name that a question has for it."""
    if name == "zero":
        return Contender("zero_shot", "zero_shot")
    if name == "chosen":
        return results.contender(backbone, "dpc", "val")
    return results.contender(backbone, name)


def by_construction(results: Results, found: Effect) -> bool:
    """Whether DPC equals its backbone because ω_n = 0 gives it the same prompts there."""
    fixed = results.protocol.fixed
    if (found.first.kind, found.second.kind) != ("dpc", "plain") or found.measure != fixed:
        return False
    runs = [s for name in results.over(fixed.over) for s in results.runs(name, found.first)]
    return found.equal and all(s.row.get("omega_n") == 0 for s in runs)


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
    results: Results,
    first: Contender,
    second: Contender,
    measure: Measure,
    question: str = "",
    sets: Sequence[str] | None = None,
) -> Effect:
    """Compare two contenders on the pairs that both have.

    Where runs are missing, on the largest block of them: data sets that the same seeds all have.

    Args:
        sets: the data sets; those of the measure where it is None.
    """
    sets = results.over(measure.over) if sets is None else sets
    pairs = _block(matched(results, first, second, sets))
    found = Effect(first, second, measure, question, len(sets), len(results.seeds), pairs)
    if not pairs:
        return found
    gaps = gaps_of(pairs, measure)
    test, means = over_seeds(gaps), _means(gaps, 0)
    return replace(
        found,
        seeds=test,
        adjusted=test.p,
        sets=paired_t(list(means.values())),
        without_one=_without_one(means),
        images=_images(pairs),
        one_image=_one_image(pairs, measure.metric),
    )


def gaps_of(pairs: Pairs, measure: Measure) -> dict[tuple[str, int | None], float]:
    """First minus second of each pair, in percent points."""
    return {key: one[measure.metric] - two[measure.metric] for key, (one, two) in pairs.items()}


def over_seeds(gaps: Gaps) -> PairedTest:
    """The test that decides: a paired t over the seeds, of their means over the data sets.

    Args:
        gaps: differences by data set and seed, of every seed on every set.
    """
    return paired_t(list(_means(gaps, 1).values()))


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


def _block(pairs: Pairs) -> Pairs:
    """The largest block of pairs, seeds by sets without a gap; of equal ones that of most seeds.

    A mean over the sets that a seed happens to have would compare seeds on different sets.
    """
    sets: dict[int | None, set[str]] = {}
    for dataset, seed in pairs:
        sets.setdefault(seed, set()).add(dataset)
    blocks = [
        (one & two, [seed for seed, own in sets.items() if own >= one & two])
        for one in sets.values()
        for two in sets.values()
    ]
    if not blocks:
        return pairs
    names, seeds = max(blocks, key=lambda b: (len(b[0]) * len(b[1]), len(b[1]), sorted(b[0])))
    return {key: both for key, both in pairs.items() if key[0] in names and key[1] in seeds}


def _means(gaps: Gaps, axis: int) -> dict[str | int | None, float]:
    """Means by data set (axis 0 of the keys), or by seed (1)."""
    groups: dict[str | int | None, list[float]] = {}
    for key, gap in gaps.items():
        groups.setdefault(key[axis], []).append(gap)
    return {name: _mean(values) for name, values in groups.items()}


def _without_one(means: Mapping[Any, float]) -> tuple[float, float] | None:
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
