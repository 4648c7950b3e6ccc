"""What the rows predict, image by image: runs of two contenders that stand beside each other."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dpc.params.protocols import BASE_TO_NEW
from dpc.report.context import Report
from dpc.report.rows import Results
from dpc.report.scores import Contender, Score

PARTS = {"base": "base classes", "new": "new classes", "test": "all classes"}


class Run(NamedTuple):
    """One run of two contenders on a part of a data set's test images.

    Attributes:
        first, second: (N,) classes that they predict.
        labels: (N,) true classes.
        pairs: (P, 3) of the first's hard negatives: class, negative class, times; or None.
    """

    seed: int | None
    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray
    pairs: np.ndarray | None


def runs(report: Report, dataset: str, first: Contender, second: Contender, part: str) -> list[Run]:
    """Runs of ``first`` by seed, each with that of ``second`` of the same seed, or its only one;
    those whose predictions are not at hand are left out."""
    found = []
    others = {score.seed: score for score in report.results.runs(dataset, second)}
    for score in report.results.runs(dataset, first):
        other = others.get(score.seed, others.get(None))
        if other is None:
            continue
        one, two = _of(report, score), _of(report, other)
        name = f"{part}.predictions"
        if name in one and name in two:
            labels = one[f"{part}.labels"]
            pairs = one.get("record/negatives")
            found.append(Run(score.seed, one[name], two[name], labels, pairs))
    return found


def parts(report: Report, dataset: str, contender: Contender) -> list[str]:
    """Parts of a data set's test that predictions are at hand of."""
    held = {
        name for score in report.results.runs(dataset, contender) for name in _of(report, score)
    }
    return [part for part in PARTS if f"{part}.predictions" in held]


def all_names(report: Report, dataset: str) -> list[str]:
    """Names of a data set's classes, base ones first."""
    return list(_set(report, dataset).get("classnames") or ())


def names(report: Report, dataset: str, part: str) -> list[str]:
    """Names of the classes that labels of a part stand for."""
    found = all_names(report, dataset)
    if report.protocol.name != BASE_TO_NEW:
        return found
    base = tuned_classes(report, dataset)
    return found[base:] if part == "new" else found[:base]


def first_label(report: Report, dataset: str, part: str) -> int:
    """The data set's label of a part's class 0."""
    apart = report.protocol.name == BASE_TO_NEW and part == "new"
    return tuned_classes(report, dataset) if apart else 0


def tuned_classes(report: Report, dataset: str) -> int:
    """Number of the classes that are tuned on: the base ones, or all of a protocol without."""
    return int(_set(report, dataset).get("classes_base") or len(all_names(report, dataset)))


def comparisons(results: Results) -> Iterator[tuple[Contender, Contender]]:
    """Each backbone with DPC against the backbone, and the backbone against zero-shot CLIP."""
    there = set(results.shown())
    zero = results.contender("zero_shot", "zero_shot")
    for backbone in results.backbones:
        plain = results.contender(backbone, "plain")
        for first, second in ((results.contender(backbone, "dpc"), plain), (plain, zero)):
            if first in there and second in there:
                yield first, second


def _set(report: Report, dataset: str) -> Mapping[str, Any]:
    return next((each for each in report.context.datasets if each["name"] == dataset), {})


def _of(report: Report, score: Score) -> Mapping[str, np.ndarray]:
    draw = "all" if score.seed is None else f"shots{score.row.get('shots')}-seed{score.seed}"
    return report.context.predictions.get((score.dataset, score.contender.key, draw), {})
