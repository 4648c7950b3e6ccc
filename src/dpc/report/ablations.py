"""The ablation: what each part of DPC adds to a backbone, rung by rung."""

from collections.abc import Iterator
from dataclasses import dataclass

from dpc.report.paper_numbers import ablation
from dpc.report.rows import Cell, Results
from dpc.report.scores import RUNGS, Contender, Score
from dpc.report.tables import AVERAGE

# kind -> name of the rung, and what it is, in one line
LADDER = {
    "plain": ("backbone", "the tuned prompt alone"),
    "ts": (
        "+ TS",
        "two stages: a copy of it is trained on, by plain cross-entropy over all base classes, and "
        "reads every class alone",
    ),
    "dhno": (
        "+ DHNO",
        "the second stage learns from hard negatives by the contrastive loss instead",
    ),
    "we": ("+ WE", "weighting: one mix of both prompts, at ω_b, reads base and new classes alike"),
    "dpc": ("+ DE", "decoupling: new classes are read at their own weight ω_n; this is DPC"),
}


@dataclass(frozen=True)
class Rung:
    """One line of the ablation: a contender on one data set, or on the average."""

    dataset: str
    contender: Contender
    weights: tuple[str, str]  # ω_b and ω_n, "" where there is none
    cell: Cell | None

    @property
    def name(self) -> str:
        """``CoOp``, ``+ TS``, …, ``+ DE``."""
        alone = self.contender.kind == "plain"
        return self.contender.name if alone else LADDER[self.contender.kind][0]

    @property
    def images(self) -> str:
        """Images seen in each step of the last stage, with one decimal."""
        if self.cell is None or self.cell.images_per_step is None:
            return ""
        return f"{self.cell.images_per_step:.1f}"

    @property
    def paper(self) -> str:
        """The paper's base, new and H of this rung, which it prints for CoOp alone."""
        if self.contender.backbone != "coop":
            return ""
        return " / ".join(f"{value:.2f}" for value in ablation()[rung_key(self.contender)])


def rungs(results: Results, dataset: str = AVERAGE) -> Iterator[list[Rung]]:
    """The ladder of each ablated backbone, from the backbone alone up to DPC.

    Args:
        results: of `dpc.report.rows.ladder`.
        dataset: whose lines; the average over the data sets if left out.
    """
    average = dataset == AVERAGE
    for backbone in results.backbones:
        contenders = [results.contender(backbone, kind) for kind in LADDER]
        yield [
            Rung(
                dataset,
                contender,
                _weights(_runs(results, contender, dataset)),
                results.average(contender) if average else results.cell(dataset, contender),
            )
            for contender in contenders
        ]


def rung_key(contender: Contender) -> str:
    """Name of a rung in files: ``backbone``, ``ts``, ``dhno``, ``we`` or ``de``."""
    kind = contender.kind
    return kind if kind in RUNGS else {"plain": "backbone", "dpc": "de"}[kind]


def _runs(results: Results, contender: Contender, dataset: str) -> list[Score]:
    sets = results.datasets if dataset == AVERAGE else (dataset,)
    return [score for name in sets for score in results.runs(name, contender)]


def _weights(runs: list[Score]) -> tuple[str, str]:
    base = sorted({score.applied for score in runs if score.applied is not None})
    new = sorted({float(s.row["omega_n"]) for s in runs if s.row.get("omega_n") is not None})
    return " or ".join(f"{w:g}" for w in base), " or ".join(f"{w:g}" for w in new)
