"""P, P' and their mixes over classes of one dataset, and the images they are tested on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from dpc.artifacts import Artifact
from dpc.backbones.base import Backbone, make_task
from dpc.clip.model import Clip, logits
from dpc.clip.views import Views
from dpc.collaboration.weighting import mixed_backbone
from dpc.params.sections import Params
from dpc.stages.cells import Method
from dpc.stages.features import items_of
from dpc.stages.frozen import clip_for
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures
from dpc.stages.states import new_backbone, saved_backbone, teacher_of, tensors


class Models:
    """Mixes of P and P', tested on some of a dataset's classes.

    Args:
        clip: the frozen CLIP.
        tuned, parallel: P, and P' if there is one.
        inputs: the artefacts of the row: test features, validation shots, teacher.
        template: the sentence of the classes.
        params: for the teacher.

    Attributes:
        pictures: where pixels come from, if P changes image features.
    """

    def __init__(
        self,
        clip: Clip,
        tuned: Backbone,
        parallel: Backbone | None,
        inputs: Mapping[str, Artifact],
        template: str,
        params: Params,
    ):
        self.clip, self.tuned, self.parallel = clip, tuned, parallel
        self.pictures: Pictures | None = None
        self._inputs, self._template, self._params = inputs, template, params
        # the mix and its text features: validation shots ask for those of the tuned classes again
        self._known: dict[tuple[float, range], tuple[Backbone, Tensor]] = {}

    def scores(
        self,
        images: str,
        classes: range,
        weights: Sequence[float],
        rows: Tensor | None = None,
    ) -> dict[float, Tensor]:
        """Logits (N, C) of every mix, by weight.

        Args:
            images: "test", or "val": the validation shots.
            classes: labels of the dataset to tell apart.
            weights: shares of P'; without P', the only one is 0.
            rows: (N,) which of the images; None: all.
        """
        source = self._inputs["shots" if images == "val" else "test"]
        chosen = rows if rows is not None else torch.arange(len(source.tensors[f"{images}.labels"]))
        if len(chosen) == 0:  # a dataset without validation images
            return dict.fromkeys(weights, torch.zeros(0, len(classes)))
        known = {weight: self.mix(weight, classes) for weight in dict.fromkeys(weights)}
        mixes = {weight: backbone for weight, (backbone, _) in known.items()}
        features = self._image_features(source, images, chosen, mixes)
        found = {}
        for weight, (_, texts) in known.items():
            scores = logits(self.clip.logit_scale, features[weight].to(texts.device), texts)
            found[weight] = scores.cpu()
        return found

    def labels(self, images: str) -> Tensor:
        """(N,) of the test images in the dataset's labels, of "val" among the tuned classes."""
        source = self._inputs["shots" if images == "val" else "test"]
        return tensors(source, f"{images}.")["labels"]

    def mix(self, weight: float, classes: range) -> tuple[Backbone, Tensor]:
        """The mix with a share of P', and its text features (C, d) of some classes."""
        if (weight, classes) not in self._known:
            backbone = self.tuned
            if self.parallel is not None:
                backbone = mixed_backbone(self.tuned, self.parallel, weight)
            self._known[weight, classes] = backbone, self._text_features(backbone, classes)
        return self._known[weight, classes]

    def _text_features(self, backbone: Backbone, classes: range) -> Tensor:
        part = slice(classes.start, classes.stop)
        names = self._inputs["test"].results["classnames"][part]
        teacher = teacher_of(self._params, self._inputs.get("teacher"), part)
        task = make_task(self.clip, backbone, names, self._template, teacher)
        return backbone.text_features(task)

    def _image_features(
        self, source: Artifact, images: str, rows: Tensor, mixes: Mapping[float, Backbone]
    ) -> dict[float, Tensor]:
        """(N, d) of every mix on the CPU; a batch is decoded once for all of them."""
        if self.pictures is None:
            frozen = tensors(source, f"{images}.")["features"][rows]
            given = Views(frozen.to(self.clip.device))
            return {w: mix.image_features(self.clip, given).cpu() for w, mix in mixes.items()}
        items = items_of(source, images)
        chosen = [items[row] for row in rows.tolist()]
        found: dict[float, list[Tensor]] = {weight: [] for weight in mixes}
        for pixels in self.pictures.plain_batches(chosen):
            views = Views(images=pixels.to(self.clip.device))
            for weight, mix in mixes.items():
                found[weight].append(mix.image_features(self.clip, views).cpu())
        return {weight: torch.cat(parts) for weight, parts in found.items()}


def without_images(params: Params, method: Method, inputs: Mapping[str, Artifact]) -> Models:
    """The models of one row as text sees them: no image is opened."""
    clip, name = clip_for(params), method.backbone
    teacher = teacher_of(params, inputs.get("teacher"), slice(None))
    parallel = None
    if "tuned" in inputs:
        tuned = saved_backbone(params, name, clip, inputs["tuned"], teacher).eval()
    else:
        tuned = new_backbone(params, name, clip, seed=0).to(clip.device)
    if "parallel" in inputs:
        parallel = saved_backbone(params, name, clip, inputs["parallel"], teacher).eval()
    own = inputs["test"].results["template"] if method.seedless else None
    template = own or params.backbones["zero_shot"]["template"]
    return Models(clip, tuned, parallel, inputs, template, params)


@contextmanager
def models(
    params: Params, layout: Layout, dataset: str, method: Method, inputs: Mapping[str, Artifact]
) -> Iterator[Models]:
    """The models of one row; closes the images at the end."""
    found = without_images(params, method, inputs)
    with ExitStack() as stack:
        if found.tuned.needs_images:
            found.pictures = stack.enter_context(Pictures(params, layout, dataset, found.clip))
        yield found
