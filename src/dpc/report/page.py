"""The report: one self-contained page, its tables and figures, the metrics, all as bytes."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from dpc.report import export, figures, metrics, recipes, words
from dpc.report.ablations import LADDER, rungs
from dpc.report.effects import Effect, effects
from dpc.report.headline import GAIN_HEADINGS, gain_cells, gains, headline
from dpc.report.rows import Results, collect, ladder
from dpc.report.scatter import tradeoff
from dpc.report.scores import Contender, Row
from dpc.report.svg import PALETTE, Drawing, tone
from dpc.report.tables import TRANSDUCTIVE, Selection, main_table, selection_table

TEMPLATE = "page.html.j2"
DATASET_COLUMNS = {
    "classes_base": "Base classes",
    "classes_new": "New classes",
    "n_shots": "Training images",
    "n_train": "Training images in the split",
    "n_test": "Test images",
    "split_by": "Split",
}


@dataclass(frozen=True)
class ReportContext:
    """What the page says about the run besides its results.

    ``datasets`` holds, in the order to show, dicts of ``name``, ``classes_base``,
    ``classes_new``, ``n_shots`` (training images of one seed), ``n_train`` (those of the whole
    split), ``n_test`` and ``split_by`` ("image", "drawing" or a phrase); all but the name may be
    missing. ``inputs`` and ``versions`` are name -> text; the versions are those of the
    environment that builds the report, which need not have made every row.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    clip: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Mapping[str, Any]] = ()
    commands: Sequence[str] = ()
    title: str = "Dual-Prompt Collaboration: base-to-new results"

    @property
    def names(self) -> tuple[str, ...]:
        """Data sets in the order to show."""
        return tuple(str(dataset["name"]) for dataset in self.datasets)

    @property
    def backbones(self) -> tuple[str, ...]:
        """Backbones in the order to show."""
        return tuple((self.params.get("run") or {}).get("backbones") or ())


def build(rows: Iterable[Row], context: ReportContext) -> dict[str, bytes]:
    """All files of the report; the same rows and context give the same bytes.

    Args:
        rows: evaluated rows, in any order; missing seeds and methods are shown as missing.
        context: what else the page says.

    Returns:
        File name relative to the report's directory -> content, sorted by name.

    Raises:
        DpcError: a row that cannot be read, see ``rows.collect``.
    """
    rows = list(rows)
    order = (context.names, context.backbones)
    results, ablated = collect(rows, *order), ladder(rows, *order)
    drawings = {
        "tradeoff": tradeoff(results),
        "omega_b": figures.weight_curves(results, "omega_b"),
        "omega_b_change": figures.change_curves(results, "omega_b"),
        "omega_n": figures.weight_curves(results, "omega_n"),
        "omega_n_change": figures.change_curves(results, "omega_n"),
        "training": figures.training_curves(results),
    }
    built = {
        "index.html": _page(results, ablated, context, drawings),
        "table.csv": export.table_csv(results),
        "table.md": export.markdown(results),
        "table.tex": export.latex(results),
        "curves.csv": export.curves_csv(results),
        "losses.csv": export.losses_csv(results),
        "ablations.csv": export.ablations_csv(ablated),
        "effects.csv": export.effects_csv(effects(results)),
        "metrics.json": _json(metrics.build(rows, context.clip, *order)),
        "summary.json": _json(metrics.summary(rows, *order)),
    }
    content = {name: text.encode("utf-8") for name, text in built.items()}
    for group in drawings.values():
        for drawing in group:
            content[f"figures/{drawing.name}.svg"] = drawing.svg
            content[f"figures/{drawing.name}.pdf"] = drawing.pdf
    return dict(sorted(content.items()))


