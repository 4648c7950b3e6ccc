"""The hard negatives that stage two really drew, and whether they are what P gets wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.report.context import Report
from dpc.report.csvs import Field, csv_text, shots_cell, shots_field
from dpc.report.pictures import Album
from dpc.report.predictions import Run, names, parts, runs, tuned_classes
from dpc.report.scores import Contender, Score
from dpc.report.sections import Section, at_most_shots
from dpc.report.words import DASH, listed

SHOWN = 5  # pairs of a backbone
UNTESTED = "Whether that is more than chance is not tested."


@dataclass(frozen=True)
class Coverage:
    """Test images that P takes for another tuned class in one run, by whether that confusion was a
    hard negative of training.

    Attributes:
        drawn, possible: pairs of classes that were drawn, and that there are.
        inside, outside: images whose confusion was drawn, and the others.
        repaired_inside, repaired_outside: those of them that the mix has right.
    """

    drawn: int
    possible: int
    inside: int
    outside: int
    repaired_inside: int
    repaired_outside: int


def section(report: Report) -> Section | None:
    """How far training's negatives are test's confusions, and the pairs drawn most with their
    images. None where stage two drew none."""
    results = report.results
    mixed = [m for m in results.shown() if m.kind == "dpc"]
    found = {m: _coverages(report, m) for m in mixed}
    album = Album(report.context, "negatives")
    sets = []
    for dataset in results.datasets:
        blocks = [
            (m.label, block) for m in mixed if (block := _strongest(report, album, dataset, m))
        ]
        if blocks:
            sets.append((dataset, blocks))
    if not any(found.values()) and not sets:
        return None
    lines = {m: coverage_cells(each) for m, each in found.items() if each}
    values = {
        "lines": lines,
        "verdict": verdict({m.name: each for m, each in found.items() if each}),
        "sets": sets,
        "sheet": album.sheet(),
        "more": at_most_shots(report),
    }
    return Section(
        "negatives",
        "The hard negatives that were drawn",
        "Hard negatives",
        "negatives.html.j2",
        values=values,
        files={"negatives.csv": negatives_csv(report, mixed)},
    )


def coverage(run: Run, classes: int) -> Coverage | None:
    """Of a run whose first is DPC and whose second is its backbone alone; None without negatives.

    Args:
        run: on images of the tuned classes.
        classes: number of these; names of other classes may compete, and are no negatives.
    """
    if run.pairs is None:
        return None
    wrong = (run.second != run.labels) & (run.second < classes)
    drawn = set(map(tuple, run.pairs[:, :2].tolist()))
    confusions = zip(run.labels[wrong].tolist(), run.second[wrong].tolist(), strict=True)
    right = (run.first == run.labels)[wrong].tolist()
    tally = {(inside, now): 0 for inside in (True, False) for now in (True, False)}
    for pair, now in zip(confusions, right, strict=True):
        tally[pair in drawn, now] += 1
    return Coverage(
        len(drawn),
        classes * (classes - 1),
        tally[True, True] + tally[True, False],
        tally[False, True] + tally[False, False],
        tally[True, True],
        tally[False, True],
    )


def _coverages(report: Report, mixed: Contender) -> list[Coverage]:
    """Of every run on a data set that was tuned on."""
    plain = report.results.contender(mixed.backbone, "plain")
    found = []
    for dataset in report.results.datasets:
        part = _tuned_part(report, dataset, mixed)
        if part is not None:
            classes = tuned_classes(report, dataset)
            each = [coverage(run, classes) for run in runs(report, dataset, mixed, plain, part)]
            found += [one for one in each if one is not None]
    return found


def _tuned_part(report: Report, dataset: str, mixed: Contender) -> str | None:
    """The part of the test whose classes were tuned on."""
    held = parts(report, dataset, mixed)
    return next((part for part in ("base", "test") if part in held), None)


def coverage_cells(each: Sequence[Coverage]) -> list[str]:
    """Shares over all runs, and the wrong test images in a run."""
    total = {
        field: sum(getattr(one, field) for one in each) for field in Coverage.__dataclass_fields__
    }
    wrong, alike = total["inside"] + total["outside"], expected(each)
    return [
        _share(total["drawn"], total["possible"]),
        f"{wrong / len(each):.1f}",
        _share(total["inside"], wrong),
        DASH if alike is None else _share(alike, 1),
        _share(total["repaired_inside"], total["inside"]),
        _share(total["repaired_outside"], total["outside"]),
    ]


def _share(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else DASH


def verdict(found: Mapping[str, Sequence[Coverage]]) -> str:
    """Whether P's mistakes on test images are pairs that training saw more often than any pair of
    classes would be, backbone by backbone."""
    more: list[str] = []
    less: list[str] = []
    for name, each in found.items():
        alike = expected(each)
        if alike is not None:
            wrong = sum(one.inside + one.outside for one in each)
            hit = sum(one.inside for one in each) / wrong
            (more if hit > alike else less).append(name)
    told = "the classes that test images are taken for were hard negatives of training"
    texts = []
    if more:
        texts.append(
            f"With {listed(more)}, {told} more often than other pairs of classes would be: the "
            "sampler finds confusions that the test has too."
        )
    if less:
        texts.append(
            f"With {listed(less)}, {told} no more often than other pairs of classes would be."
        )
    return " ".join([*texts, UNTESTED] if texts else [])


def expected(each: Sequence[Coverage]) -> float | None:
    """Share of P's mistakes that would be drawn pairs if P took an image for any other class alike.

    Run by run, as data sets differ both in how many pairs were drawn and in how often P is wrong;
    None where it never is.
    """
    wrong = sum(one.inside + one.outside for one in each)
    hits = ((one.inside + one.outside) * one.drawn / one.possible for one in each if one.possible)
    return sum(hits) / wrong if wrong else None


def _strongest(report: Report, album: Album, dataset: str, mixed: Contender) -> list[list[Any]]:
    """Cells of the pairs that the first seed's run drew most."""
    every = report.results.runs(dataset, mixed)
    part = _tuned_part(report, dataset, mixed)
    if not every or part is None or not every[0].row.get("negatives"):
        return []
    score, known = every[0], names(report, dataset, part)
    plain = report.results.contender(mixed.backbone, "plain")
    run = next((r for r in runs(report, dataset, mixed, plain, part) if r.seed == score.seed), None)
    return [
        [
            album.show(dataset, pair["image"], known[pair["label"]]),
            album.show(dataset, pair["drawn"], known[pair["negative"]]),
            str(pair["times"]),
            *_tested(run, pair["label"], pair["negative"]),
        ]
        for pair in score.row["negatives"][:SHOWN]
    ]


