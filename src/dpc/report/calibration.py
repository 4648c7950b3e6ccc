"""How sure each method is against how often it is right: the error of it, and its diagrams."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from dpc.evaluation.calibration import Bin, ece, overconfidence, pooled
from dpc.evaluation.statistics import Summary, summarize
from dpc.report.context import Report
from dpc.report.csvs import Field, csv_text, shots_field
from dpc.report.effects import Series
from dpc.report.export import of_shots
from dpc.report.predictions import PARTS
from dpc.report.rows import Results
from dpc.report.scores import Contender, Score
from dpc.report.sections import Gallery, Section, at_most_shots
from dpc.report.svg import MARKERS, Drawing, color, draw, slug, tone
from dpc.report.words import DASH, percent, points

SIZE = (6.4, 3.3)  # inches
STYLES = {"zero_shot": ":", "plain": "--", "dpc": "-"}
FEWEST = 0.01  # share of the images that a bin holds to be drawn: a few images are noise


@dataclass(frozen=True)
class Calibration:
    """Of one contender on a part, in points: average over data sets, spread over seeds.

    ``sure`` is mean confidence minus accuracy: above 0 too sure.
    """

    ece: Summary
    sure: Summary


def section(report: Report) -> Section | None:
    """Calibration by method, a reliability diagram for each backbone; None where no row tells."""
    results = report.results
    shown = [part for part in PARTS if any(_all_bins(results, m, part) for m in results.shown())]
    if not shown:
        return None
    told = [m for m in results.shown() if any(_all_bins(results, m, part) for part in shown)]
    drawings = [_drawing(results, backbone, shown) for backbone in results.backbones]
    words = (
        "The top probability of an image against how often such images are right. On the diagonal "
        "they agree; below it a method is surer than it is right, above it too modest.",
        *(text for part in shown if (text := sentence(results, part))),
    )
    values = {
        "parts": {part: PARTS[part] for part in shown},
        "lines": [
            (m, [text for part in shown for text in _cells(m, calibration(results, m, part))])
            for m in told
        ],
        "sets": "targets" if results.protocol.transfers else "data sets",
        "more": at_most_shots(report),
    }
    return Section(
        "calibration",
        "Calibration: is it as sure as it is right?",
        "Calibration",
        "calibration.html.j2",
        words,
        (Gallery([each for each in drawings if each is not None], wide=True),),
        values,
        {"calibration.csv": calibration_csv(report.series)},
    )


def calibration(results: Results, contender: Contender, part: str) -> Calibration | None:
    """Mean over the pooled data sets of each seed's own, then over the seeds; None where no seed
    tells of them all, as means over other data sets would compare the data sets."""
    whole = list(by_seed(results, contender, part).values())
    return calibration_of(whole) if whole else None


def by_seed(results: Results, contender: Contender, part: str) -> dict[int | None, list[list[Bin]]]:
    """The bins of each pooled data set, of the seeds that tell of them all."""
    found: dict[int | None, list[list[Bin]]] = {}
    for dataset in results.pooled:
        for score in results.runs(dataset, contender):
            bins = bins_of(score, part)
            if bins is not None:
                found.setdefault(score.seed, []).append(bins)
    return {seed: each for seed, each in found.items() if len(each) == len(results.pooled)}


def calibration_of(seeds: Sequence[Sequence[list[Bin]]]) -> Calibration:
    """Of the bins of every data set, seed by seed."""

    def over_sets(of: Sequence[float]) -> float:
        return math.fsum(of) / len(of)

    return Calibration(
        summarize([over_sets([ece(bins) for bins in each]) for each in seeds]),
        summarize([over_sets([overconfidence(bins) for bins in each]) for each in seeds]),
    )


def bins_of(score: Score, part: str) -> list[Bin] | None:
    """The bins of a row; None where it does not tell."""
    held = (score.row.get("reliability") or {}).get(part)
    return None if held is None else [(int(n), sure, right) for n, sure, right in held]


def _cells(contender: Contender, found: Calibration | None) -> list[str]:
    if found is None:
        return [DASH, DASH]
    return [percent(found.ece, contender.kind != "zero_shot"), points(found.sure.mean)]


def sentence(results: Results, part: str) -> str:
    """Whether zero-shot CLIP, each backbone, and DPC on it are over- or under-confident on a part,
    out of the numbers of the seeds that all of them have."""
    kinds = [("zero_shot", "zero_shot")]
    kinds += [(backbone, kind) for backbone in results.backbones for kind in ("plain", "dpc")]
    held = {kind: by_seed(results, results.contender(*kind), part) for kind in kinds}
    seeded = [set(each) for each in held.values() if each and None not in each]
    shared = set.intersection(*seeded) if seeded else set()

    def sure(backbone: str, kind: str) -> float | None:
        whole = held[backbone, kind].items()
        of = [each for seed, each in whole if seed is None or seed in shared]
        return calibration_of(of).sure.mean if of else None

    zero = sure("zero_shot", "zero_shot")
    texts = [] if zero is None else [f"zero-shot CLIP is {_sure(zero)}"]
    for backbone in results.backbones:
        plain, dpc = sure(backbone, "plain"), sure(backbone, "dpc")
        if plain is not None:
            text = f"{results.names[backbone]} {_sure(plain)}"
            if dpc is not None:
                same = round(dpc - plain, 2) == 0
                text += f", with DPC {'the same' if same else _sure(dpc)}"
            texts.append(text)
    start = PARTS[part][:1].upper() + PARTS[part][1:]
    if seeded and shared != set(results.seeds):
        start += f" ({len(shared)} of {len(results.seeds)} seeds, those that all methods have)"
    return f"{start}, in points: {'; '.join(texts)}." if texts else ""


def _sure(value: float) -> str:
    """``too sure by 1.20``, ``too modest by 0.31`` or ``as sure as right``."""
    if round(value, 2) == 0:
        return "as sure as right"
    return f"too {'sure' if value > 0 else 'modest'} by {abs(value):.2f}"


def _drawing(results: Results, backbone: str, shown: Sequence[str]) -> Drawing | None:
    """Zero-shot CLIP, a backbone, and DPC on it: a panel for each part."""
    contenders = [
        results.contender("zero_shot", "zero_shot"),
        results.contender(backbone, "plain"),
        results.contender(backbone, "dpc"),
    ]
    curves = {(part, m): _all_bins(results, m, part) for part in shown for m in contenders}
    if not any(curves.values()):
        return None
    name = results.names.get(backbone, backbone)
    alt = f"Accuracy against confidence, {name}. " + " ".join(
        f"{m.label}, {PARTS[part]}: {points(overconfidence(bins))} points surer than right."
        for (part, m), bins in curves.items()
        if bins
    )
    numbers: list[list[Field]] = [
        [PARTS[part], m.key, number + 1, *each]
        for (part, m), bins in curves.items()
        for number, each in enumerate(bins)
    ]
    return draw(
        slug("reliability", backbone),
        name,
        alt,
        SIZE,
        partial(_paint, results, curves, shown),
        len(shown),
        fields=("part", "method", "bin", "images", "confidence", "accuracy"),
        numbers=numbers,
    )


def _all_bins(results: Results, contender: Contender, part: str) -> list[Bin]:
    """The bins of every run on the pooled data sets together; none where no row tells."""
    every = [
        bins
        for dataset in results.pooled
        for score in results.runs(dataset, contender)
        if (bins := bins_of(score, part)) is not None
    ]
    return pooled(every) if every else []


def _paint(
    results: Results,
    curves: dict[tuple[str, Contender], list[Bin]],
    shown: Sequence[str],
    panels: list[Axes],
) -> None:
    for part, axes in zip(shown, panels, strict=True):
        axes.plot([0, 100], [0, 100], color=color("faint"), linewidth=1)
        for (of, contender), bins in curves.items():
            images = sum(count for count, _, _ in bins)
            held = [each for each in bins if each[0] > FEWEST * images]
            if of == part and held:
                axes.plot(
                    [sure for _, sure, _ in held],
                    [right for _, _, right in held],
                    STYLES[contender.kind],
                    color=color(tone(results.backbones, contender.backbone)),
                    marker=MARKERS[contender.kind],
                    fillstyle="none" if contender.transductive else "full",
                    label=contender.label,
                )
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_title(PARTS[part])
        axes.set_xlabel("confidence (%)")
    panels[0].set_ylabel("accuracy (%)")
    panels[0].figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
    )


def calibration_csv(series: Series) -> str:
    """Calibration of every run."""
    fields = ("seed", "part", "ece", "confidence_minus_accuracy")
    lines: list[Sequence[Field]] = [("dataset", "method", *shots_field(series), *fields)]
    first = next(iter(series.values()))
    for dataset in first.datasets:
        for contender in first.shown():
            for shots, results in of_shots(series, contender):
                for score in results.runs(dataset, contender):
                    for part in PARTS:
                        bins = bins_of(score, part)
                        if bins is not None:
                            start = [dataset, contender.key, *shots, score.seed, part]
                            lines.append([*start, ece(bins), overconfidence(bins)])
    return csv_text(lines)
