"""Which cell of a tree a person means by a folder or a file of results and a few names."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dpc.errors import DpcError
from dpc.files import is_file, is_folder
from dpc.params.load import FILE
from dpc.params.sections import Params
from dpc.stages.cells import Draw, draws
from dpc.stages.layout import Layout

STAGES = ("finetune", "tune")
_DRAW = re.compile(r"shots(\d+)-seed(\d+)")
AXES = ("dataset", "backbone", "shots", "seed")
# How to come by the parameters of a tree that was made with overrides.
OVERRIDDEN = (
    "made with overrides? `dpc params --from params.yaml dpc.weight=0.5 --out FILE` writes them"
)


class Named(NamedTuple):
    """What is said of a cell; None: anything will do."""

    dataset: str | None = None
    backbone: str | None = None
    shots: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Place:
    """A tree of results, and what its path says of a cell."""

    layout: Layout
    named: Named

    def params_file(self, given: Path) -> Path:
        """The parameters of the tree: those that are named, or the file beside the results.

        Raises:
            DpcError: there is none beside them.
        """
        beside = self.layout.root.parent / FILE
        if given != Path(FILE):
            return given
        if not beside.is_file():
            raise DpcError(
                f"{beside} is missing: name the parameters that {self.layout.root} was made with, "
                f"--params FILE; {OVERRIDDEN}"
            )
        return beside

    def joined(self, said: Named) -> Named:
        """What the path and the command line say of a cell.

        Raises:
            DpcError: they contradict each other.
        """
        for axis, wanted, own in zip(AXES, said, self.named, strict=True):
            if None not in (wanted, own) and wanted != own:
                raise DpcError(
                    f"--{axis} {wanted} contradicts --run, the file of a cell of {axis} {own}; "
                    "leave one of them out"
                )
        given = {axis: value for axis, value in said._asdict().items() if value is not None}
        return self.named._replace(**given)


class Cell(NamedTuple):
    """A cell that has both prompts; the dataset is the one that is tested."""

    dataset: str
    backbone: str
    draw: Draw


def place_of(run: Path) -> Place:
    """The tree that a folder or a file of results belongs to.

    Args:
        run: a folder of results, the project folder that holds it, or the file of a cell.

    Raises:
        DpcError: it is none of these.
    """
    if is_file(run):
        return _place_of_file(run)
    if not is_folder(run):
        raise DpcError(f"--run {run} does not exist; {_EXPECTED}")
    if (run / "prompts.safetensors").is_file() or (run / "classes.safetensors").is_file():
        raise DpcError(
            f"--run {run} is what `dpc export` wrote for other programs; its README.md shows how "
            "to predict with it. Here name the results that it was made of"
        )
    for folder in (run, run / Layout().root):
        if any((folder / stage).is_dir() for stage in STAGES):
            return Place(Layout(folder), Named())
    raise DpcError(f"--run {run} holds neither tune/ nor finetune/; {_EXPECTED}")


_EXPECTED = (
    "a folder of results is expected, or the file of a cell, "
    "results/finetune/DATASET/BACKBONE/shotsN-seedM.safetensors"
)


def _place_of_file(run: Path) -> Place:
    drawn = _DRAW.fullmatch(run.stem)
    parents = run.resolve().parents
    if drawn is None or run.suffix != ".safetensors" or parents[2].name not in STAGES:
        raise DpcError(
            f"--run {run} is not the file of a cell; {_EXPECTED}. Prompts that `dpc import` took "
            "from elsewhere take the place of a stage: see docs/exchange.md"
        )
    shots, seed = map(int, drawn.groups())
    here = Path.cwd()
    root = parents[3].relative_to(here) if parents[3].is_relative_to(here) else parents[3]
    return Place(Layout(root), Named(parents[1].name, parents[0].name, shots, seed))


def cell_of(params: Params, layout: Layout, named: Named) -> Cell:
    """The only cell with both prompts that what is said fits.

    Raises:
        DpcError: nothing fits, or several cells do; the line says what there is.
    """
    fitting = [
        Cell(dataset, backbone, draw)
        for dataset in params.tested
        for backbone in params.run.backbones
        for draw in draws(params)
        if layout.parallel(params.source_of(dataset), backbone, draw).is_file()
    ]
    if not fitting:
        raise DpcError(
            f"{layout.root} holds no parallel prompt of this grid; run `dpc finetune`, or "
            "`snakemake --cores all all`"
        )
    for axis, wanted in zip(AXES, named, strict=True):
        if wanted is None:
            continue
        there = _values(fitting, axis)
        fitting = [cell for cell in fitting if _value(cell, axis) == wanted]
        if not fitting:
            raise DpcError(
                f"--{axis} {wanted} is not in {layout.root}; {_hint(str(wanted), there)}"
            )
    if len(fitting) > 1:
        open_ = {axis: _values(fitting, axis) for axis in AXES}
        said = "; ".join(f"--{a} {' or '.join(v)}" for a, v in open_.items() if len(v) > 1)
        raise DpcError(f"{layout.root} holds {len(fitting)} such cells; choose: {said}")
    return fitting[0]


def _value(cell: Cell, axis: str) -> str | int:
    return getattr(cell.draw if axis in ("shots", "seed") else cell, axis)


def _values(cells: list[Cell], axis: str) -> list[str]:
    return list(dict.fromkeys(str(_value(cell, axis)) for cell in cells))


def _hint(wanted: str, there: list[str]) -> str:
    near = difflib.get_close_matches(wanted, there, 1)
    return f"there is {', '.join(there)}" + (f"; did you mean {near[0]}?" if near else "")
