"""`dpc tune`: stage one, the tuned prompt P of a backbone."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpc.artifacts import Artifact
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.inputs import shots_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    from dpc.backbones.recipe import Recipe


def job(
    params: Params, layout: Layout, dataset: str, backbone: str, seed: int, budget: bool = False
) -> Job:
    """Tune ``backbone`` on the base classes' shots of one seed.

    With ``budget``, for at least as many images as stages one and two see together.
    """
    require_dataset(params, dataset)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        import torch

        from dpc.backbones.base import make_task
        from dpc.backbones.tuning import tune
        from dpc.clip.views import FrozenBank
        from dpc.stages.checkpoints import Checkpoint
        from dpc.stages.frozen import clip_for
        from dpc.stages.states import arrays, new_backbone, tensors
        from dpc.training import items_an_epoch, steps_an_epoch

        clip = clip_for(params)
        shots = tensors(inputs["shots"])
        bank = FrozenBank(shots["train.features"].to(clip.device), shots["train.labels"])
        classnames = inputs["shots"].results["classnames"]
        module = new_backbone(params, backbone, clip, seed).to(clip.device)
        task = make_task(clip, module, classnames, params.backbones["zero_shot"]["template"])
        recipe = stage_one_recipe(params, backbone)
        if budget:
            epochs = budget_epochs(params, recipe, len(bank.labels), len(classnames))
            recipe = dataclasses.replace(recipe, epochs=epochs)
        checkpoint = Checkpoint(key, time.monotonic, f"{dataset} {backbone}", recipe.epochs)
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
        return {"tuned.safetensors": Artifact(arrays(module.state_dict()), results)}

    stage = "budget" if budget else "tune"
    read = slices.budget(params, backbone) if budget else slices.tune(params, backbone)
    return Job(
        stage,
        {"dataset": dataset, "backbone": backbone, "seed": seed},
        read,
        {"shots": shots_input(params, layout, dataset, seed, "train.")},
        {"tuned.safetensors": layout.tuned(dataset, backbone, seed, budget)},
        make,
        device_of(params),
    )


def stage_one_recipe(params: Params, backbone: str) -> "Recipe":
    """The recipe of stage one out of a backbone's block and the block ``optimizer``."""
    from dpc.backbones.recipe import Recipe

    block, optimizer = params.backbones[backbone], params.optimizer
    return Recipe(
        block["lr"],
        block["epochs"],
        block["batch"],
        optimizer.momentum,
        optimizer.weight_decay,
        optimizer.warmup_lr,
    )


def budget_epochs(params: Params, recipe: "Recipe", images: int, classes: int) -> int:
    """Epochs of stage one that see at least the images of both stages.

    Stage two sees at most B·K images a step (K cut to the number of classes); what a batch drops
    because a class is in it already is not taken off, so the prolonged run is not the shorter one.
    """
    from dpc.training import items_an_epoch

    dpc = params.dpc
    pairs = min(dpc.negatives.k, classes) if dpc.objective == "contrastive" else 1
    first = recipe.epochs * items_an_epoch(images, recipe.batch)
    second = dpc.epochs * items_an_epoch(images, dpc.batch) * pairs
    return math.ceil((first + second) / items_an_epoch(images, recipe.batch))
