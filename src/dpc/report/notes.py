"""What a reader must know to read the tables, in sentences."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dpc.report.baseline_rules import rules
from dpc.report.context import Report
from dpc.report.headline import gains
from dpc.report.rows import Results
from dpc.report.tables import Table


def notes(report: Report, table: Table) -> list[str]:
    """The notes below the main table."""
    results, protocol = report.results, report.protocol
    seeds = ", ".join(str(seed) for seed in results.seeds) or "none"
    lines = [
        f"Top-1 accuracy in percent on the test split, mean ± standard deviation over the seeds "
        f"({seeds}; n − 1 in the denominator; one seed has no deviation, zero-shot CLIP no seed).",
        *protocol.rules,
    ]
    if "h" in protocol.metrics:
        lines.append(
            "H is the harmonic mean of the mean base and the mean new accuracy; its deviation is "
            "that of the seeds' own H. The average's H is the H of the average base and new, as "
            "papers print it; the mean of the data sets' H stands beside it."
        )
    lines += [
        split_note(report.context.datasets),
        f"Selection: the last epoch, never a checkpoint chosen on test images. {omega(results)}",
    ]
    images = "Images seen" in table.extras
    seen = (
        "Images seen: training images that a run was shown, all its stages together, mean over "
        "the seeds. "
    )
    lines.append(
        (seen if images else "")
        + "Bold: the best of each column, on the numbers as printed"
        + (", transductive rows apart." if results.transductive else ".")
    )
    lines += rules(results)
    lines += _fixed(report)
    lines += _imported(results)
    shown = [line for block in table.blocks for line in block.lines]
    if any(line.incomplete for line in shown):
        lines.append("† fewer seeds than the others.")
    if any(summary is None for line in shown for summary in line.shown.values()):
        lines.append("A dash: not run; a method has an average only where it ran on every set.")
    return lines


def _fixed(report: Report) -> list[str]:
    """Why DPC's rows repeat their backbone's on targets."""
    found = [gain for group in gains(report.series).values() for gain in group]
    if not report.protocol.transfers or not any(gain.fixed for gain in found):
        return []
    return [
        "With ω_n = 0 a target is read with the tuned prompt alone, the very prompt of the "
        "backbone: DPC's numbers on targets are the backbone's to the digit, by construction, and "
        "a test between them would say nothing."
    ]


def _imported(results: Results) -> list[str]:
    """Whose prompts were tuned elsewhere, and which of them in other sentences."""
    symbols, found, others = {"tuned": "P", "parallel": "P'"}, set(), set()
    for (_, contender), scores in results.scores.items():
        for score in scores:
            for role, sentences in (score.row.get("imported") or {}).items():
                prompt = f"{symbols[role]} of {contender.name or contender.backbone}"
                found.add(prompt)
                if sentences and sentences["differ"]:
                    count = f"{sentences['differ']} of {sentences['all']}"
                    others.add(f"{prompt} on {score.source} ({count} differ)")
    lines = []
    if found:
        lines.append(
            f"Tuned elsewhere and imported: {', '.join(sorted(found))}; images and steps are those "
            "of this run alone."
        )
    if others:
        lines.append(
            "Imported from a run with other sentences (class names, words or CLIP): "
            f"{', '.join(sorted(others))}."
        )
    return lines


def split_note(datasets: Sequence[Mapping[str, Any]]) -> str:
    """How train and test were split, by data set where the rules differ."""
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


def omega(results: Results) -> str:
    """The weights in use, and how the mix was trained and applied."""
    used: dict[str, list[str]] = {}
    for (_, contender), scores in results.scores.items():
        if (contender.kind, contender.selection) == ("dpc", "last"):
            for score in scores:
                fields = {name: score.row.get(name) for name in ("omega_n", "parametrization")}
                fields |= {"omega_b": score.applied, "inference": score.inference}
                for name, value in fields.items():
                    if value is not None:
                        used.setdefault(name, []).append(text_of(value))
    parts = {name: " or ".join(sorted(set(values))) for name, values in used.items()}
    if not parts:
        return ""
    symbols = {"omega_b": "ω_b", "omega_n": "ω_n"}
    if results.protocol.omega_n is None:
        del symbols["omega_n"]
    fixed = ", ".join(f"{each} = {parts[name]}" for name, each in symbols.items() if name in parts)
    modes = ", ".join(f"{n} “{parts[n]}”" for n in ("inference", "parametrization") if n in parts)
    return f"DPC: {fixed or 'weights not recorded'}, fixed before the run" + (
        f" ({modes})." if modes else "."
    )


def text_of(value: Any) -> str:
    """A value of the params, as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(text_of(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
