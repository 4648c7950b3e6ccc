"""`dpc tune --dry-run`, `dpc finetune --dry-run`: what a training will take, without running it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dpc.params.backbones import traits
from dpc.params.sections import Params
from dpc.stages.runner import Job

if TYPE_CHECKING:
    from dpc.stages.estimate import Plan


def plans(params: Params, jobs: list[Job]) -> Iterator[str]:
    """A paragraph for each training: tensors, steps, memory, time.

    Seeds differ in none of it, so that one stands for all. What stage two starts from is not
    looked at: it has the shapes of a backbone before stage one.

    Raises:
        DpcError: what a training reads is missing, or it cannot fit into memory; the line names
            the option that fits.
    """
    from dpc.stages.advice import describe, refuse
    from dpc.stages.frozen import clip_for
    from dpc.stages.machine import available_memory

    told = set()
    for job in jobs:
        cell = (job.stage, *(job.cell[key] for key in ("dataset", "backbone", "shots")))
        if cell in told:
            continue
        told.add(cell)
        if elsewhere := [e.path for role, e in job.inputs.items() if role.endswith("imported")]:
            yield f"{job.title}: nothing to train, the prompts come from {elsewhere[0]}"
            continue
        plan = plan_of(params, job)
        refuse(plan, available_memory(clip_for(params).device))
        yield describe(plan)


def plan_of(params: Params, job: Job) -> "Plan":
    """The plan of a training: stage ``tune``, ``budget``, ``finetune`` or ``two_step``."""
    from dpc.stages import estimate, together
    from dpc.stages.cells import Draw
    from dpc.stages.features import items_of
    from dpc.stages.finetune import batch_key, stage_two_recipe
    from dpc.stages.tune import prolonged, stage_one_recipe, start

    name, shots = job.cell["backbone"], job.cell["shots"]
    seeds = job.cell.get("seeds", [job.cell.get("seed")])
    drawn = [Draw(shots, seed) for seed in seeds]
    params, seed = params.at(job.cell["dataset"], shots), seeds[0]
    read = {role: one.read() for role, one in job.inputs.items() if not role.endswith("tuned")}
    inputs = together.part(read, drawn, drawn[0])
    two = job.stage in ("finetune", "two_step")
    unlabelled = traits(params, name)["transductive"] and not two
    module, task = start(params, name, seed, inputs, unlabelled)
    source, part = (inputs["taught"], "image") if unlabelled else (inputs["shots"], "train")
    images = len(items_of(source, part))
    title = job.title if len(drawn) > 1 else job.title.removesuffix(f" seed {seed}")
    if two:
        recipe = stage_two_recipe(params, name, job.stage == "two_step")
        place = batch_key(params, name)
        plan = estimate.finetuning(title, task, module, images, recipe, place)
        return estimate.together(plan, len(drawn))
    first = stage_one_recipe(params.backbones[name], params.optimizer)
    if job.stage == "budget":
        first = prolonged(params, name, first, images, inputs["shots"])
    plan = estimate.tuning(title, task, module, images, first, f"backbones.{name}.batch")
    return estimate.together(plan, len(drawn))
