"""One evaluated row as scores: who ran, and the accuracies under each way to choose ω_b.

A row is what one evaluated cell of the grid wrote (a plain dict).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dpc.errors import DpcError
from dpc.evaluation.statistics import harmonic_mean

Row = Mapping[str, Any]

RUNGS = ("ts", "dhno", "we")
KINDS = ("zero_shot", "baseline", "plain", "budget", *RUNGS, "dpc")
PROMPTLESS = ("zero_shot", "baseline")  # kinds that DPC is not for
SELECTIONS = ("last", "val", "test_oracle")
VALIDATED = "ω_b chosen on validation shots"
REQUIRED = ("dataset", "backbone", "dpc", "budget", "seed")


@dataclass(frozen=True)
class Contender:
    """What a line of a table is about: a method, and for DPC the way ω_b was chosen.

    The key names the method alone, as folders and rows do; the label names both. ``name`` and
    ``transductive`` are what the rows say of the backbone, see `Results.contender`.
    """

    backbone: str
    kind: str  # one of KINDS
    selection: str = "last"  # one of SELECTIONS; "last" means the weights of the run
    name: str = field(default="", compare=False)
    transductive: bool = field(default=False, compare=False)

    @property
    def key(self) -> str:
        """Short name: ``coop``, ``coop+dpc``, ``coop+budget``, ``coop+ts``, ``zero_shot``…"""
        alone = self.kind in (*PROMPTLESS, "plain")
        return self.backbone if alone else f"{self.backbone}+{self.kind}"

    @property
    def label(self) -> str:
        """Name for readers."""
        if self.kind == "zero_shot":
            return "Zero-shot CLIP"
        name = self.name or self.backbone
        if self.kind == "budget":
            return f"{name} (same budget)"
        if self.kind in ("plain", "baseline"):
            return name
        rule = {"val": f" ({VALIDATED})", "test_oracle": " (ω_b chosen on test)"}
        return f"{name} + {self.kind.upper()}{rule.get(self.selection, '')}"


@dataclass(frozen=True)
class Score:
    """Accuracies of one run on one data set, in percent, by metric."""

    dataset: str
    contender: Contender
    seed: int | None
    values: Mapping[str, float]
    omega_b: float | None
    row: Row

    def __getitem__(self, metric: str) -> float:
        """``base``, ``new``, …; ``h`` is the harmonic mean of these two."""
        if metric == "h":
            return harmonic_mean(self.values["base"], self.values["new"])
        return self.values[metric]

    @property
    def source(self) -> str:
        """The data set that was tuned on."""
        return str(self.row.get("source") or self.dataset)

    @property
    def applied(self) -> float | None:
        """The base weight at test time: 1 where base classes are read with P' alone."""
        alone = self.row.get("inference") == "parallel" and self.contender.selection == "last"
        return 1.0 if alone else self.omega_b

    @property
    def inference(self) -> str | None:
        """How base classes were read: a weight chosen on a curve is always one of the mix."""
        given = self.row.get("inference")
        return given if given is None or self.contender.selection == "last" else "mixed"


def scores_of(row: Row, metrics: Sequence[str], independent: Collection[str] = ()) -> list[Score]:
    """The score of a row and, for DPC, those of the other choices of ω_b.

    Args:
        row: evaluated row.
        metrics: accuracies that it holds.
        independent: those of them that ω_b has no part in. A choice of ω_b that does not state
            all others is no score: they would be those of another weight.
    """
    missing = [name for name in (*REQUIRED, *metrics) if name not in row]
    if missing:
        raise DpcError(f"an evaluated row lacks {', '.join(missing)}; it holds {sorted(row)}")
    dataset, seed, backbone = str(row["dataset"]), row["seed"], str(row["backbone"])
    name = str(row.get("label") or backbone)
    contender = Contender(backbone, _kind(row), "last", name, bool(row.get("transductive")))
    values = {metric: _percent(row, metric, row[metric]) for metric in metrics}
    result = [Score(dataset, contender, seed, values, row.get("omega_b"), row)]
    selected = row.get("selected") or {}
    dependent = [metric for metric in metrics if metric not in independent]
    for selection in SELECTIONS[1:]:
        choice = selected.get(selection)
        if contender.kind != "dpc" or choice is None or not choice.keys() >= set(dependent):
            continue
        other = replace(contender, selection=selection)
        own = {m: _percent(row, f"selected.{selection}.{m}", choice[m]) for m in dependent}
        result.append(Score(dataset, other, seed, values | own, choice["weight"], row))
    return result


def _kind(row: Row) -> str:
    if row["backbone"] == "zero_shot":
        return "zero_shot"
    if row.get("baseline") is not None:
        return "baseline"
    rung = row.get("rung")
    if rung is not None:
        if rung not in RUNGS:
            raise DpcError(f"an evaluated row has the rung {rung!r}; rungs are {', '.join(RUNGS)}")
        return str(rung)
    if row["dpc"]:
        return "dpc"
    return "budget" if row["budget"] else "plain"


def _percent(row: Row, name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 100:  # false for a value that is not a number as well
        raise DpcError(
            f"{name} of {row['backbone']} on {row['dataset']}, seed {row['seed']}, is {value}; "
            "accuracies are percent, 0 to 100: evaluate that cell again"
        )
    return number