def _page(
    results: Results,
    ablated: Results,
    context: ReportContext,
    drawings: Mapping[str, Sequence[Drawing]],
) -> str:
    environment = Environment(
        loader=FunctionLoader(lambda name: files("dpc.report").joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {
        name: [(each, Markup(each.inline)) for each in group]  # our own drawing, not user text
        for name, group in drawings.items()
    }
    return environment.get_template(TEMPLATE).render(
        context=context,
        results=results,
        headline=headline(results),
        gain_headings=GAIN_HEADINGS,
        gains=[(gain.contender, gain_cells(results, gain)) for gain in gains(results)],
        blocks=main_table(results),
        transductive=TRANSDUCTIVE,
        selection=_selections(results),
        notes=_notes(results, context),
        ladders=list(rungs(ablated)),
        ablated_sets=len(ablated.datasets),
        rungs=[text for kind, text in LADDER.items()],
        drawings=shown,
        effects=_by_backbone(effects(results)),
        columns=_columns(context.datasets),
        recipe_headings=recipes.RECIPE_HEADINGS,
        recipes=recipes.recipes(results, context.params),
        teacher=recipes.teacher(results, context.params),
        facts=[recipes.facts(results, contender) for contender in results.shown()],
        params=_groups(context.params),
        palette={name.replace("_", "-"): pair for name, pair in PALETTE.items()},
        swatch=lambda contender: _swatch(results, contender),
        symbols=_symbols,
        percent=words.percent,
        points=words.points,
    )


def _selections(results: Results) -> dict[str, list[Selection]]:
    """Backbone's name -> its lines of the table of selections."""
    groups: dict[str, list[Selection]] = {}
    for line in selection_table(results):
        groups.setdefault(line.backbone, []).append(line)
    return groups


def _by_backbone(tested: Sequence[Effect]) -> dict[str, list[tuple[str, list[str]]]]:
    """Backbone's name -> question and columns of each of its effects."""
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for effect in tested:
        lines = groups.setdefault(effect.first.name, [])
        lines.append((effect.question, words.effect_cells(effect)))
    return groups


def _swatch(results: Results, contender: Contender) -> str:
    """CSS classes of a contender's mark: its backbone's tone, hollow where transductive."""
    name = tone(results.backbones, contender.backbone).replace("_", "-")
    return f"{name} hollow" if contender.transductive else name


def _symbols(text: str) -> Markup:
    """Text, escaped, with ω_b and ω_n set as subscripts."""
    return Markup(re.sub("ω_([bn])", r"ω<sub>\1</sub>", str(escape(text))))


def _notes(results: Results, context: ReportContext) -> list[str]:
    """What a reader must know to read the main table."""
    seeds = ", ".join(str(seed) for seed in results.seeds) or "none"
    notes = [
        f"Top-1 accuracy in percent on the test split, mean ± standard deviation over the seeds "
        f"({seeds}; n − 1 in the denominator; one seed has no deviation, zero-shot CLIP no seed).",
        "H is the harmonic mean of the mean base and the mean new accuracy; its deviation is "
        "that of the seeds' own H. The average's H is the H of the average base and new, as "
        "papers print it; the mean of the data sets' H stands beside it.",
        _split_note(context.datasets),
        f"Selection: the last epoch, never a checkpoint chosen on test images. {_omega(results)}",
        "Images seen: training images that a run was shown, all its stages together, mean over "
        "the seeds. Bold: the best of each column, on the numbers as printed"
        + (", transductive rows apart." if results.transductive else "."),
    ]
    cells = [(d, m) for d in results.datasets for m in results.shown()]
    if any(results.incomplete(*cell) for cell in cells):
        notes.append("† fewer seeds than the others.")
    if any(results.cell(*cell) is None for cell in cells):
        notes.append("A dash: not run; a method has an average only where it ran on every set.")
    return notes


def _split_note(datasets: Sequence[Mapping[str, Any]]) -> str:
    rules: dict[str, list[str]] = {}
    for dataset in datasets:
        if dataset.get("split_by"):
            rules.setdefault(str(dataset["split_by"]), []).append(str(dataset["name"]))
    if not rules:
        return "The rule that splits train from test is not recorded."
    texts = [
        _split_rule(rule) + ("" if len(rules) == 1 else f": {', '.join(names)}")
        for rule, names in sorted(rules.items())
    ]
    return f"Split: {'; '.join(texts)}."


def _split_rule(rule: str) -> str:
    """A rule, a word or a phrase, with what it means where it speaks of images or drawings."""
    text = f"by {rule}" if rule in ("image", "drawing") else rule
    if "by image" in text:
        return f"{text} (another variant of a test drawing may be in training)"
    if "by drawing" in text:
        return f"{text} (all variants of a drawing are on one side)"
    return text


def _omega(results: Results) -> str:
    """The weights in use, and how the mix was trained and applied."""
    used: dict[str, list[str]] = {}
    for (_, contender), scores in results.scores.items():
        if (contender.kind, contender.selection) == ("dpc", "last"):
            for score in scores:
                fields = {name: score.row.get(name) for name in ("omega_n", "parametrization")}
                fields |= {"omega_b": score.applied, "inference": score.inference}
                for name, value in fields.items():
                    if value is not None:
                        used.setdefault(name, []).append(_text(value))
    parts = {name: " or ".join(sorted(set(values))) for name, values in used.items()}
    if not parts:
        return ""
    fixed = ", ".join(
        f"{symbol} = {parts[name]}"
        for name, symbol in (("omega_b", "ω_b"), ("omega_n", "ω_n"))
        if name in parts
    )
    modes = ", ".join(f"{n} “{parts[n]}”" for n in ("inference", "parametrization") if n in parts)
    return f"DPC: {fixed or 'weights not recorded'}, fixed before the run" + (
        f" ({modes})." if modes else "."
    )


def _columns(datasets: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Field -> heading of what any data set says about itself."""
    known = {key for dataset in datasets for key, value in dataset.items() if value is not None}
    return {key: heading for key, heading in DATASET_COLUMNS.items() if key in known}


def _groups(params: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Params as groups of dotted keys, in the order given."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            groups.setdefault(str(key), []).extend(_flat(value, ""))
        else:
            groups.setdefault("general", []).append((str(key), _text(value)))
    return list(groups.items())


def _flat(params: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in params.items():
        if isinstance(value, Mapping):
            lines.extend(_flat(value, f"{prefix}{key}."))
        else:
            lines.append((f"{prefix}{key}", _text(value)))
    return lines


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
