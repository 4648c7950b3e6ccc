"""`dpc tune`: stage one, the tuned prompt P of a backbone."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpc.artifacts import Artifact
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    from dpc.backbones.recipe import Recipe


def job(
    params: Params, layout: Layout, dataset: str, backbone: str, seed: int, budget: bool = False
) -> Job:
    """Tune ``backbone`` on the base classes' shots of one seed.

    With ``budget``, for as many images as stages one and two see together: each epoch of stage two
    sees at most K images for each of its own, so E₁ + K·E₂ epochs are at least as many.
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

        clip = clip_for(params)
        shots = tensors(inputs["shots"])
        bank = FrozenBank(shots["train.features"].to(clip.device), shots["train.labels"])
        classnames = inputs["shots"].results["classnames"]
        module = new_backbone(params, backbone, clip, seed).to(clip.device)
        task = make_task(clip, module, classnames, params.backbones["zero_shot"]["template"])
        recipe = stage_one_recipe(params, backbone, len(classnames), budget)
        checkpoint = Checkpoint(key, time.monotonic)
        with torch.enable_grad():
            history = tune(task, module, bank, recipe, seed, checkpoint.save, checkpoint.load())
        checkpoint.done()
        steps = recipe.epochs * max(1, len(bank.labels) // recipe.batch)
        results = {
            "history": history,
            "steps": steps,
            "images_seen": steps * min(recipe.batch, len(bank.labels)),
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
        {"shots": layout.shots(dataset, seed)},
        {"tuned.safetensors": layout.tuned(dataset, backbone, seed, budget)},
        make,
        device_of(params),
        {"shots": f"run `dpc features --dataset {dataset}`"},
    )


def stage_one_recipe(params: Params, backbone: str, classes: int, budget: bool) -> "Recipe":
    """The recipe of stage one, prolonged to the budget of both stages where asked."""
    from dpc.backbones.recipe import Recipe

    block = params.backbones[backbone]
    epochs = block["epochs"]
    if budget:
        contrastive = params.dpc.objective == "contrastive"
        images = min(params.dpc.negatives.k, classes) if contrastive else 1
        epochs += images * params.dpc.epochs
    optimizer = params.optimizer
    return Recipe(
        block["lr"],
        epochs,
        block["batch"],
        optimizer.momentum,
        optimizer.weight_decay,
        optimizer.warmup_lr,
    )
