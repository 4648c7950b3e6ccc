"""`dpc evaluate` of a baseline: a classifier made from the shots' frozen features, and its row."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import ZERO_SHOT, Draw, Method
from dpc.stages.inputs import shots_input, test_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from dpc.baselines.base import Baseline
    from dpc.stages.models import Models


def job(params: Params, layout: Layout, dataset: str, method: Method, draw: Draw) -> Job:
    """Make one baseline from a draw's shots and test it; that takes seconds, so there is no
    artefact between. Its cell is that of any other row."""
    require_dataset(params, dataset)
    params = params.at(dataset, draw.shots)
    cell = {"dataset": dataset, "source": dataset, "shots": draw.shots, "seed": draw.seed}

    def make(artifacts: Mapping[str, Artifact], key: str) -> Made:
        row, arrays = evaluate(params, method.backbone, draw, artifacts)
        row = cell | {"protocol": params.protocol} | row
        return {"row.safetensors": Artifact(arrays, row)}

    return Job(
        "evaluate",
        cell | {"method": method.name},
        slices.evaluate(params, method),
        {
            "test": test_input(params, layout, dataset),
            "shots": shots_input(params, layout, dataset, draw, "train."),
        },
        {"row.safetensors": layout.evaluated(dataset, method.name, draw)},
        make,
        device_of(params),
    )


def evaluate(
    params: Params, name: str, draw: Draw, inputs: Mapping[str, Artifact]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row (see ``report.rows``) and its arrays, with the fields of every other row.

    Classes that were not trained on are zero-shot CLIP's, to the bit: nothing made a weight for
    them.
    """
    import torch

    from dpc.baselines import baseline
    from dpc.baselines.base import Shots
    from dpc.stages.models import without_images
    from dpc.stages.readings import Reading, run_test
    from dpc.stages.states import tensors

    count, base = len(inputs["test"].results["classnames"]), inputs["test"].results["base"]
    tuned = range(base if params.halved else count)
    zero_shot, drawn = (
        without_images(params, Method(ZERO_SHOT), inputs),
        tensors(inputs["shots"], "train."),
    )
    with torch.no_grad():
        _, texts = zero_shot.mix(0.0, tuned)
        shots = Shots(
            drawn["features"].to(texts.device),
            drawn["labels"].to(texts.device),
            texts,
            zero_shot.clip.logit_scale.to(texts.device),
            draw.seed,
        )
        found = baseline(name).fit(shots, getattr(params.baselines, name))
        reading = Reading(count, base, tuned=True, weight=0.0, weight_new=0.0)
        images = tensors(inputs["test"], "test.")["features"].to(texts.device)
        tested = run_test(params.protocol, Tuned(zero_shot, found, tuned, images), reading)
    return row_fields(params, name, found) | tested.fields, tested.arrays


class Tuned:
    """A baseline on its own classes, zero-shot CLIP on all others.

    Args:
        zero_shot: of the same dataset.
        baseline: made for the classes ``tuned``.
        tuned: labels.
        features: (N, d) of all test images, on the baseline's device.
    """

    def __init__(self, zero_shot: "Models", baseline: "Baseline", tuned: range, features: "Tensor"):
        self._zero_shot, self._baseline = zero_shot, baseline
        self._tuned, self._features = tuned, features

    def scores(
        self,
        images: str,
        classes: range,
        weights: "Sequence[float]",
        rows: "Tensor | None" = None,
    ) -> "dict[float, Tensor]":
        """Logits (N, C); no weight changes them."""
        if classes != self._tuned:
            return self._zero_shot.scores(images, classes, weights, rows)
        chosen = self._features if rows is None else self._features[rows]
        return dict.fromkeys(weights, self._baseline.logits(chosen).cpu())

    def labels(self, images: str) -> "Tensor":
        """(N,) in the dataset's labels."""
        return self._zero_shot.labels(images)


def row_fields(params: Params, name: str, found: "Baseline") -> dict[str, Any]:
    """What a row is called, what made it and what that took; P and P' are not there."""
    facts, absent = found.facts, dict.fromkeys(NO_PROMPTS)
    learned = {key: list(shape) for key, shape in (facts.learned or {}).items()}
    return absent | {
        "method": name,
        "backbone": name,
        "label": found.label,
        "baseline": asdict(getattr(params.baselines, name)),
        "transductive": False,
        "dpc": False,
        "budget": False,
        "history": facts.history,
        "images_seen": facts.images_seen,
        "steps": facts.steps,
        "images_per_step": facts.images_seen / facts.steps if facts.steps else None,
        "learned": learned,
        "imported": {},
    }


# Fields of a row that say something of prompts.
NO_PROMPTS = (
    "rung",
    "omega_b",
    "omega_n",
    "inference",
    "parametrization",
    "couplings",
    "keep_losses",
    "regularize",
    "pairs_per_step",
    "curves",
    "selected",
)
