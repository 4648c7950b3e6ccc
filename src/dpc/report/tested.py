"""The sections of tests: what DPC adds on average, on each data set, and every effect tested."""

from collections.abc import Sequence

from dpc.evaluation.statistics import detectable
from dpc.report import export
from dpc.report.against import against
from dpc.report.context import Report
from dpc.report.effects import Effect, effects, on_each_set
from dpc.report.headline import Gain, gains
from dpc.report.image_spread import with_images
from dpc.report.rows import Results
from dpc.report.sections import Section, at_most_shots
from dpc.report.words import (
    DASH,
    MINUS,
    SPACE,
    bare_p,
    counts,
    coverage,
    listed,
    p_value,
    points,
    reading,
    span,
)

SEEDS_COUNT = f"Seeds + / = / {MINUS}"
DECIDING = ("Difference", "95 % interval", "t", "p", "Holm p", SEEDS_COUNT, "Found")
BESIDE = (
    "Over test images",
    "p over sets",
    f"Sets + / = / {MINUS}",
    "One set left out",
    "Detectable",
)


def gains_section(report: Report) -> Section | None:
    """What DPC adds to each backbone, at each number of shots; what no run tells is left out."""
    by_shots = {
        shots: [(gain.contender, gain_cells(report.series[shots], gain)) for gain in group]
        for shots, group in gains(report.series).items()
    }
    if not any(by_shots.values()):
        return None
    headings = gain_headings(report.results)
    lines = [cells for group in by_shots.values() for _, cells in group]
    kept = [
        column
        for column, heading in enumerate(headings)
        if not heading.startswith("Gain") or any(cells[column] != DASH for cells in lines)
    ]
    values = {
        "gain_headings": [headings[column] for column in kept],
        "gains": {
            shots: [(contender, [cells[column] for column in kept]) for contender, cells in group]
            for shots, group in by_shots.items()
        },
        "lead": report.protocol.lead,
        "several": len(by_shots) > 1,
        "power": power(list(gains(report.series).values())[-1]),
    }
    return Section("gains", nav="Gains", template="gains.html.j2", values=values)


def power(found: Sequence[Gain]) -> str:
    """Which gains so many seeds would have found, by backbone; empty where nothing was tested."""
    seen = [(gain, detectable(gain.lead.seeds)) for gain in found if gain.lead.seeds is not None]
    texts = [f"{points(size, sign=False)} points on {gain.name}" for gain, size in seen if size]
    if not texts:
        return ""
    return (
        f"A true gain of {listed(texts)} is found by so many seeds, with the spread seen here, "
        "four times out of five (one test at the 5 % level); a smaller one may be there unseen."
    )


def gain_headings(results: Results) -> list[str]:
    """Headings of `gain_cells`."""
    protocol = results.protocol
    return [
        "Backbone",
        "ω_b",
        f"{protocol.lead.heading}, alone",
        f"{protocol.lead.heading}, + DPC",
        "Gain",
        "95 % interval",
        "p",
        "Holm p",
        SEEDS_COUNT,
        "Found",
        "Gain, ω_b by validation",
        "Gain over same budget",
        *(f"Gain on {measure.label}" for measure in protocol.others),
    ]


def gain_cells(results: Results, gain: Gain) -> list[str]:
    """The columns of the table of gains, as text."""
    lead, found = results.protocol.lead, gain.lead
    sets = results.over(lead.over)
    averages = [results.average(each, sets) for each in (found.second, gain.contender)]
    # averages of other runs than those of the difference would only confuse
    whole = found.seeds is not None and not coverage(found)
    means = [f"{c[lead.metric].mean:.2f}" if whole and c is not None else DASH for c in averages]
    cells = [gain.name, results.weights(gain.contender) or DASH, *means]
    mean, interval, _, *rest = deciding_cells(found)
    others = [_short(each) for each in gain.others.values()]
    return [*cells, mean, interval, *rest, _short(gain.chosen), _short(gain.budget), *others]


def deciding_cells(found: Effect) -> list[str]:
    """The columns ``DECIDING``, as text."""
    test = found.seeds
    if test is None:
        return [*[DASH] * 6, reading(found)]
    statistic = DASH if test.t is None else points(test.t, sign=False)
    missing = f" ({coverage(found)})" if coverage(found) else ""
    cells = [points(test.mean), span((test.low, test.high)), statistic, bare_p(test.p)]
    return [*cells, bare_p(found.adjusted), counts(test) + missing, reading(found)]


def beside_cells(found: Effect) -> list[str]:
    """The columns ``BESIDE``, as text."""
    test, sets = found.seeds, found.sets
    return [
        span(found.over_images),
        bare_p(None if sets is None else sets.p),
        counts(sets),
        span(found.without_one),
        DASH if test is None else points(detectable(test), sign=False),
    ]


def _short(found: Effect) -> str:
    """``+0.62 (p = 0.023)`` with the adjusted p, ``0.00, equal`` or a dash."""
    if found.seeds is None:
        return DASH
    if found.equal:
        return f"{points(0.0)},{SPACE}equal"
    p = "" if found.adjusted is None else f" ({p_value(found.adjusted)})"
    return points(found.seeds.mean) + p


def cells_section(report: Report) -> Section | None:
    """What DPC adds on each data set, of the most shots; nothing where there is one data set."""
    found = list(on_each_set(report.series).values())[-1]
    if not found:
        return None
    lead = report.protocol.lead
    groups: dict[str, list[list[str]]] = {}
    for each in with_images(found, report.context.predictions):
        ((name, _), *_) = each.pairs
        cells = [report.results.cell(name, m) for m in (each.second, each.first)]
        texts = [DASH if cell is None else f"{cell[lead.metric].mean:.2f}" for cell in cells]
        line = [name, *texts, *deciding_cells(each), span(each.over_images)]
        groups.setdefault(each.first.name, []).append(line)
    values = {
        "headings": ("Data set", "Alone", "+ DPC", *DECIDING, BESIDE[0]),
        "groups": groups,
        "family": found[0].family,
        "lead": lead,
        "more": at_most_shots(report),
    }
    title = "What DPC adds on each data set"
    return Section("cells", title, "By data set", "cells.html.j2", values=values)


def effects_section(report: Report) -> Section:
    """All tests, of the most shots on the page, of every number of shots in the file, which
    has those of "What prompts buy" too."""
    tested, cells = (
        {shots: with_images(group, report.context.predictions) for shots, group in each.items()}
        for each in (effects(report.series), on_each_set(report.series))
    )
    groups: dict[str, list[tuple[Effect, list[str], list[str]]]] = {}
    for each in list(tested.values())[-1]:
        cells_of = (deciding_cells(each), beside_cells(each))
        groups.setdefault(each.first.name, []).append((each, *cells_of))
    values = {
        "effects": groups,
        "deciding": DECIDING,
        "beside": BESIDE,
        "more": at_most_shots(report),
    }
    bought = {
        shots: [each for group in table.values() for each in group]
        for shots, table in against(report.series).items()
    }
    averages = {shots: [*group, *bought[shots]] for shots, group in tested.items()}
    files = {"effects.csv": export.effects_csv(averages, cells)}
    title = "Effects tested"
    return Section("effects", title, "Effects", "effects.html.j2", values=values, files=files)
