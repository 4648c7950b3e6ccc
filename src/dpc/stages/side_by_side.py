"""Several cells beside each other, each in a process of its own kind of work."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any

from dpc.errors import DpcError
from dpc.stages.runner import Job

Work = Callable[[Job], bool]


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(work: Work, groups: Sequence[Sequence[Job]], processes: int = 1) -> int:
    """Do ``work`` for every group, the jobs of a group one after the other.

    With more than one process this one stays free of torch: children that are forked from it
    import torch once, for all of the cells that they take, and a fork of its threads would hang.
    Each takes a GPU of its own, where there are any. Results do not depend on which process made
    them.

    Returns:
        For how many jobs ``work`` was true.

    Raises:
        DpcError: what a cell refused; cells that run beside it are finished first.
    """
    if processes <= 1 or not hasattr(os, "fork"):
        return sum(work(job) for group in groups for job in group)
    context = multiprocessing.get_context("fork")
    taken, worked, problems = context.Value("i", 0), context.Value("i", 0), context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(work, groups, taken, worked, problems, os.getpid()))
        for _ in range(min(processes, len(groups)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if not problems.empty():
        raise problems.get()
    if any(worker.exitcode for worker in workers):
        codes = ", ".join(str(worker.exitcode) for worker in workers)
        raise DpcError(f"a process of this stage was stopped (exit codes {codes}); run it again")
    return worked.value


def _work(
    work: Work,
    groups: Sequence[Sequence[Job]],
    taken: Any,
    worked: Any,
    problems: Any,
    parent: int,
) -> None:
    """Take one group after the other, until none is left, one fails, or the parent is gone."""
    try:
        while os.getppid() == parent and problems.empty():
            with taken.get_lock():
                index, taken.value = taken.value, taken.value + 1
            if index >= len(groups):
                return
            done = sum(work(job) for job in groups[index])
            with worked.get_lock():
                worked.value += done
    except DpcError as problem:
        problems.put(problem)
    except KeyboardInterrupt:
        os._exit(130)  # the parent says it
