"""How far P and P' agree on their channels, for the row of a method with DPC."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dpc.artifacts import Artifact
from dpc.backbones.base import Backbone
from dpc.clip.model import Clip
from dpc.evaluation.channels import DIGITS, agreement, compare, profile
from dpc.params.sections import Params
from dpc.stages.models import Models
from dpc.stages.readings import Tested
from dpc.stages.states import new_backbone, teacher_of

# Where the line P + t·(P' − P) is read beyond P'. One weight: image prompts pay a pass of all base
# test images for each.
BEYOND = (1.2,)


def add_channels(tested: Tested, models: Models, classes: range, start: Backbone | None) -> None:
    """Give a test, whose ω_b were read along with ``BEYOND``, the field ``channels``: ``groups``
    and arrays as in `measured`, whose arguments these are, and ``beyond``, accuracies of
    the weights above 1, which are no choices of ω_b and leave its curve."""
    groups, profiles = measured(models, classes, start)
    beyond = [{"weight": weight, "test": tested.omega_b.pop(weight)} for weight in BEYOND]
    tested.fields["channels"] = {"groups": groups, "beyond": beyond}
    tested.arrays |= profiles


def start_of(
    params: Params, name: str, clip: Clip, inputs: Mapping[str, Artifact], seed: int | None
) -> Backbone | None:
    """Where stage one of a row's P began; None: unknown, as of prompts that were tuned elsewhere.

    Args:
        name: of the backbone.
        inputs: artefacts of the row.
        seed: of the draw; None: unknown.
    """
    if seed is None or "imported" in inputs["tuned"].results:
        return None
    teacher = teacher_of(params, inputs.get("teacher"), slice(None))
    return new_backbone(params, name, clip, seed, teacher)


def measured(
    models: Models, classes: range, start: Backbone | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Prompts and text features of P and P', by channel.

    Args:
        models: P and P'.
        classes: those that were tuned on: of them the text features are.
        start: where stage one began; see `start_of`.

    Returns:
        Of ``text_prompts``, ``image_prompts`` and ``other_prompts`` (the tensors that DPC gives a
        parallel, by the tower that reads them as they are), and of ``text_features`` (of length 1)
        where P' changes them: what `dpc.evaluation.channels.compare` found, and ``start``:
        ``pearson`` and ``spearman`` of P with where stage one began (None: unknown, or of
        features). Arrays: ``{group}.profiles`` (2, L, d) of P and P'.
    """
    if models.parallel is None:
        raise ValueError("there is no P' to compare with P")
    sides = (models.tuned, models.parallel)
    names = prompts_of(models.tuned)
    groups = {
        group: [[_array(side, name) for name in own] for side in sides]
        for group, own in names.items()
    }
    texts = [F.normalize(models.mix(w, classes)[1], dim=-1) for w in (0.0, 1.0)]
    if not torch.equal(*texts):
        groups["text_features"] = [[each.cpu().numpy()] for each in texts]
    found, arrays = {}, {}
    for group, (before, after) in groups.items():
        profiles = np.stack([[profile(each) for each in side] for side in (before, after)])
        found[group] = compare(before, after) | {"start": None}
        if start is not None and group in names:
            first = np.stack([profile(_array(start, name)) for name in names[group]])
            found[group]["start"] = _rounded(agreement(first, profiles[0]))
        arrays[f"{group}.profiles"] = profiles.astype(np.float32)
    return found, arrays


def prompts_of(backbone: Backbone) -> dict[str, list[str]]:
    """Names of the (n, d) tensors that DPC gives a parallel, by group; one width in each."""
    text, image = ({id(each) for each in tower} for tower in backbone.prompts())
    groups: dict[str, list[str]] = {}
    for name in backbone.parallel_parameters():
        value = backbone.get_parameter(name)
        if value.ndim != 2:
            continue
        tower = "text" if id(value) in text else "image" if id(value) in image else "other"
        group = groups.setdefault(f"{tower}_prompts", [])
        if not group or backbone.get_parameter(group[0]).shape[1] == value.shape[1]:
            group.append(name)
    return groups


def _array(backbone: Backbone, name: str) -> np.ndarray:
    value: Tensor = backbone.get_parameter(name)
    return value.detach().cpu().numpy()


def _rounded(found: Mapping[str, float]) -> dict[str, float]:
    return {name: round(found[name], DIGITS) for name in ("pearson", "spearman")}
