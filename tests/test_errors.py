"""A problem is the same after it crossed processes."""

import pickle

import pytest

from dpc.datasets.base import Undecodable
from dpc.errors import DpcError, ParamsError, TrainingError
from dpc.stages.side_by_side import run_all

PROBLEMS = {
    DpcError: DpcError("a.png is missing"),
    ParamsError: ParamsError(["one line", "another one"]),
    TrainingError: TrainingError("step 3: the loss is nan"),
    Undecodable: Undecodable("a.png", "empty"),
}


def kinds(kind: type) -> set[type]:
    return {kind}.union(*map(kinds, kind.__subclasses__()))


def test_every_kind_of_problem_is_here():
    assert set(PROBLEMS) == {kind for kind in kinds(DpcError) if kind.__module__[:4] == "dpc."}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=lambda problem: type(problem).__name__)
def test_a_problem_of_another_process_is_whole(problem):
    def refuse(_):
        raise problem

    with pytest.raises(type(problem)) as raised:
        run_all(refuse, [[1], [2]], 2)
    for found in (raised.value, pickle.loads(pickle.dumps(problem))):
        assert type(found) is type(problem) and str(found) == str(problem)
        assert (vars(found), found.exit_code) == (vars(problem), problem.exit_code)