def _tested(run: Run | None, label: int, negative: int) -> list[str]:
    """Test images of a class taken for another, by P and by the mix."""
    if run is None:
        return [DASH, DASH]
    return [
        str(int(((run.labels == label) & (predicted == negative)).sum()))
        for predicted in (run.second, run.first)
    ]


def negatives_csv(report: Report, mixed: Sequence[Contender]) -> str:
    """The pairs that each run drew most, with two of their images."""
    fields = ("seed", "class", "negative_class", "times", "image", "drawn")
    lines: list[Sequence[Field]] = [("dataset", "backbone", *shots_field(report.series), *fields)]
    for shots, each in report.apart.items():
        for dataset in each.results.datasets:
            for contender in mixed:
                part = _tuned_part(each, dataset, contender)
                known = names(each, dataset, part) if part is not None else []
                start = [dataset, contender.backbone, *shots_cell(shots)]
                for score in each.results.runs(dataset, contender):
                    lines += _csv_lines(score, start, known)
    return csv_text(lines)


def _csv_lines(score: Score, start: list[str], known: Sequence[str]) -> list[Sequence[Field]]:
    return [
        [
            *start,
            score.seed,
            known[pair["label"]],
            known[pair["negative"]],
            pair["times"],
            pair["image"],
            pair["drawn"],
        ]
        for pair in (score.row.get("negatives") or ())
        if known
    ]
