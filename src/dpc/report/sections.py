"""What a section of the page is, and the sections that every protocol has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpc.params.protocols import BASE_TO_NEW
from dpc.report import export, figures, recipes
from dpc.report.ablations import LADDER, rungs
from dpc.report.context import Report, shots_name
from dpc.report.notes import notes, text_of
from dpc.report.scatter import tradeoff
from dpc.report.svg import Drawing, colors
from dpc.report.tables import HEADINGS, TRANSDUCTIVE, Selection, Table, main_table, selection_table

DATASET_COLUMNS = {
    "classes_base": "Base classes",
    "classes_new": "New classes",
    "classes": "Classes",
    "n_shots": "Training images",
    "n_train": "Training images in the split",
    "n_test": "Test images",
    "split_by": "Split",
}


@dataclass(frozen=True)
class Gallery:
    """Figures side by side."""

    drawings: Sequence[Drawing]
    heading: str = ""
    note: str = ""  # below the heading
    empty: str = ""  # in place of no figure; without it an empty gallery is left out
    wide: bool = False
    folded: str = ""  # what is inside; with it the figures are folded away until asked for


@dataclass(frozen=True)
class Section:
    """A part of the page with the files that hold the same numbers.

    A section of figures needs no template of its own: words above, then galleries.
    """

    id: str
    title: str = ""
    nav: str = ""  # its name in the list of sections; none: not listed
    template: str = "figures.html.j2"
    words: Sequence[str] = ()
    galleries: Sequence[Gallery] = ()
    values: Mapping[str, Any] = field(default_factory=dict)  # for its template
    files: Mapping[str, str] = field(default_factory=dict)  # name -> text


def main_section(report: Report) -> Section:
    """The main table of protocols whose columns are metrics."""
    return table_section(report, main_table(report.results))


def table_section(report: Report, table: Table) -> Section:
    """A main table, with its notes, the choice of ω_b and its files."""
    selections: dict[str, list[Selection]] = {}
    for line in selection_table(report.results):
        selections.setdefault(line.backbone, []).append(line)
    values = {
        "table": table,
        "transductive": TRANSDUCTIVE,
        "selection": selections,
        "notes": notes(report, table),
        "chosen": report.protocol.omega_b,
        "more": at_most_shots(report),
        "count": len(report.results.datasets),
    }
    files = {
        "table.csv": export.table_csv(report.series),
        "table.md": export.markdown(table),
        "table.tex": export.latex(table),
    }
    title = report.protocol.heading
    return Section("table", title, "Table", "table.html.j2", values=values, files=files)


def ablation_section(report: Report) -> Section | None:
    """The rungs of the ablation, where any ran."""
    ladders = list(rungs(report.ladder))
    metrics = {m: HEADINGS.get(m, m.capitalize()) for m in report.protocol.metrics}
    values = {
        "ladders": ladders,
        "metrics": metrics,
        "ablated_sets": len(report.ladder.datasets),
        "rungs": list(LADDER.values()),
        "beside": report.protocol.name == BASE_TO_NEW and "coop" in report.ladder.backbones,
    }
    title, nav = ("Ablation: what each part adds", "Ablation") if ladders else ("", "")
    files = {"ablations.csv": export.ablations_csv(report.ladder)}
    return Section("ablations", title, nav, "ablations.html.j2", values=values, files=files)


def tradeoff_section(report: Report) -> Section:
    """Base against new accuracy."""
    apart = "; hollow shapes are transductive and not comparable with the others"
    words = (
        "Right is better on base classes, up is better on new ones. Dotted lines join points of "
        "equal H. Grey lines lead from zero-shot CLIP to the tuned prompt, arrows from there to "
        f"DPC. {colors(report.results.backbones)}{apart if report.results.transductive else ''}."
    )
    drawings = tradeoff(report.results)
    gallery = Gallery(drawings, empty="Nothing to draw: no method ran.", wide=True)
    title = "The base-new trade-off"
    return Section("tradeoff", title, "Trade-off", words=(words,), galleries=(gallery,))


def weights_section(report: Report) -> Section:
    """Accuracy against ω_b and ω_n."""
    results, protocol = report.results, report.protocol
    galleries = []
    for curve in ("omega_b", "omega_n"):
        measure, symbol = protocol.weighed(curve), f"ω_{curve[-1]}"
        if measure is not None:
            heading = f"{symbol}, {measure.where}"
            empty = f"No {symbol} curve was recorded."
            panels = figures.weight_curves(results, curve)
            galleries.append(Gallery(panels, heading, protocol.curves.get(curve, ""), empty))
            galleries.append(Gallery(figures.change_curves(results, curve)))
    several = any(len(results.over(m.over)) > 1 for m in (protocol.omega_b, protocol.omega_n) if m)
    words = (
        "Weight 0 is the tuned prompt alone, weight 1 the parallel prompt alone. For each "
        "backbone: mean over the seeds, the band is one standard deviation, a dotted line marks "
        "the weight in use."
    )
    if several:
        words += (
            " For each data set: how far test accuracy moves from the backbone's own, in points, "
            "one line a backbone."
        )
    files = {"curves.csv": export.curves_csv(report.series)}
    title = "Weights: how much of the second prompt"
    words += at_most_shots(report)
    return Section("weights", title, "Weights", words=(words,), galleries=galleries, files=files)


def training_section(report: Report) -> Section:
    """Losses by epoch."""
    words = (
        "Mean loss of each epoch, mean and one standard deviation over the seeds: the tuned prompt "
        "and its longer run on the left, DPC's second stage on the right. The losses of the two "
        "stages are different quantities."
    )
    drawings = figures.training_curves(report.results)
    inside = f"{len(drawings)} figures: each backbone on each data set" if len(drawings) > 8 else ""
    gallery = Gallery(drawings, empty="No training history was recorded.", folded=inside)
    files = {"losses.csv": export.losses_csv(report.series)}
    words += at_most_shots(report)
    return Section(
        "training", "Training", "Training", words=(words,), galleries=(gallery,), files=files
    )


def run_section(report: Report) -> Section:
    """What ran: recipes, costs, data sets, parameters, versions and inputs."""
    results, context = report.results, report.context
    values = {
        "columns": _columns(context.datasets),
        "shots": report.protocol.shots,
        "recipe_headings": recipes.RECIPE_HEADINGS,
        "recipes": recipes.recipes(results, context.params),
        "exceptions": recipes.exceptions(results, context.params),
        "teacher": recipes.teacher(results, context.params),
        "facts": [recipes.facts(results, contender) for contender in results.shown()],
        "params": _groups(context.params),
        "more": at_most_shots(report),
    }
    return Section("run", "What ran", "What ran", "run.html.j2", values=values)


def at_most_shots(report: Report, filed: bool = True) -> str:
    """Says which shots a part is of, where there are several.

    Args:
        filed: whether its files hold the others.
    """
    shots = list(report.series)[-1]
    if len(report.series) < 2:
        return ""
    which = f"{shots_name(shots or 0)}, the most there are"
    files = "; the files hold every number of shots" if filed else ""
    return f" Shown are the runs of {which}{files}."


def _columns(datasets: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Field -> heading of what any data set says about itself."""
    known = {key for dataset in datasets for key, value in dataset.items() if value}
    if "classes_base" in known:
        known.discard("classes")  # the sum
    return {key: heading for key, heading in DATASET_COLUMNS.items() if key in known}


def _groups(params: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Params as groups of dotted keys, in the order given."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            groups.setdefault(str(key), []).extend(_flat(value, ""))
        else:
            groups.setdefault("general", []).append((str(key), text_of(value)))
    return list(groups.items())


def _flat(params: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in params.items():
        if isinstance(value, Mapping):
            lines.extend(_flat(value, f"{prefix}{key}."))
        else:
            lines.append((f"{prefix}{key}", text_of(value)))
    return lines


def as_json(value: Any) -> str:
    """JSON for people and machines."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
