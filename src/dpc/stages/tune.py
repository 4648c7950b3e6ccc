"""`dpc tune`: stage one, the tuned prompt P of a backbone."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Optimizer, Params
from dpc.stages import slices
from dpc.stages.cells import Draw
from dpc.stages.inputs import shots_input, taught_input, teacher_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Input, Job, Made, device_of

if TYPE_CHECKING:
    from dpc.backbones.base import Backbone, Task
    from dpc.backbones.recipe import Recipe
    from dpc.clip.views import Bank


def job(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, budget: bool = False
) -> Job:
    """Tune ``backbone`` on the shots of one draw; a transductive one on the unlabelled training
    images of all classes.

    With ``budget``, for at least as many images as stages one and two see together.
    """
    require_dataset(params, dataset)
    params, seed = params.at(dataset, draw.shots), draw.seed

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        from dpc.stages.frozen import clip_for
        from dpc.stages.material import material

        clip = clip_for(params)
        unlabelled = traits(params, backbone)["transductive"]
        module, task = start(params, backbone, seed, inputs, unlabelled)
        recipe = stage_one_recipe(params.backbones[backbone], params.optimizer)
        with material(params, layout, dataset, clip, module, inputs.get("taught")) as at_hand:
            bank = at_hand.unlabelled() if unlabelled else at_hand.labelled(inputs["shots"])
            if budget:
                recipe = prolonged(params, backbone, recipe, len(bank.labels), inputs["shots"])
            what = f"{dataset} {backbone} {draw.title}"
            return {"tuned.safetensors": tuned(task, module, bank, recipe, seed, key, what)}

    stage = "budget" if budget else "tune"
    read = slices.budget(params, backbone) if budget else slices.tune(params, backbone)
    return Job(
        stage,
        {"dataset": dataset, "backbone": backbone, "shots": draw.shots, "seed": seed},
        read,
        stage_one_inputs(params, layout, dataset, backbone, draw, budget),
        {"tuned.safetensors": layout.tuned(dataset, backbone, draw, budget)},
        make,
        device_of(params),
    )


def stage_one_inputs(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, budget: bool
) -> dict[str, Input]:
    """The shots, unless a backbone is transductive (stage two's length follows from them in any
    case); the teacher, if it needs one."""
    found, described = {}, traits(params, backbone)
    if budget or not described["transductive"]:
        found["shots"] = shots_input(params, layout, dataset, draw, "train.")
    if described["needs_teacher"]:
        found["teacher"] = teacher_input(params, layout, dataset)
        found["taught"] = taught_input(params, layout, dataset)
    return found


def start(
    params: Params,
    backbone: str,
    seed: int,
    inputs: Mapping[str, Artifact],
    unlabelled: bool = False,
) -> tuple["Backbone", "Task"]:
    """The backbone before stage one, and the classes that it learns to tell apart: those that the
    protocol tunes on, or all of them where it learns from ``unlabelled`` images."""
    from dpc.backbones.base import make_task
    from dpc.stages.frozen import clip_for
    from dpc.stages.states import new_backbone, teacher_of

    clip = clip_for(params)
    names = inputs["teacher" if unlabelled else "shots"].results["classnames"]
    taught = teacher_of(params, inputs.get("teacher"), slice(len(names)))
    module = new_backbone(params, backbone, clip, seed, taught).to(clip.device)
    template = params.backbones["zero_shot"]["template"]
    return module, make_task(clip, module, names, template, taught)


def tuned(
    task: "Task",
    module: "Backbone",
    bank: "Bank",
    recipe: "Recipe",
    seed: int,
    key: str,
    what: str,
) -> Artifact:
    """Train ``module`` and pack it; goes on from the checkpoint of ``key``, if there is one."""
    import torch

    from dpc.backbones.tuning import tune
    from dpc.stages.checkpoints import Checkpoint
    from dpc.stages.states import arrays
    from dpc.training import items_an_epoch, steps_an_epoch

    checkpoint = Checkpoint(key, time.monotonic, what, recipe.epochs)
    with torch.enable_grad():
        history = tune(task, module, bank, recipe, seed, checkpoint.save, checkpoint.load())
    checkpoint.done()
    results = {
        "history": history,
        "steps": recipe.epochs * steps_an_epoch(len(bank.labels), recipe.batch),
        "images_seen": recipe.epochs * items_an_epoch(len(bank.labels), recipe.batch),
        "epochs": recipe.epochs,
        "learned": {name: list(value.shape) for name, value in module.named_parameters()},
    }
    return Artifact(arrays(module.state_dict()), results)


def stage_one_recipe(block: Mapping[str, Any], optimizer: Optimizer) -> "Recipe":
    """The recipe of stage one out of a backbone's block and the block ``optimizer``."""
    from dpc.backbones.recipe import Recipe

    return Recipe(
        block["lr"],
        block["epochs"],
        block["batch"],
        optimizer.momentum,
        optimizer.weight_decay,
        optimizer.warmup_lr,
        averaging_of(block),
    )


def averaging_of(block: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean and deviation of a backbone's average over epochs, as fractions; None without one."""
    if block.get("average_mean") is None:
        return None
    return block["average_mean"], block["average_std"]


def prolonged(
    params: Params, backbone: str, recipe: "Recipe", images: int, shots: Artifact
) -> "Recipe":
    """``recipe``, which sees ``images``, with epochs enough to see at least those of both stages.

    Stage two sees at most B·K images a step (K cut to the number of classes); what a batch drops
    because a class is in it already is not taken off, so the prolonged run is not the shorter one.
    """
    from dpc.training import items_an_epoch

    dpc, classes = params.stage_two(backbone), len(shots.results["classnames"])
    pairs = min(dpc.negatives.k, classes) if dpc.objective == "contrastive" else 1
    first = recipe.epochs * items_an_epoch(images, recipe.batch)
    second = dpc.epochs * items_an_epoch(len(shots.tensors["train.labels"]), dpc.batch) * pairs
    epochs = math.ceil((first + second) / items_an_epoch(images, recipe.batch))
    return dataclasses.replace(recipe, epochs=epochs)
