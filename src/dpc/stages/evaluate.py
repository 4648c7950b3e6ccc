"""`dpc evaluate`: one row of the table, with logits and predictions of every test image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import Method
from dpc.stages.inputs import parallel_input, shots_input, test_input, tuned_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    from torch import Tensor

    from dpc.backbones.base import Backbone
    from dpc.clip.model import Clip


def job(params: Params, layout: Layout, dataset: str, method: Method, seed: int | None) -> Job:
    """Test one method on base and new classes; with DPC, along ω_b and ω_n as well."""
    require_dataset(params, dataset)
    inputs = {"test": test_input(params, layout, dataset)}
    if seed is not None:
        cell = (params, layout, dataset, method.backbone, seed)
        inputs["tuned"] = tuned_input(*cell, budget=method.budget)
        if method.dpc:
            inputs["parallel"] = parallel_input(*cell)
            inputs["shots"] = shots_input(params, layout, dataset, seed, "val.")

    def make(artifacts: Mapping[str, Artifact], key: str) -> Made:
        row, tensors = evaluate(params, method, artifacts)
        row = {"dataset": dataset, "seed": seed} | row
        return {"row.safetensors": Artifact(tensors, row)}

    return Job(
        "evaluate",
        {"dataset": dataset, "method": method.name, "seed": seed},
        slices.evaluate(params, method),
        inputs,
        {"row.safetensors": layout.evaluated(dataset, method.name, seed)},
        make,
        device_of(params),
    )


def evaluate(
    params: Params, method: Method, inputs: Mapping[str, Artifact]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row (see ``report.rows``) and, for both halves, logits (N, C) float16, predictions, labels.

    Base classes are tested with P̃_b = ω_b·P' + (1 − ω_b)·P, new ones with P̃_n (DPC, eq. of
    Weighting-Decoupling); a row without DPC is P on both.
    """
    import torch

    from dpc.evaluation.accuracy import accuracy
    from dpc.stages.frozen import clip_for

    clip = clip_for(params)
    with torch.no_grad():
        models = _Models(params, method, clip, inputs)
        test = inputs["test"]
        arrays: dict[str, Any] = {}
        row: dict[str, Any] = method_fields(params, method)
        for half, weight in (("base", models.weight_base), ("new", models.weight_new)):
            logits, labels = models.logits(half, weight)
            arrays[f"{half}.logits"] = logits.cpu().numpy().astype("float16")
            arrays[f"{half}.predictions"] = logits.argmax(dim=1).cpu().numpy()
            arrays[f"{half}.labels"] = labels.numpy()
            row[half] = accuracy(logits, labels)
            row[f"n_{half}"] = len(labels)
            row[f"classes_{half}"] = len(test.results[half])
        row["curves"] = models.curves() if method.dpc else None
        row["selected"] = selected(row["curves"]) if method.dpc else None
    return row | training_facts(inputs), arrays


def method_fields(params: Params, method: Method) -> dict[str, Any]:
    """What a row is called and which weights and readings made it."""
    dpc = params.dpc
    return {
        "method": method.name,
        "backbone": method.backbone,
        "dpc": method.dpc,
        "budget": method.budget,
        "omega_b": dpc.weight if method.dpc else None,
        "omega_n": dpc.weight_new if method.dpc else None,
        "inference": dpc.inference if method.dpc else None,
        "parametrization": dpc.parametrization if method.dpc else None,
    }


def selected(curves: Mapping[str, Any]) -> dict[str, Any]:
    """ω_b chosen on validation shots, and on the test set (an oracle nobody has); the smaller of
    two equal ones, as it lies nearer to the tuned prompt."""
    points = curves["omega_b"]
    found: dict[str, Any] = {"val": None}
    if points and points[0]["val"] is not None:
        best = max(points, key=lambda point: (point["val"], -point["weight"]))
        found["val"] = {"weight": best["weight"], "base": best["test"]}
    if points:
        best = max(points, key=lambda point: (point["test"], -point["weight"]))
        found["test_oracle"] = {"weight": best["weight"], "base": best["test"]}
    return found


