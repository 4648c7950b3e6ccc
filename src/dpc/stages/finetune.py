"""`dpc finetune`: stage two, the parallel prompt P' on the classes that P confuses."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices, together
from dpc.stages.cells import Draw, titled
from dpc.stages.elsewhere import given
from dpc.stages.imported import mark
from dpc.stages.inputs import (
    imported_input,
    shots_input,
    taught_input,
    teacher_input,
    tuned_input,
)
from dpc.stages.layout import Layout
from dpc.stages.negatives import recorded
from dpc.stages.runner import Input, Job, Made, device_of

if TYPE_CHECKING:
    from dpc.backbones.base import Backbone, Task
    from dpc.collaboration.finetune import Pair, Statistics
    from dpc.collaboration.recipe import Finetuning


def job(
    params: Params,
    layout: Layout,
    dataset: str,
    backbone: str,
    drawn: Sequence[Draw],
    two_step: bool = False,
) -> Job:
    """Clone P of each draw and tune the clone on its shots, hard negatives mined with P. Several
    draws take their steps together.

    With ``two_step``, the first rung of the ablation: plain cross-entropy, no negatives.
    """
    require_dataset(params, dataset)
    params = params.at(dataset, drawn[0].shots)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        parts = {draw: together.part(inputs, drawn, draw) for draw in drawn}
        cell = f"{dataset} {backbone}{'+ts' if two_step else '+dpc'} {titled(drawn)}"
        if mark(params, "parallel", backbone) and not two_step:
            made = given(
                params,
                "parallel",
                dataset,
                backbone,
                parts,
                lambda _, read: start(params, backbone, read),
            )
        else:
            made = trained(params, layout, dataset, backbone, parts, two_step, key, cell)
        return together.each("parallel.safetensors", drawn, made.__getitem__)

    return Job(
        "two_step" if two_step else "finetune",
        together.cell(dataset, backbone, drawn),
        slices.finetune(params, backbone, two_step, drawn),
        together.inputs(
            drawn,
            lambda draw: stage_two_inputs(params, layout, dataset, backbone, draw, two_step),
        ),
        together.each(
            "parallel.safetensors",
            drawn,
            lambda draw: layout.parallel(dataset, backbone, draw, two_step),
        ),
        make,
        device_of(params),
    )


def trained(
    params: Params,
    layout: Layout,
    dataset: str,
    backbone: str,
    parts: Mapping[Draw, Mapping[str, Artifact]],
    two_step: bool,
    key: str,
    what: str,
) -> dict[Draw, Artifact]:
    """P' of every draw, out of its inputs."""
    from contextlib import ExitStack

    from dpc.collaboration.finetune import Pair
    from dpc.stages.features import items_of
    from dpc.stages.frozen import clip_for
    from dpc.stages.material import material

    clip, pairs, images = clip_for(params), [], []
    with ExitStack() as stack:
        for draw, inputs in parts.items():
            tuned, task = start(params, backbone, inputs)
            at_hand = stack.enter_context(
                material(params, layout, dataset, clip, tuned, inputs.get("taught"))
            )
            bank, pool = at_hand.labelled(inputs["shots"]), None
            named = items_of(inputs["shots"], "train")
            images.append((named, named))
            if pool_parts(params, backbone, two_step):
                pool = at_hand.labelled(inputs["shots"], "pool")
                images[-1] = named, items_of(inputs["shots"], "pool")
            pairs.append(Pair(task, tuned, bank, draw.seed, pool))
        recipe = stage_two_recipe(params, backbone, two_step)
        found = parallels(pairs, recipe, key, what)
    return {
        draw: _packed(*made, recorded(made[1].negatives, *items))
        for draw, made, items in zip(parts, found, images, strict=True)
    }


def stage_two_inputs(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, two_step: bool
) -> dict[str, Input]:
    """The shots, P, and the teacher if the backbone needs one; P', if it was tuned elsewhere."""
    parts = ("train.", *pool_parts(params, backbone, two_step))
    found = {
        "shots": shots_input(params, layout, dataset, draw, *parts),
        "tuned": tuned_input(params, layout, dataset, backbone, draw),
    }
    if traits(params, backbone)["needs_teacher"]:
        found["teacher"] = teacher_input(params, layout, dataset)
        if kept_losses(params, backbone):  # nothing else compares images with the teacher's
            found["taught"] = taught_input(params, layout, dataset)
    if not two_step:
        found |= imported_input(params, "parallel", dataset, backbone, draw)
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


def parallels(
    pairs: Sequence["Pair"], recipe: "Finetuning", key: str, what: str
) -> list[tuple["Backbone", "Statistics"]]:
    """Train P' of each; goes on from the checkpoint of ``key``, if there is one."""
    import torch

    from dpc.collaboration.finetune import finetune_together
    from dpc.stages.checkpoints import Checkpoint

    checkpoint = Checkpoint(key, time.monotonic, what, recipe.epochs)
    with torch.enable_grad():
        found = finetune_together(pairs, recipe, checkpoint.save, checkpoint.load())
    checkpoint.done()
    return found


def _packed(
    parallel: "Backbone",
    statistics: "Statistics",
    negatives: tuple[dict[str, Any], dict[str, Any]],
) -> Artifact:
    from dpc.stages.states import arrays

    tensors, results = negatives
    return Artifact(
        arrays(parallel.state_dict()) | tensors,
        {
            "history": statistics.history,
            "steps": statistics.steps,
            "images_seen": statistics.images_seen,
            "pairs_per_step": statistics.pairs_per_step,
            **results,
        },
    )


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
