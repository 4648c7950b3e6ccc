"""`dpc finetune`: stage two, the parallel prompt P' on the classes that P confuses."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpc.artifacts import Artifact
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import Draw
from dpc.stages.inputs import shots_input, taught_input, teacher_input, tuned_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Input, Job, Made, device_of

if TYPE_CHECKING:
    from dpc.backbones.base import Backbone, Task
    from dpc.clip.views import Bank
    from dpc.collaboration.recipe import Finetuning


def job(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, two_step: bool = False
) -> Job:
    """Clone P and tune the clone on the shots of one draw, hard negatives mined with P.

    With ``two_step``, the first rung of the ablation: plain cross-entropy, no negatives.
    """
    require_dataset(params, dataset)
    params, seed = params.at(dataset, draw.shots), draw.seed

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        from dpc.stages.frozen import clip_for
        from dpc.stages.material import material

        clip, shots = clip_for(params), inputs["shots"]
        tuned, task = start(params, backbone, inputs)
        recipe = stage_two_recipe(params, backbone, two_step)
        with material(params, layout, dataset, clip, tuned, inputs.get("taught")) as at_hand:
            bank = at_hand.labelled(shots)
            own_pool = pool_parts(params, backbone, two_step)
            pool = at_hand.labelled(shots, "pool") if own_pool else None
            what = f"{dataset} {backbone}{'+ts' if two_step else '+dpc'} {draw.title}"
            made = parallel(task, tuned, bank, pool, recipe, seed, key, what)
            return {"parallel.safetensors": made}

    return Job(
        "two_step" if two_step else "finetune",
        {"dataset": dataset, "backbone": backbone, "shots": draw.shots, "seed": seed},
        slices.finetune(params, backbone, two_step),
        stage_two_inputs(params, layout, dataset, backbone, draw, two_step),
        {"parallel.safetensors": layout.parallel(dataset, backbone, draw, two_step)},
        make,
        device_of(params),
    )


def stage_two_inputs(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, two_step: bool
) -> dict[str, Input]:
    """The shots, P, and the teacher if the backbone needs one."""
    parts = ("train.", *pool_parts(params, backbone, two_step))
    found = {
        "shots": shots_input(params, layout, dataset, draw, *parts),
        "tuned": tuned_input(params, layout, dataset, backbone, draw),
    }
    if traits(params, backbone)["needs_teacher"]:
        found["teacher"] = teacher_input(params, layout, dataset)
        if kept_losses(params, backbone):  # nothing else compares images with the teacher's
            found["taught"] = taught_input(params, layout, dataset)
    return found


def kept_losses(params: Params, backbone: str) -> list[str]:
    """Losses of the backbone that stage two keeps beside its own."""
    chosen = params.stage_two(backbone).keep_losses
    return traits(params, backbone)["kept_losses"] if chosen is None else chosen


def start(
    params: Params, backbone: str, inputs: Mapping[str, Artifact]
) -> tuple["Backbone", "Task"]:
    """The tuned backbone, and the classes that it was tuned on."""
    from dpc.backbones.base import make_task
    from dpc.stages.frozen import clip_for
    from dpc.stages.states import saved_backbone, teacher_of

    names = inputs["shots"].results["classnames"]
    taught = teacher_of(params, inputs.get("teacher"), slice(len(names)))
    clip = clip_for(params)
    tuned = saved_backbone(params, backbone, clip, inputs["tuned"], taught)
    template = params.backbones["zero_shot"]["template"]
    return tuned, make_task(clip, tuned, names, template, taught)


def parallel(
    task: "Task",
    tuned: "Backbone",
    bank: "Bank",
    pool: "Bank | None",
    recipe: "Finetuning",
    seed: int,
    key: str,
    what: str,
) -> Artifact:
    """Train P' and pack it; goes on from the checkpoint of ``key``, if there is one."""
    import torch

    from dpc.collaboration.finetune import finetune
    from dpc.stages.checkpoints import Checkpoint
    from dpc.stages.states import arrays

    checkpoint = Checkpoint(key, time.monotonic, what, recipe.epochs)
    with torch.enable_grad():
        found, statistics = finetune(
            task, tuned, bank, recipe, seed, checkpoint.save, checkpoint.load(), pool
        )
    checkpoint.done()
    results = {
        "history": statistics.history,
        "steps": statistics.steps,
        "images_seen": statistics.images_seen,
        "pairs_per_step": statistics.pairs_per_step,
    }
    return Artifact(arrays(found.state_dict()), results)


def batch_key(params: Params, backbone: str) -> str:
    """The parameter that sets the batch of a backbone's stage two, in full."""
    own = params.dpc.by_backbone.get(backbone, {})
    return f"dpc.by_backbone.{backbone}.batch" if "batch" in own else "dpc.batch"


def pool_parts(params: Params, backbone: str, two_step: bool) -> tuple[str, ...]:
    """Prefix of the tensors that negatives are drawn from, where those are not the shots."""
    dpc = params.stage_two(backbone)
    draws = dpc.objective == "contrastive" and not two_step
    return ("pool.",) if draws and dpc.negatives.pool == "train" else ()


def stage_two_recipe(params: Params, backbone: str, two_step: bool = False) -> "Finetuning":
    """The recipe of stage two out of the blocks ``dpc`` and ``optimizer``."""
    from dpc.collaboration.recipe import Finetuning
    from dpc.stages.tune import averaging_of

    dpc, optimizer = params.stage_two(backbone), params.optimizer
    return Finetuning(
        lr=dpc.lr,
        epochs=dpc.epochs,
        batch=dpc.batch,
        k=dpc.negatives.k,
        refill=dpc.negatives.refill,
        parametrization=dpc.parametrization,
        weight=dpc.weight,
        objective="cross_entropy" if two_step else dpc.objective,
        keep_losses=None if dpc.keep_losses is None else tuple(dpc.keep_losses),
        regularize=dpc.regularize,
        couplings=dpc.couplings,
        average=averaging_of(params.backbones[backbone]) if dpc.average else None,
        momentum=optimizer.momentum,
        weight_decay=optimizer.weight_decay,
        warmup_lr=optimizer.warmup_lr,
    )
