"""Cells of the grid, and the rows that each of them gives to a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dpc.baselines import BASELINES
from dpc.params.sections import Dpc, Params
from dpc.params.sweep_rules import shots_of

ZERO_SHOT = "zero_shot"
# Rungs of the paper's ablation below the whole method: stage two with plain cross-entropy, with
# hard negatives and L_CL, and with one mix for base and new classes.
RUNGS = ("ts", "dhno", "we")
PARTS = ("main", "budget", "ablation")


@dataclass(frozen=True)
class Draw:
    """A few-shot draw: training images of each class (0: all), and its seed."""

    shots: int
    seed: int

    @property
    def name(self) -> str:
        """``shots16-seed1``: the name of its files."""
        return f"shots{self.shots}-seed{self.seed}"

    @property
    def title(self) -> str:
        """It in words: ``16 shots seed 1``."""
        return f"{self.shots or 'all'} shots seed {self.seed}"


def draws(params: Params) -> list[Draw]:
    """Every draw of the grid: the shots, and of each number all seeds."""
    return [Draw(shots, seed) for shots in params.run.shots for seed in params.run.seeds]


def draws_of_sweep(params: Params, name: str) -> list[Draw]:
    """Every draw of a sweep's points."""
    counts = dict.fromkeys(shots_of(params, each) for each in params.sweeps[name].points.values())
    return [Draw(shots, seed) for shots in counts for seed in params.run.seeds]


def titled(drawn: Sequence[Draw]) -> str:
    """The draws in words: ``16 shots seed 1``, or ``16 shots seeds 1, 2``."""
    first, *others = drawn
    if not others:
        return first.title
    return f"{first.title.replace('seed', 'seeds')}, {', '.join(str(o.seed) for o in others)}"


def trained_together(params: Params, chosen: Sequence[Draw]) -> list[tuple[Draw, ...]]:
    """The chosen draws and those that are trained in one forward pass with them: of every number
    of shots ``run.together`` seeds of the grid, in their order; a seed outside it alone."""
    seeds, size = params.run.seeds, params.run.together
    groups = [tuple(seeds[start : start + size]) for start in range(0, len(seeds), size)]
    of = {seed: group for group in groups for seed in group}
    found = [
        tuple(Draw(draw.shots, seed) for seed in of.get(draw.seed, (draw.seed,))) for draw in chosen
    ]
    return list(dict.fromkeys(found))


def trained_with(params: Params, seeds: Sequence[int]) -> list[int]:
    """``seeds``, and those that are trained together with them."""
    groups = trained_together(params, [Draw(0, seed) for seed in seeds])
    return list(dict.fromkeys(draw.seed for group in groups for draw in group))


@dataclass(frozen=True)
class Method:
    """A row of the table: a backbone alone (""), "dpc" on it, "budget" or a rung of the ablation.

    With "budget" the backbone is tuned for as many images as both stages see together. Zero-shot
    CLIP and the baselines stand in a backbone's place.
    """

    backbone: str
    kind: str = ""

    @property
    def name(self) -> str:
        """``coop``, ``coop+dpc``, ``coop+budget``, ``coop+ts``…; the name of its folder as well."""
        return f"{self.backbone}+{self.kind}" if self.kind else self.backbone

    @property
    def part(self) -> str:
        """The part of the grid that it belongs to, one of ``PARTS``."""
        if self.kind == "budget":
            return "budget"
        return "ablation" if self.rung else "main"

    @property
    def rung(self) -> str | None:
        """Its rung of the ablation, or None."""
        return self.kind if self.kind in RUNGS else None

    @property
    def has_parallel(self) -> bool:
        """Whether there is a parallel prompt beside the tuned one."""
        return self.kind == "dpc" or self.rung is not None

    @property
    def two_step(self) -> bool:
        """Whether its stage two is the plain one: cross-entropy on the images alone."""
        return self.kind == "ts"

    @property
    def seedless(self) -> bool:
        """Zero-shot CLIP draws nothing and has one result for all seeds."""
        return self.backbone == ZERO_SHOT

    @property
    def is_baseline(self) -> bool:
        """A classifier without prompts; of the data sets that something is trained on alone."""
        return self.backbone in BASELINES

    def weights(self, dpc: Dpc) -> tuple[float, float]:
        """ω_b and ω_n: shares of the parallel prompt on base and new classes.

        Reading base classes with P' alone is a weight of 1.
        """
        if not self.has_parallel:
            return 0.0, 0.0
        base = 1.0 if dpc.inference == "parallel" else dpc.weight
        return {"dpc": (base, dpc.weight_new), "we": (base, base)}.get(self.kind, (1.0, 1.0))


def methods(params: Params, dataset: str | None = None) -> list[Method]:
    """All rows of the grid, in the order of the table; those that ``dataset`` has."""
    baselines = [] if dataset in params.run.targets else params.run.baselines
    rows = [m for name in params.run.backbones for m in _of(params, name)]
    return [Method(ZERO_SHOT), *map(Method, baselines), *rows]


def _of(params: Params, backbone: str) -> Iterator[Method]:
    yield Method(backbone)
    if backbone in params.run.budget:
        yield Method(backbone, "budget")
    if backbone in params.run.ablations:
        yield from (Method(backbone, rung) for rung in RUNGS)
    yield Method(backbone, "dpc")


def draws_of(method: Method, params: Params) -> list[Draw | None]:
    """The draws that a row has results for."""
    return [None] if method.seedless else list(draws(params))
