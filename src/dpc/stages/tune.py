"""`dpc tune`: stage one, the tuned prompt P of a backbone."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Optimizer, Params
from dpc.stages import slices, together
from dpc.stages.cells import Draw, titled
from dpc.stages.elsewhere import given
from dpc.stages.imported import mark
from dpc.stages.inputs import imported_input, shots_input, taught_input, teacher_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Input, Job, Made, device_of

if TYPE_CHECKING:
    from dpc.backbones.base import Backbone, Task
    from dpc.backbones.recipe import Recipe
    from dpc.backbones.tuning import Tuning


def job(
    params: Params,
    layout: Layout,
    dataset: str,
    backbone: str,
    drawn: Sequence[Draw],
    budget: bool = False,
) -> Job:
    """Tune ``backbone`` on the shots of each draw; a transductive one on the unlabelled training
    images of all classes. Several draws take their steps together.

    With ``budget``, for at least as many images as stages one and two see together.
    """
    require_dataset(params, dataset)
    params = params.at(dataset, drawn[0].shots)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        parts = {draw: together.part(inputs, drawn, draw) for draw in drawn}
        cell = f"{dataset} {backbone} {titled(drawn)}"
        if mark(params, "tuned", backbone) and not budget:
            unlabelled = traits(params, backbone)["transductive"]
            made = given(
                params,
                "tuned",
                dataset,
                backbone,
                parts,
                lambda draw, read: start(params, backbone, draw.seed, read, unlabelled),
            )
        else:
            made = trained(params, layout, dataset, backbone, parts, budget, key, cell)
        return together.each("tuned.safetensors", drawn, made.__getitem__)

    stage = "budget" if budget else "tune"
    read = (slices.budget if budget else slices.tune)(params, backbone, drawn)
    return Job(
        stage,
        together.cell(dataset, backbone, drawn),
        read,
        together.inputs(
            drawn,
            lambda draw: stage_one_inputs(params, layout, dataset, backbone, draw, budget),
        ),
        together.each(
            "tuned.safetensors", drawn, lambda draw: layout.tuned(dataset, backbone, draw, budget)
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
    budget: bool,
    key: str,
    what: str,
) -> dict[Draw, Artifact]:
    """P of every draw, out of its inputs."""
    from contextlib import ExitStack

    from dpc.backbones.tuning import Tuning
    from dpc.stages.frozen import clip_for
    from dpc.stages.material import material

    clip, tunings = clip_for(params), []
    recipe = stage_one_recipe(params.backbones[backbone], params.optimizer)
    unlabelled = traits(params, backbone)["transductive"]
    with ExitStack() as stack:
        for draw, inputs in parts.items():
            module, task = start(params, backbone, draw.seed, inputs, unlabelled)
            at_hand = stack.enter_context(
                material(params, layout, dataset, clip, module, inputs.get("taught"))
            )
            bank = at_hand.unlabelled() if unlabelled else at_hand.labelled(inputs["shots"])
            tunings.append(Tuning(task, module, bank, draw.seed))
        if budget:
            shots = next(iter(parts.values()))["shots"]
            recipe = prolonged(params, backbone, recipe, len(tunings[0].bank.labels), shots)
        return dict(zip(parts, tuned(tunings, recipe, key, what), strict=True))


def stage_one_inputs(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, budget: bool
) -> dict[str, Input]:
    """The shots, unless a backbone is transductive (stage two's length follows from them in any
    case); the teacher, if it needs one; P itself, if it was tuned elsewhere."""
    found, described = {}, traits(params, backbone)
    if budget or not described["transductive"]:
        found["shots"] = shots_input(params, layout, dataset, draw, "train.")
    if described["needs_teacher"]:
        found["teacher"] = teacher_input(params, layout, dataset)
        found["taught"] = taught_input(params, layout, dataset)
    if not budget:
        found |= imported_input(params, "tuned", dataset, backbone, draw)
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


def tuned(tunings: Sequence["Tuning"], recipe: "Recipe", key: str, what: str) -> list[Artifact]:
    """Train the backbones and pack them; goes on from the checkpoint of ``key`` if there is one."""
    import torch

    from dpc.backbones.tuning import tune_together
    from dpc.stages.checkpoints import Checkpoint
    from dpc.stages.states import arrays
    from dpc.training import items_an_epoch, steps_an_epoch

    checkpoint = Checkpoint(key, time.monotonic, what, recipe.epochs)
    with torch.enable_grad():
        histories = tune_together(tunings, recipe, checkpoint.save, checkpoint.load())
    checkpoint.done()
    images = len(tunings[0].bank.labels)
    return [
        Artifact(
            arrays(tuning.backbone.state_dict()),
            {
                "history": history,
                "steps": recipe.epochs * steps_an_epoch(images, recipe.batch),
                "images_seen": recipe.epochs * items_an_epoch(images, recipe.batch),
                "epochs": recipe.epochs,
                "learned": {
                    name: list(value.shape) for name, value in tuning.backbone.named_parameters()
                },
            },
        )
        for tuning, history in zip(tunings, histories, strict=True)
    ]


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
