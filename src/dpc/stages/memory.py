"""Memory that runs out, here or in a process that decodes: one line that names the cell and what
takes less."""

import gc
from typing import TYPE_CHECKING

from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages.runner import Job, run

if TYPE_CHECKING:
    import torch

TRAININGS = ("tune", "budget", "finetune", "two_step")
# What errors of no type of their own say: the CPU's allocator, CUDA itself, its library.
SAID = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
# Of a process that ended; what was raised inside of one begins with another line.
STOPPED = "DataLoader worker (pid"


def run_within(params: Params, job: Job) -> bool:
    """`dpc.stages.runner.run`, in the memory that there is.

    Raises:
        DpcError: memory ran out, or a process that decodes images was stopped; or as
            `dpc.stages.runner.run`.
    """
    try:
        return run(job)
    except (MemoryError, RuntimeError) as problem:
        # torch raises it in a signal handler: wherever this process is when the other one ends
        if STOPPED in str(problem):
            raise DpcError(
                f"{job.title}: a process that decodes images was stopped (most likely memory or "
                "/dev/shm is full); write run.workers: 0, or a smaller number"
            ) from None
        if not _is_shortage(problem):
            raise
    # The error is gone here, and with it the tensors of the step that failed.
    raise DpcError(f"{job.title}: memory ran out; {_advice(params, job)}")


def _is_shortage(problem: MemoryError | RuntimeError) -> bool:
    named = isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError"
    return named or any(words in str(problem) for words in SAID)


def _advice(params: Params, job: Job) -> str:
    if job.stage == "prepare":  # no CLIP is loaded
        return "take --jobs 1, or a machine with more"
    if job.stage in TRAININGS:
        try:
            found = _of_training(params, job)
        except (MemoryError, RuntimeError) as problem:  # not even CLIP by itself finds room
            if not _is_shortage(problem):
                raise
            found = "take a smaller clip.model"
    else:
        ways = ["clip.precision=bf16"] if params.clip.precision == "fp32" else []
        ways += ["a smaller batch in teacher.settings"] if job.stage == "teacher" else []
        which = "teacher" if job.stage in ("teacher", "teacher_features") else "clip"
        found = f"take {', '.join([*ways, f'a smaller {which}.model'])}"
    shared = job.device == "cuda" and params.run.gpu_share > 1
    return f"{found}, or run.gpu_share=1" if shared else found


def _of_training(params: Params, job: Job) -> str:
    """What fits into the memory that is free now. Where the estimate says that the step which just
    failed would fit, it is wrong or others took their share: then half the batch."""
    from dpc.stages.advice import fitting
    from dpc.stages.dry_run import plan_of
    from dpc.stages.frozen import clip_for
    from dpc.stages.machine import available_memory

    device = clip_for(params).device
    _give_back(device)
    plan = plan_of(params, job)
    free = available_memory(device)
    limits = [plan.memory - 1] if free is None else [plan.memory - 1, free]
    if plan.batch > 1:
        limits.append(plan.memory_of(plan.batch // 2))
    return fitting(plan, min(limits))


def _give_back(device: "torch.device") -> None:
    """What torch keeps for the next tensors, to whoever counts what is free."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
