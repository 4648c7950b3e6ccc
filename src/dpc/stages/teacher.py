"""`dpc teacher`: a prompt learner on a larger CLIP, and its features for its students."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dpc.artifacts import Artifact
from dpc.datasets.base import Item, Manifest
from dpc.datasets.fewshot import draw, halves, subset
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.elsewhere import taken
from dpc.stages.imported import TEACHER, teacher_draw
from dpc.stages.inputs import imported_input, manifest_input, tuned_teacher_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dpc.backbones.base import Backbone, Task


def jobs(params: Params, layout: Layout, dataset: str) -> Iterator[Job]:
    """Tune the teacher, then make its features."""
    require_dataset(params, dataset)
    params = params.at(dataset, params.run.shots[0])
    yield _tune(params, layout, dataset)
    yield _features(params, layout, dataset)


def _tune(params: Params, layout: Layout, dataset: str) -> Job:
    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        import torch

        from dpc.backbones.base import make_task
        from dpc.backbones.tuning import Tuning
        from dpc.stages.features import Encoder, labels_of, tuned_classes
        from dpc.stages.frozen import teacher_clip_for
        from dpc.stages.pictures import Pictures, PixelBank
        from dpc.stages.states import new_teacher
        from dpc.stages.tune import stage_one_recipe, tuned

        clip, seed = teacher_clip_for(params), params.teacher.seed
        manifest = Manifest.from_json(inputs["manifest"].results)
        splits, classes = manifest.splits, tuned_classes(params, manifest)
        module = new_teacher(params, clip, seed).to(clip.device)
        names = [manifest.classnames[label] for label in classes]
        task = make_task(clip, module, names, params.backbones["zero_shot"]["template"])
        if "imported" in inputs:
            cell = (dataset, TEACHER, teacher_draw(params))
            given = taken(params, "tuned", *cell, module, task, inputs["imported"])
            return {"tuned.safetensors": given}
        drawn = draw(splits["train"], splits["val"], params.run.shots[0], 1, seed)
        shots = subset(drawn.train, classes)
        recipe = stage_one_recipe(params.teacher_block(), params.optimizer)
        what = f"{dataset}: the teacher's training views"
        views = min(params.data.views.count, recipe.epochs)
        frozen = Encoder(params, layout, dataset, clip, what).views(shots, views)
        with Pictures(params, layout, dataset, clip) as pictures:
            labels = torch.from_numpy(labels_of(shots))
            bank = PixelBank(pictures, shots, labels, torch.from_numpy(frozen).to(clip.device))
            tuning = Tuning(task, module, bank, seed)
            (made,) = tuned([tuning], recipe, key, f"{dataset} teacher")
        return {"tuned.safetensors": made}

    return Job(
        "teacher",
        {"dataset": dataset},
        slices.teacher(params),
        {"manifest": manifest_input(params, layout, dataset)}
        | imported_input(params, "tuned", dataset, TEACHER, teacher_draw(params)),
        {"tuned.safetensors": layout.teacher(dataset)},
        make,
        device_of(params),
    )


def _features(params: Params, layout: Layout, dataset: str) -> Job:
    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        import torch

        from dpc.backbones.base import make_task
        from dpc.stages.features import packed
        from dpc.stages.frozen import teacher_clip_for
        from dpc.stages.states import arrays, new_teacher, restored

        clip = teacher_clip_for(params)
        manifest = Manifest.from_json(inputs["manifest"].results)
        module = restored(new_teacher(params, clip, 0), inputs["tuned"], "the teacher")
        module = module.to(clip.device).eval()
        cut = halves(manifest.splits["train"])
        names = [manifest.classnames[label] for label in (*cut.base, *cut.new)]
        splits, each = manifest.splits, params.data.unlabelled
        drawn = draw(splits["train"], splits["val"], each, 1, params.teacher.seed)
        items = subset(drawn.train, (*cut.base, *cut.new))
        task = make_task(clip, module, names, params.backbones["zero_shot"]["template"])
        with torch.no_grad():
            text = text_tensors(module, task)
            features = _image_features(params, layout, dataset, module, items)
        images = {"image.features": features, "image.items": packed(items)}
        return {
            "text.safetensors": Artifact(arrays(text), {"classnames": names}),
            "images.safetensors": Artifact(images),
        }

    return Job(
        "teacher_features",
        {"dataset": dataset},
        slices.teacher_features(params),
        {
            "manifest": manifest_input(params, layout, dataset),
            "tuned": tuned_teacher_input(params, layout, dataset),
        },
        {
            "text.safetensors": layout.teacher_text(dataset),
            "images.safetensors": layout.teacher_images(dataset),
        },
        make,
        device_of(params),
    )


def text_tensors(module: "Backbone", task: "Task") -> "dict[str, Tensor]":
    """What a student reads of its teacher's classes; see `dpc.stages.states.teacher_of`."""
    prompts = enumerate(module.prompts().text)
    return {
        "text.features": module.text_features(task),
        "text.tokens": task.tokens,
        "text.logit_scale": task.clip.logit_scale,
    } | {f"text.prompts.{layer}": prompt for layer, prompt in prompts}


def _image_features(
    params: Params, layout: Layout, dataset: str, module: "Backbone", items: Sequence[Item]
) -> "np.ndarray":
    """(N, V', d_T) features of the views that students are shown, not normalised."""
    import torch

    from dpc.clip.views import Views
    from dpc.progress import track
    from dpc.stages.features import Encoder
    from dpc.stages.frozen import teacher_clip_for
    from dpc.stages.pictures import Pictures

    clip, views = teacher_clip_for(params), slices.student_views(params)
    what = f"{dataset}: the teacher's view of the training images"
    if not module.needs_images:
        return Encoder(params, layout, dataset, clip, what).views(items, views)
    with Pictures(params, layout, dataset, clip) as pictures:
        batches = pictures.view_batches(items, views)
        followed = track(batches, what, len(items) * views, "images", size=len)
        found = [
            module.image_features(clip, Views(images=images.to(clip.device))).cpu()
            for images in followed
        ]
    return torch.cat(found).reshape(len(items), views, -1).numpy()
