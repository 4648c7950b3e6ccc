"""The section on feature channels: what the numbers say of the claim behind mixing two prompts."""

from collections.abc import Sequence

from dpc.report.channel_figures import agreements, line_panel, profile_panels
from dpc.report.channels import (
    CONFIRMED,
    CONTRADICTED,
    GROUPS,
    OPEN,
    Line,
    Part,
    invariance_csv,
    lines,
    parts,
)
from dpc.report.context import Report
from dpc.report.sections import Gallery, Section, at_most_shots
from dpc.report.words import DASH, SPACE, amount, listed, points

WORDS = (
    "DPC mixes P and P' element by element. The paper's reason: tuning changes how large a "
    "prompt's channels are, hardly which of them are large. The size of a channel is its mean "
    "|value| over the tokens of a prompt, or over the features of the tuned classes; here sizes in "
    "P are correlated with sizes in P', each layer by itself, then averaged over layers, data sets "
    "and seeds.",
    "Prompts agree for other reasons as well, so three numbers stand beside: channels of P' in any "
    "order (chance); P moved by P' − P with that step's channels in any order, since a short step "
    "in any direction leaves most sizes as they were; and P tuned with another seed on the same "
    "data set, since CLIP's own scales and a common start make any two prompts alike.",
)
VERDICTS = {
    CONFIRMED: "The claim holds",
    CONTRADICTED: "The numbers contradict the claim",
    OPEN: "The numbers cannot tell",
}
HEADINGS = (
    "Part",
    "Runs",
    "Step's length by P's",
    "Pearson",
    "Spearman",
    "Step in any order",
    "Runs above / within / below",
    "Chance, 95 %",
    "Another seed",
    "Start",
    "Of the 32 largest (chance)",
)
LINE_HEADINGS = ("Backbone", "At P'", "Beyond P'", "Deepest below the straight line", "At t")


def section(report: Report) -> Section | None:
    """Verdict, figures, tables; None where no run measured channels."""
    results, context = report.results, report.context
    found, along = parts(results, context), lines(results)
    if not found:
        return None
    used = sorted({score.applied for part in found for score, _ in part.runs if score.applied})
    galleries = (
        Gallery([*agreements(results, found), *line_panel(results, along, used)], wide=True),
        Gallery(
            profile_panels(report, found),
            note="The size of each channel in P and in P', in the first layer of the first run: on "
            "the diagonal a channel has kept its size; a cloud along any other line through 0 has "
            "other sizes in the same order.",
        ),
    )
    values = {
        "headings": HEADINGS,
        "lines": [(part.contender, cells(part)) for part in found],
        "line_headings": LINE_HEADINGS,
        "along": [(line.contender, line_cells(line)) for line in along],
        "noun": report.protocol.omega_b.noun,
        "more": at_most_shots(report),
    }
    return Section(
        "channels",
        "Do P and P' use the same channels?",
        "Channels",
        "invariance.html.j2",
        (*WORDS, verdict(found), *along_words(along)),
        galleries,
        values,
        {"invariance.csv": invariance_csv(report)},
    )


def verdict(found: Sequence[Part]) -> str:
    """One paragraph: for which parts the claim holds, for which not, and why."""
    sentences = []
    for kind, start in VERDICTS.items():
        reasons: dict[str, list[str]] = {}
        for part in found:
            own, why = part.reason
            if own == kind:
                reasons.setdefault(why, []).append(f"{_of(part)} ({_numbers(part)})")
        clauses = [f"for {listed(names)}: {why}" for why, names in reasons.items()]
        if clauses:
            sentences.append(f"{start} {'; '.join(clauses)}.")
    if any(not part.others or part.other is None for part in found):
        sentences.append("Without a second seed nothing says how alike prompts tuned apart are.")
    return " ".join(sentences)


def _of(part: Part) -> str:
    return f"{part.contender.name}'s {GROUPS[part.group]}"


def _numbers(part: Part) -> str:
    """``0.60, step 0.56, another seed 0.28``."""
    step = part.statistic("pearson", "step", "mean") or 0.0
    texts = [f"{part.value:.2f}", f"step {step:.2f}"]
    texts += [f"another seed {part.other:.2f}"] if part.other is not None else []
    return ", ".join(texts)


def along_words(found: Sequence[Line]) -> list[str]:
    """Whether mixes lie as high as the straight line between P and P', which is what counts."""
    if not found:
        return []
    deep = [line for line in found if line.dip >= 0.005]
    flat = [line.contender.name for line in found if line not in deep]
    depths = [
        f"{amount(line.dip)} points with {line.contender.name} (t = {line.at:g})" for line in deep
    ]
    low = f"by at most {listed(depths)}" if depths else ""
    none = f"nowhere with {listed(flat)}" if flat else ""
    return [
        "What mixing needs is no valley between the prompts. The mixes' accuracies fall below the "
        f"straight line from P to P' {low}{', ' if low and none else ''}{none}; whether that is "
        "more than noise is not tested here."
    ]


def cells(part: Part) -> list[str]:
    """The columns of a part, as text."""
    low, high = (part.statistic("pearson", "step", end) for end in ("low", "high"))
    within = len(part.runs) - part.above - part.below
    kept, chance = part.statistic("top32"), part.statistic("top32", "permuted", "mean")
    return [
        _of(part),
        str(len(part.runs)),
        _text(part.mean(lambda run: run["step"])),
        _text(part.value),
        _text(part.statistic("spearman")),
        f"{_text(low)} to {_text(high)}",
        f"{part.above} / {within} / {part.below}",
        _text(part.statistic("pearson", "permuted", "high")),
        _text(part.other),
        _text(part.start),
        DASH if kept is None or chance is None else _shares(kept, chance),
    ]


def line_cells(line: Line) -> list[str]:
    """The columns of a line, as text."""
    return [
        line.contender.name,
        points(line.points.get(1.0)),
        f"{points(line.points[last])} at t = {last:g}" if (last := max(line.points)) > 1 else DASH,
        f"{line.dip:.2f}",
        DASH if line.at is None else f"{line.at:g}",
    ]


def _text(value: float | None) -> str:
    return DASH if value is None else points(value, sign=False)


def _shares(kept: float, chance: float) -> str:
    """``72 % (25 %)``, unbroken."""
    return f"{100 * kept:.0f} % ({100 * chance:.0f} %)".replace(" ", SPACE)
