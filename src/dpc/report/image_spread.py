"""How far an effect moves with the test images: a bootstrap over them, out of the predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dpc.evaluation.resampling import resampled_accuracies
from dpc.evaluation.statistics import LEVEL
from dpc.report.effects import Effect
from dpc.report.scores import Score

Predictions = Mapping[tuple[str, str, str], Mapping[str, np.ndarray]]

DRAWS = 1000  # of test sets
PARTS = {  # whose images a metric is about
    "base": ("base",),
    "new": ("new",),
    "h": ("base", "new"),
    "overall": ("base", "new"),
    "accuracy": ("test",),
}


def with_images(found: Sequence[Effect], predictions: Predictions) -> list[Effect]:
    """The effects with their spread over test images."""
    return [replace(each, over_images=image_interval(predictions, each)) for each in found]


def image_interval(
    predictions: Predictions, effect: Effect, draws: int = DRAWS
) -> tuple[float, float] | None:
    """The 95 % interval of an effect's mean over test sets drawn anew from the test images.

    Each data set's images (and each half's) are drawn apart, as many as there are; both contenders
    and all seeds are tested on the same ones. The prompts stay as they are: it is the spread that
    the test images cause, and no test of the method. None where the predictions that belong to a
    score are not at hand: an ω_b chosen on other images has none.

    Args:
        predictions: see ``ReportContext``.
        effect: any.
        draws: how many test sets.
    """
    if effect.seeds is None or {effect.first.selection, effect.second.selection} != {"last"}:
        return None
    generator = np.random.default_rng(0)  # any: the same page from the same rows
    means = []
    for name in dict.fromkeys(name for name, _ in effect.pairs):
        both = [pair for (dataset, _), pair in effect.pairs.items() if dataset == name]
        runs = [one for one, _ in both] + [two for _, two in both]
        parts = PARTS[effect.measure.metric]
        correct = [_correct(predictions, runs, part) for part in parts]
        accuracies = [
            resampled_accuracies(each, draws, generator) for each in correct if each is not None
        ]
        if len(accuracies) < len(parts):
            return None
        sizes = [len(each) for each in correct if each is not None]
        values = _metric(effect.measure.metric, accuracies, sizes)
        means.append((values[:, : len(both)] - values[:, len(both) :]).mean(axis=1))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.mean(means, axis=0), [tail, 100 - tail])
    return float(low), float(high)


def _correct(predictions: Predictions, runs: Sequence[Score], part: str) -> np.ndarray | None:
    """Bool (N, runs): which of a part's images each run is right on; None without predictions."""
    columns = []
    for score in runs:
        row = score.row
        draw = "all" if score.seed is None else f"shots{row.get('shots')}-seed{score.seed}"
        held = predictions.get((score.dataset, str(row.get("method")), draw), {})
        if f"{part}.predictions" not in held:
            return None
        columns.append(held[f"{part}.predictions"] == held[f"{part}.labels"])
    return np.stack(columns, axis=1)


def _metric(metric: str, accuracies: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """A metric out of the accuracies of its parts, of whatever shape these have."""
    if metric == "h":
        base, new = accuracies
        total = base + new
        return np.where(total > 0, 2 * base * new / np.where(total > 0, total, 1), 0.0)
    return np.average(accuracies, axis=0, weights=sizes)
