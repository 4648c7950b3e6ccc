"""`dpc finetune`: stage two, the parallel prompt P' on the classes that P confuses."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpc.artifacts import Artifact
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.inputs import shots_input, tuned_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    from dpc.collaboration.recipe import Finetuning


def job(params: Params, layout: Layout, dataset: str, backbone: str, seed: int) -> Job:
    """Clone P and tune the clone on the base classes' shots, hard negatives mined with P."""
    require_dataset(params, dataset)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        import torch

        from dpc.backbones.base import make_task
        from dpc.clip.views import FrozenBank
        from dpc.collaboration.finetune import finetune
        from dpc.stages.checkpoints import Checkpoint
        from dpc.stages.frozen import clip_for
        from dpc.stages.states import arrays, saved_backbone, tensors

        clip = clip_for(params)
        shots = tensors(inputs["shots"])
        bank = FrozenBank(shots["train.features"].to(clip.device), shots["train.labels"])
        pool = None
        if params.dpc.negatives.pool == "train":
            pool = FrozenBank(shots["pool.features"].to(clip.device), shots["pool.labels"])
        tuned = saved_backbone(params, backbone, clip, inputs["tuned"])
        classnames = inputs["shots"].results["classnames"]
        task = make_task(clip, tuned, classnames, params.backbones["zero_shot"]["template"])
        checkpoint = Checkpoint(key, time.monotonic, f"{dataset} {backbone}+dpc", params.dpc.epochs)
        with torch.enable_grad():
            parallel, statistics = finetune(
                task,
                tuned,
                bank,
                stage_two_recipe(params),
                seed,
                checkpoint.save,
                checkpoint.load(),
                pool,
            )
        checkpoint.done()
        results = {
            "history": statistics.history,
            "steps": statistics.steps,
            "images_seen": statistics.images_seen,
            "pairs_per_step": statistics.pairs_per_step,
        }
        return {"parallel.safetensors": Artifact(arrays(parallel.state_dict()), results)}

    return Job(
        "finetune",
        {"dataset": dataset, "backbone": backbone, "seed": seed},
        slices.finetune(params, backbone),
        {
            "shots": shots_input(params, layout, dataset, seed, "train.", *pool_parts(params)),
            "tuned": tuned_input(params, layout, dataset, backbone, seed),
        },
        {"parallel.safetensors": layout.parallel(dataset, backbone, seed)},
        make,
        device_of(params),
    )


def pool_parts(params: Params) -> tuple[str, ...]:
    """Prefix of the tensors that negatives are drawn from, where those are not the shots."""
    return ("pool.",) if params.dpc.negatives.pool == "train" else ()


def stage_two_recipe(params: Params) -> "Finetuning":
    """The recipe of stage two out of the blocks ``dpc`` and ``optimizer``."""
    from dpc.collaboration.recipe import Finetuning

    dpc, optimizer = params.dpc, params.optimizer
    return Finetuning(
        lr=dpc.lr,
        epochs=dpc.epochs,
        batch=dpc.batch,
        k=dpc.negatives.k,
        refill=dpc.negatives.refill,
        parametrization=dpc.parametrization,
        weight=dpc.weight,
        objective=dpc.objective,
        keep_losses=None if dpc.keep_losses is None else tuple(dpc.keep_losses),
        regularize=dpc.regularize,
        couplings=dpc.couplings,
        momentum=optimizer.momentum,
        weight_decay=optimizer.weight_decay,
        warmup_lr=optimizer.warmup_lr,
    )
