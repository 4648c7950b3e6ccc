"""What ran: the recipe of each backbone, and what its training cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpc.params.import_rules import TEACHER
from dpc.report.baseline_rules import settings
from dpc.report.curves import MAIN_LOSSES
from dpc.report.notes import text_of
from dpc.report.rows import Results, mean_of
from dpc.report.scores import Contender, Score
from dpc.report.words import DASH, listed

RECIPE = ("lr", "epochs", "batch")
IMPORTED = "imported"


@dataclass(frozen=True)
class Facts:
    """What a run of one contender cost: means over its runs; None where no row says."""

    contender: Contender
    images_seen: float | None  # both stages
    images_per_step: float | None  # last stage
    steps: float | None  # both stages
    learned: int | None  # numbers learned, of one of the two prompts with DPC

    @property
    def cells(self) -> list[str]:
        """The columns of the table of facts, as text."""
        per_step = DASH if self.images_per_step is None else f"{self.images_per_step:.1f}"
        whole = [
            DASH if v is None else f"{v:,.0f}" for v in (self.images_seen, self.steps, self.learned)
        ]
        return [self.contender.label, whole[0], per_step, *whole[1:]]


def facts(results: Results, contender: Contender, datasets: Sequence[str] | None = None) -> Facts:
    """The cost of one contender over the seeds of these data sets, or of all it was tuned on."""
    sets = results.trained if datasets is None else datasets
    runs = [score for name in sets for score in results.runs(name, contender)]
    seen, per_step, steps = (
        mean_of(runs, name) for name in ("images_seen", "images_per_step", "steps")
    )
    return Facts(contender, seen, per_step, steps, _learned(runs))


def _learned(runs: Sequence[Score]) -> int | None:
    shapes = [score.row["learned"] for score in runs if score.row.get("learned") is not None]
    return max((sum(math.prod(shape) for shape in s.values()) for s in shapes), default=None)


def recipes(results: Results, params: Mapping[str, Any]) -> list[list[str]]:
    """A line a baseline, its settings; a line a tuned backbone: stage one, stage two, weights, and
    what stage two kept.

    Args:
        results: says which backbones ran, and what their rows with DPC kept and froze.
        params: of the run; its keys ``backbones`` and ``dpc``. A number it lacks is a dash.
    """
    blank = [DASH] * (len(RECIPE_HEADINGS) - 2)
    lines = [[each.label, settings(results, each), *blank] for each in results.baselines]
    for backbone in results.backbones:
        name = results.names[backbone]
        one = (params.get("backbones") or {}).get(backbone) or {}
        two = stage_two(params, backbone)
        k = (two.get("negatives") or {}).get("k")
        runs = [
            score
            for dataset in results.trained
            for score in results.runs(dataset, results.contender(backbone, "dpc"))
        ]
        stages = [_recipe(one), _recipe(two), _number(k)]
        if imported(params, backbone, "tuned"):
            stages[0] = IMPORTED
        if imported(params, backbone, "parallel"):
            stages[1:] = [IMPORTED, DASH]
        used = results.weights(results.contender(backbone, "dpc"))
        weights = [used or _number(two.get("weight")), _number(two.get("weight_new"))]
        lines.append([name, *stages, *weights, _kept(runs), _same(runs, "couplings")])
    return lines


def exceptions(results: Results, params: Mapping[str, Any]) -> list[str]:
    """``coop on imagenet, 1 and 2 shots: epochs 50`` for each of the params' ``exceptions``.

    One on the teacher's prompt learner says what of it reaches the teacher, where one taught.
    """
    lines = []
    for each in (params.get("exceptions") or {}).values():
        sets, shots = each.get("datasets") or (), each.get("shots") or ()
        where = f" on {listed(sets)}" if sets else ""
        if shots:
            where += f", {listed([str(count) for count in shots])} shot{'s' * (shots != [1])}"
        settings = ", ".join(f"{key} {text_of(value)}" for key, value in each["settings"].items())
        reach = _of_teacher(each, params) if results.transductive else []
        also = f" ({listed(reach)} of the teacher as well)" if reach else ""
        lines.append(f"{each['backbone']}{where}: {settings}{also}")
    return lines


def _of_teacher(exception: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """The keys of an exception that hold for the teacher, whose own settings go before them."""
    block, run = params.get("teacher") or {}, params.get("run") or {}
    shots = exception.get("shots")
    drawn = not shots or any(count in shots for count in run.get("shots", [])[:1])  # its own draw
    if exception["backbone"] != block.get("backbone") or not drawn:
        return []
    return [key for key in exception["settings"] if key not in (block.get("settings") or {})]


RECIPE_HEADINGS = (
    "Backbone",
    "Stage one: lr, epochs, batch",
    "Stage two: lr, epochs, batch",
    "K",
    "ω_b",
    "ω_n",
    "Losses kept in stage two",
    "Couplings",
)


def imported(params: Mapping[str, Any], learner: str, stage: str) -> bool:
    """Whether P (``tuned``) or P' (``parallel``) of a backbone, or of the teacher, was imported."""
    return bool(((params.get("imported") or {}).get(learner) or {}).get(stage))


def stage_two(params: Mapping[str, Any], backbone: str) -> dict[str, Any]:
    """``dpc`` as it stands for one backbone."""
    common = dict(params.get("dpc") or {})
    own = (common.pop("by_backbone", None) or {}).get(backbone) or {}
    negatives = {**(common.get("negatives") or {}), **(own.get("negatives") or {})}
    return {**common, **own, "negatives": negatives}


def teacher(results: Results, params: Mapping[str, Any]) -> str:
    """The teacher's recipe as a sentence; empty where no transductive backbone ran."""
    block = params.get("teacher") or {}
    if not results.transductive or not block:
        return ""
    tuned = str(block.get("backbone", DASH))
    recipe = (params.get("backbones") or {}).get(tuned) or {}
    names = [results.names[each] for each in results.backbones if each in results.transductive]
    made = f"lr, epochs, batch {_recipe({**recipe, **(block.get('settings') or {})})}"
    return (
        f"Teacher of {', '.join(names)}: {results.names.get(tuned, tuned)} on CLIP "
        f"{block.get('model', DASH)} ({block.get('pretrained', DASH)}), seed "
        f"{block.get('seed', DASH)}, {IMPORTED if imported(params, TEACHER, 'tuned') else made}."
    )


def _recipe(block: Mapping[str, Any]) -> str:
    return ", ".join(_number(block.get(name)) for name in RECIPE)


def _number(value: Any) -> str:
    return DASH if value is None else f"{value:g}"


def _kept(runs: Sequence[Score]) -> str:
    """``kl, text_l1 (filtered classes)`` or ``none``: what stage two had beside its own loss."""
    texts = set()
    for score in runs:
        names = score.row.get("keep_losses")
        if names is None:  # the backbone's own choice: the losses that were recorded tell
            names = sorted(set(score.row.get("history") or {}).difference(MAIN_LOSSES))
        classes = score.row.get("regularize") or "filtered"
        texts.add(f"{', '.join(names)} ({classes} classes)" if names else "none")
    return " or ".join(sorted(texts)) or DASH


def _same(runs: Sequence[Score], name: str) -> str:
    found = {str(score.row[name]) for score in runs if score.row.get(name) is not None}
    return " or ".join(sorted(found)) or DASH
