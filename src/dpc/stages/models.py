"""P, P' and their mixes over the two halves of one data set, and the images they are tested on."""

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
from dpc.stages.pictures import Pictures, batches
from dpc.stages.states import new_backbone, saved_backbone, teacher_of, tensors


class Models:
    """Mixes of P and P', tested on classes of one half.

    Args:
        clip: the frozen CLIP.
        tuned, parallel: P, and P' if there is one.
        inputs: the artefacts of the row: test features, validation shots, teacher.
        template: the sentence of the classes.
        params: for the teacher.
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
        pictures: Pictures | None,
    ):
        self._clip, self._tuned, self._parallel = clip, tuned, parallel
        self._inputs, self._template = inputs, template
        self._params, self._pictures = params, pictures
        # (weight, half) -> the mix and its text features: validation shots ask for base's again
        self._known: dict[tuple[float, str], tuple[Backbone, Tensor]] = {}

    def scores(
        self, half: str, images: str, weights: Sequence[float]
    ) -> tuple[dict[float, Tensor], Tensor]:
        """Logits (N, C) of every mix, by weight, and labels (N,).

        Args:
            half: "base" or "new": the classes to tell apart.
            images: whose images: a half's test images, or base classes' validation shots, "val".
            weights: shares of P'; without P', the only one is 0.
        """
        source = self._inputs["shots" if images == "val" else "test"]
        labels = tensors(source, f"{images}.")["labels"]
        if len(labels) == 0:  # a data set without validation images
            nothing = torch.zeros(0, len(self._inputs["test"].results[half]))
            return dict.fromkeys(weights, nothing), labels
        known = {weight: self._mix(weight, half) for weight in dict.fromkeys(weights)}
        mixes = {weight: backbone for weight, (backbone, _) in known.items()}
        features = self._image_features(source, images, mixes)
        found = {}
        for weight, (_, texts) in known.items():
            scores = logits(self._clip.logit_scale, features[weight].to(texts.device), texts)
            found[weight] = scores.cpu()
        return found, labels

    def _mix(self, weight: float, half: str) -> tuple[Backbone, Tensor]:
        if (weight, half) not in self._known:
            backbone = self._tuned
            if self._parallel is not None:
                backbone = mixed_backbone(self._tuned, self._parallel, weight)
            self._known[weight, half] = backbone, self._text_features(backbone, half)
        return self._known[weight, half]

    def _text_features(self, backbone: Backbone, half: str) -> Tensor:
        names = self._inputs["test"].results
        first = len(names["base"])
        classes = slice(first) if half == "base" else slice(first, None)
        teacher = teacher_of(self._params, self._inputs.get("teacher"), classes)
        task = make_task(self._clip, backbone, names[half], self._template, teacher)
        return backbone.text_features(task)

    def _image_features(
        self, source: Artifact, images: str, mixes: Mapping[float, Backbone]
    ) -> dict[float, Tensor]:
        """(N, d) of every mix on the CPU; a batch is decoded once for all of them."""
        frozen = tensors(source, f"{images}.")["features"]
        if self._pictures is None:
            given = Views(frozen.to(self._clip.device))
            return {w: mix.image_features(self._clip, given).cpu() for w, mix in mixes.items()}
        found: dict[float, list[Tensor]] = {weight: [] for weight in mixes}
        for pixels in batches(map(self._pictures.plain, items_of(source, images))):
            views = Views(images=pixels.to(self._clip.device))
            for weight, mix in mixes.items():
                found[weight].append(mix.image_features(self._clip, views).cpu())
        return {weight: torch.cat(parts) for weight, parts in found.items()}


@contextmanager
def models(
    params: Params, layout: Layout, dataset: str, method: Method, inputs: Mapping[str, Artifact]
) -> Iterator[Models]:
    """The models of one row; closes the images at the end."""
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
    with ExitStack() as stack:
        pictures = None
        if tuned.needs_images:
            pictures = stack.enter_context(Pictures(params, layout, dataset, clip))
        yield Models(clip, tuned, parallel, inputs, template, params, pictures)
