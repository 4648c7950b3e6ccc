"""What the sweeps of a grid do beside it: points that the grid is not, and trainings, each once."""

from collections.abc import Iterator
from dataclasses import dataclass

from dpc.params.sections import Params
from dpc.params.sweep_rules import applied, lacking, resolved, shots_of
from dpc.stages import slices


@dataclass(frozen=True)
class Point:
    """A point of a sweep in one cell.

    Attributes:
        params: its parameters.
        shots: its number of shots.
        trains: of "tune" and "finetune" what neither the grid nor an earlier point trains.
    """

    params: Params
    shots: int
    trains: tuple[str, ...]

    def beside(self, grid: Params) -> list[tuple[str, int, bool]]:
        """Features that ``grid`` does not have: of "shots" (their number, and whether of all
        training images), of a "teacher" (views of an image)."""
        found = []
        pool, views = slices.pool_of_all(self.params), slices.student_views(self.params)
        if self.shots not in grid.run.shots or pool != slices.pool_of_all(grid):
            found.append(("shots", self.shots, pool))
        if views != slices.student_views(grid):
            found.append(("teacher", views, False))
        return found


def points_beside(params: Params, dataset: str, backbone: str) -> Iterator[Point]:
    """The points of all sweeps in a cell, without those that are the grid itself."""
    known: set[str] = set()
    for shots in params.run.shots:
        known |= set(_trainings(resolved(params, dataset, shots), backbone, shots).values())
    for name in params.run.sweeps:
        points = {} if lacking(params, name, backbone) else params.sweeps[name].points
        for changes in points.values():
            shots = shots_of(params, changes)
            there = resolved(params, dataset, shots)
            here = applied(there, backbone, changes)
            if here is there and shots in params.run.shots:
                continue
            made = _trainings(here, backbone, shots)
            yield Point(here, shots, tuple(s for s, read in made.items() if read not in known))
            known |= set(made.values())


def _trainings(params: Params, backbone: str, shots: int) -> dict[str, str]:
    """By stage, what tells its training from others of the cell."""
    block = repr((shots, params.backbones[backbone]))
    return {"tune": block, "finetune": repr((block, slices.stage_two(params, backbone)))}
