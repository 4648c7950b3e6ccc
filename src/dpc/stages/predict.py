"""What P, P' and their mix say of images that belong to no dataset, for `dpc predict`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dpc.artifacts import Artifact
from dpc.backbones.base import make_task
from dpc.clip.model import logits
from dpc.clip.views import Views
from dpc.datasets.base import decode, read_image_file
from dpc.datasets.views import test_view
from dpc.errors import DpcError
from dpc.params.backbones import traits
from dpc.params.sections import Params
from dpc.progress import track
from dpc.stages import evaluate
from dpc.stages.cells import Method
from dpc.stages.chosen import OVERRIDDEN, Cell
from dpc.stages.decoding import BATCH
from dpc.stages.frozen import clip_for, input_format, teacher_clip_for
from dpc.stages.inputs import tuned_teacher_input
from dpc.stages.labels import Names, sorted_out, unlearned
from dpc.stages.layout import Layout
from dpc.stages.models import Models, without_images
from dpc.stages.runner import Input
from dpc.stages.states import arrays, new_teacher, restored
from dpc.stages.teacher import text_tensors

if TYPE_CHECKING:
    from dpc.clip.model import Clip

READINGS = ("mix", "tuned", "parallel")


@dataclass(frozen=True)
class Answer:
    """What is said of one image: by reading, probabilities (C,) of the names, float32; or why
    nothing is said."""

    image: Path
    probabilities: Mapping[str, np.ndarray]
    problem: str = ""


class Classifier:
    """P, P' and their mix over names that compete with each other.

    The mix is read as in protocol `generalized`: a tuned name's logit comes from P̃_b, any other's
    from P̃_n, and one softmax runs over all of them.

    Attributes:
        names: that compete.
        weights: ω_b and ω_n, shares of P'.
        unknown: words of the names that the CLIP never learned, with near ones.
    """

    def __init__(
        self,
        models: Models,
        names: Names,
        weights: tuple[float, float],
        unknown: Mapping[str, Sequence[str]],
    ):
        self.names, self.weights, self.unknown = names, weights, unknown
        self._models, self._form = models, input_format(models.clip)
        count, tuned = len(names.all), len(names.tuned)
        halves = [(weights[0], range(tuned)), (weights[1], range(tuned, count))]
        self._parts = {
            "mix": [(weight, classes) for weight, classes in halves if classes],
            "tuned": [(0.0, range(count))],
            "parallel": [(1.0, range(count))],
        }

    @torch.no_grad()
    def probabilities(self, pixels: Tensor) -> dict[str, Tensor]:
        """By reading, (B, C) of images (B, 3, S, S); an image prompt of each weight sees them."""
        clip = self._models.clip
        images = pixels.to(clip.device)
        frozen = None if self._models.tuned.needs_images else clip.encode_image(images)
        views, seen = Views(frozen, images), {}
        found = {}
        for reading, parts in self._parts.items():
            columns = []
            for weight, classes in parts:
                backbone, texts = self._models.mix(weight, classes)
                if weight not in seen:
                    seen[weight] = backbone.image_features(clip, views)
                columns.append(logits(clip.logit_scale, seen[weight], texts))
            found[reading] = torch.cat(columns, dim=1).softmax(dim=1).cpu()
        return found

    def answers(self, images: Sequence[Path]) -> Iterator[Answer]:
        """Of every image, in order; encoded in batches. One that cannot be read says so, and the
        others go on."""
        waiting: list[tuple[Path, np.ndarray | str]] = []
        for image in track(images, "predict", len(images), "images"):
            waiting.append((image, self._view(image)))
            if len(waiting) == BATCH:
                yield from self._answered(waiting)
                waiting = []
        yield from self._answered(waiting)

    def _view(self, image: Path) -> np.ndarray | str:
        try:
            return test_view(decode(read_image_file(image), str(image)), self._form)
        except DpcError as problem:
            return str(problem)

    def _answered(self, batch: Sequence[tuple[Path, np.ndarray | str]]) -> Iterator[Answer]:
        views = [view for _, view in batch if not isinstance(view, str)]
        found = self.probabilities(torch.from_numpy(np.stack(views))) if views else {}
        rows = iter(range(len(views)))
        for image, view in batch:
            if isinstance(view, str):
                yield Answer(image, {}, view)
            else:
                row = next(rows)
                yield Answer(image, {name: each[row].numpy() for name, each in found.items()})


def classifier(
    params: Params, layout: Layout, cell: Cell, labels: Sequence[str] | None, only: str
) -> Classifier:
    """The prompts of a cell over its dataset's names, or over others.

    Args:
        labels: names in place of the dataset's; None: those.
        only: "base", "new" or "all" of the dataset's classes.

    Raises:
        DpcError: something that it needs is missing, damaged or stale, the protocol has no halves,
            or a name is too long for the CLIP.
    """
    if only != "all" and not params.halved:
        raise DpcError(
            f"--only {only}: protocol {params.protocol} has no base and new classes; take all"
        )
    source, method = params.source_of(cell.dataset), Method(cell.backbone, "dpc")
    entries = dict(evaluate.job(params, layout, cell.dataset, method, cell.draw).inputs)
    entries.pop("shots", None)  # only ω_b's choice reads them
    inputs = {role: _of(layout, entry).read() for role, entry in entries.items()}
    params = params.at(source, cell.draw.shots)
    names = _names(params, cell.dataset, inputs["test"], labels, only)
    unknown: dict[str, list[str]] = {}
    if labels is not None:
        taught = traits(params, cell.backbone)["needs_teacher"]
        clip = teacher_clip_for(params) if taught else clip_for(params)
        unknown = unlearned(clip, names.all)
        if taught:
            inputs["teacher"] = _taught(params, layout, source, clip, names.all)
    elif "teacher" in inputs:
        first = 0 if names.tuned else inputs["test"].results["base"]
        inputs["teacher"] = _of_classes(inputs["teacher"], first, len(names.all))
    shown = {"classnames": list(names.all), "base": len(names.tuned), "template": None}
    inputs["test"] = Artifact(results=shown)
    with torch.no_grad():
        models = without_images(params, method, inputs)
        weights = method.weights(params.stage_two(cell.backbone))
        return Classifier(models, names, weights, unknown)


def _of(layout: Layout, entry: Input) -> Input:
    """An input whose remedy says where to run it, unless that is here, or that the tree may have
    parameters of its own, unless it is that of the engines."""
    folder = layout.root.parent
    if layout.root.name != Layout().root.name:
        return replace(entry, remedy=f"name its own parameters, --params FILE; {OVERRIDDEN}")
    here = folder.resolve() == Path.cwd()
    return entry if here else replace(entry, remedy=f"{entry.remedy} in {folder}")


def _names(
    params: Params, dataset: str, test: Artifact, labels: Sequence[str] | None, only: str
) -> Names:
    """What competes. On the target of a transfer no name is a tuned one."""
    classes = tuple(test.results["classnames"])
    base = test.results["base"] if params.halved else len(classes)
    tuned = () if dataset in params.run.targets else classes[:base]
    if labels is not None:
        return sorted_out(labels, tuned, params.backbones["zero_shot"]["template"])
    others = classes[len(tuned) :]
    return Names(tuned if only != "new" else (), others if only != "base" else ())


def _of_classes(teacher: Artifact, first: int, count: int) -> Artifact:
    """What `dpc teacher` made of a dataset, of some of its classes."""
    rows = slice(first, first + count)
    by_class = ("text.features", "text.tokens")
    return Artifact(
        {
            name: value[rows] if name in by_class else value
            for name, value in teacher.tensors.items()
        }
    )


def _taught(
    params: Params, layout: Layout, source: str, clip: "Clip", names: Sequence[str]
) -> Artifact:
    """What `dpc teacher` makes of a dataset's classes, of these names."""
    tuned = _of(layout, tuned_teacher_input(params, layout, source)).read()
    module = restored(new_teacher(params, clip, 0), tuned, "the teacher").to(clip.device).eval()
    with torch.no_grad():
        task = make_task(clip, module, names, params.backbones["zero_shot"]["template"])
        return Artifact(arrays(text_tensors(module, task)))