def training_facts(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Losses an epoch, images and steps of what was trained for this row, both stages added."""
    facts: dict[str, Any] = {
        "history": None,
        "images_seen": 0,
        "steps": 0,
        "pairs_per_step": None,
        "learned": {},
    }
    if "tuned" in inputs:
        tuned = inputs["tuned"].results
        facts |= {key: tuned[key] for key in ("history", "images_seen", "steps", "learned")}
    if "parallel" in inputs:
        parallel = inputs["parallel"].results
        facts["history"] = parallel["history"]
        facts["images_seen"] += parallel["images_seen"]
        facts["steps"] += parallel["steps"]
        facts["pairs_per_step"] = parallel["pairs_per_step"]
    return facts


class _Models:
    """P, P' and their mixes over the two halves of one dataset."""

    def __init__(
        self, params: Params, method: Method, clip: "Clip", inputs: Mapping[str, Artifact]
    ):
        from dpc.stages.states import new_backbone, saved_backbone, tensors

        self._clip, self._inputs, self._dpc = clip, inputs, params.dpc
        if "tuned" in inputs:
            self._tuned = saved_backbone(params, method.backbone, clip, inputs["tuned"])
        else:
            self._tuned = new_backbone(params, method.backbone, clip, seed=0).to(clip.device)
        self._parallel: Backbone | None = None
        if "parallel" in inputs:
            self._parallel = saved_backbone(params, method.backbone, clip, inputs["parallel"])
        own = inputs["test"].results["template"] if method.seedless else None
        self._template = own or params.backbones["zero_shot"]["template"]
        self._features = tensors(inputs["test"]) | (
            tensors(inputs["shots"]) if "shots" in inputs else {}
        )
        # (weight, half) -> the mix and its text features: curves ask for the same ones again
        self._texts: dict[tuple[float, str], tuple[Backbone, Tensor]] = {}

    @property
    def weight_base(self) -> float:
        """ω_b; reading base classes with P' alone is a weight of 1."""
        if self._parallel is None:
            return 0.0
        return 1.0 if self._dpc.inference == "parallel" else self._dpc.weight

    @property
    def weight_new(self) -> float:
        """ω_n."""
        return 0.0 if self._parallel is None else self._dpc.weight_new

    def logits(self, half: str, weight: float, images: str = "") -> tuple["Tensor", "Tensor"]:
        """Logits (N, C) and labels (N,) of the mix of that weight over the classes of ``half``.

        ``images``: whose images, ``half``'s test images or the validation shots ("val").
        """
        from dpc.clip.model import logits
        from dpc.clip.views import Views

        features = self._features[f"{images or half}.features"].to(self._clip.device)
        backbone, texts = self._mix(weight, half)
        found = backbone.image_features(self._clip, Views(features))
        scores = logits(self._clip.logit_scale, found, texts).cpu()
        return scores, self._features[f"{images or half}.labels"]

    def percent(self, half: str, weight: float, images: str = "") -> float | None:
        """Accuracy in percent, see :meth:`logits`; None without images."""
        from dpc.evaluation.accuracy import accuracy

        scores, labels = self.logits(half, weight, images)
        return accuracy(scores, labels) if len(labels) else None

    def curves(self) -> dict[str, Any]:
        """Base accuracy along ω_b, on test and validation shots, and new accuracy along ω_n."""
        base = [
            {
                "weight": weight,
                "test": self.percent("base", weight),
                "val": self.percent("base", weight, "val"),
            }
            for weight in self._dpc.sweep
        ]
        new = [
            {"weight": weight, "test": self.percent("new", weight)}
            for weight in self._dpc.sweep_new
        ]
        return {"omega_b": base, "omega_n": new}

    def _mix(self, weight: float, half: str) -> tuple["Backbone", "Tensor"]:
        from dpc.backbones.base import make_task
        from dpc.collaboration.weighting import mixed_backbone

        if (weight, half) not in self._texts:
            backbone = self._tuned
            if self._parallel is not None:
                backbone = mixed_backbone(self._tuned, self._parallel, weight)
            classnames = self._inputs["test"].results[half]
            task = make_task(self._clip, backbone, classnames, self._template)
            texts = backbone.text_features(task)
            self._texts[weight, half] = backbone, texts
        return self._texts[weight, half]
