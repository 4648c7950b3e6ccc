"""Cells of the grid, and the rows that each of them gives to a table."""

from dataclasses import dataclass

from dpc.params.sections import Params

ZERO_SHOT = "zero_shot"
DPC_SUFFIX = "+dpc"
BUDGET_SUFFIX = "+budget"


@dataclass(frozen=True)
class Method:
    """A row of the table: a backbone alone, with DPC, or tuned for DPC's whole budget."""

    backbone: str
    dpc: bool = False
    budget: bool = False

    @property
    def name(self) -> str:
        """``coop``, ``coop+dpc`` or ``coop+budget``; the name of its folder as well."""
        suffix = DPC_SUFFIX if self.dpc else BUDGET_SUFFIX if self.budget else ""
        return self.backbone + suffix

    @property
    def seedless(self) -> bool:
        """Zero-shot CLIP draws nothing and has one result for all seeds."""
        return self.backbone == ZERO_SHOT


def methods(params: Params) -> list[Method]:
    """All rows of the grid, in the order of the table."""
    found = [Method(ZERO_SHOT)]
    for backbone in params.run.backbones:
        found.append(Method(backbone))
        if backbone in params.run.budget:
            found.append(Method(backbone, budget=True))
        found.append(Method(backbone, dpc=True))
    return found


def seeds_of(method: Method, params: Params) -> list[int | None]:
    """The seeds that a row has results for."""
    return [None] if method.seedless else list(params.run.seeds)
