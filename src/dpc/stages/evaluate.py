"""`dpc evaluate`: one row of the table, with logits and predictions of every test image."""

from collections.abc import Mapping
from typing import Any

from dpc.artifacts import Artifact
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import Method
from dpc.stages.inputs import (
    parallel_input,
    shots_input,
    teacher_input,
    test_input,
    tuned_input,
)
from dpc.stages.layout import Layout
from dpc.stages.runner import Input, Job, Made, device_of


def job(params: Params, layout: Layout, dataset: str, method: Method, seed: int | None) -> Job:
    """Test one method on base and new classes; with DPC, along ω_b and ω_n as well."""
    require_dataset(params, dataset)

    def make(artifacts: Mapping[str, Artifact], key: str) -> Made:
        row, tensors = evaluate(params, layout, dataset, method, artifacts)
        row = {"dataset": dataset, "seed": seed} | row
        return {"row.safetensors": Artifact(tensors, row)}

    return Job(
        "evaluate",
        {"dataset": dataset, "method": method.name, "seed": seed},
        slices.evaluate(params, method),
        _inputs(params, layout, dataset, method, seed),
        {"row.safetensors": layout.evaluated(dataset, method.name, seed)},
        make,
        device_of(params),
    )


def _inputs(
    params: Params, layout: Layout, dataset: str, method: Method, seed: int | None
) -> dict[str, Input]:
    found = {"test": test_input(params, layout, dataset)}
    if seed is None:
        return found
    found["tuned"] = tuned_input(
        params, layout, dataset, method.backbone, seed, budget=method.kind == "budget"
    )
    if method.has_parallel:
        found["parallel"] = parallel_input(params, layout, dataset, method, seed)
    if method.kind == "dpc":
        found["shots"] = shots_input(params, layout, dataset, seed, "val.")
    if traits(params, method.backbone)["needs_teacher"]:
        found["teacher"] = teacher_input(params, layout, dataset)
    return found


def evaluate(
    params: Params,
    layout: Layout,
    dataset: str,
    method: Method,
    inputs: Mapping[str, Artifact],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row (see ``report.rows``) and, for both halves, logits (N, C) float16, predictions, labels.

    Base classes are tested with P̃_b = ω_b·P' + (1 − ω_b)·P, new ones with P̃_n (DPC, eq. of
    Weighting-Decoupling); a row without DPC is P on both.
    """
    import torch

    from dpc.evaluation.accuracy import accuracy
    from dpc.stages.models import models

    dpc = params.stage_two(method.backbone)
    sweeps = (dpc.sweep, dpc.sweep_new) if method.kind == "dpc" else ([], [])
    weights = dict(zip(("base", "new"), method.weights(dpc), strict=True))
    test = inputs["test"]
    arrays: dict[str, Any] = {}
    row = method_fields(params, method)
    with torch.no_grad(), models(params, layout, dataset, method, inputs) as found:
        accuracies = {}
        for half, sweep in zip(("base", "new"), sweeps, strict=True):
            scores, labels = found.scores(half, half, [weights[half], *sweep])
            logits = scores[weights[half]]
            arrays[f"{half}.logits"] = logits.numpy().astype("float16")
            arrays[f"{half}.predictions"] = logits.argmax(dim=1).numpy()
            arrays[f"{half}.labels"] = labels.numpy()
            accuracies[half] = {w: accuracy(value, labels) for w, value in scores.items()}
            row[half] = accuracies[half][weights[half]]
            row[f"n_{half}"] = len(labels)
            row[f"classes_{half}"] = len(test.results[half])
        row["curves"] = row["selected"] = None
        if method.kind == "dpc":
            scores, labels = found.scores("base", "val", dpc.sweep)
            val = {w: accuracy(s, labels) if len(labels) else None for w, s in scores.items()}
            row["curves"] = {
                "omega_b": [
                    {"weight": w, "test": accuracies["base"][w], "val": val.get(w)}
                    for w in dpc.sweep
                ],
                "omega_n": [{"weight": w, "test": accuracies["new"][w]} for w in dpc.sweep_new],
            }
            row["selected"] = selected(row["curves"])
    return row | training_facts(inputs), arrays


def method_fields(params: Params, method: Method) -> dict[str, Any]:
    """What a row is called and which weights and readings made it."""
    dpc, described = params.stage_two(method.backbone), traits(params, method.backbone)
    parallel = method.has_parallel
    base, new = method.weights(dpc)
    return {
        "method": method.name,
        "backbone": method.backbone,
        "label": described["label"],
        "transductive": described["transductive"],
        "dpc": method.kind == "dpc",
        "budget": method.kind == "budget",
        "rung": method.rung,
        "omega_b": base if parallel else None,
        "omega_n": new if parallel else None,
        "inference": dpc.inference if parallel else None,
        "parametrization": dpc.parametrization if parallel else None,
        "couplings": dpc.couplings if parallel else None,
        "keep_losses": dpc.keep_losses if parallel else None,
        "regularize": dpc.regularize if parallel else None,
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
        "images_per_step": None,
        "learned": {},
    }
    if "tuned" in inputs:
        tuned = inputs["tuned"].results
        facts |= {key: tuned[key] for key in ("history", "images_seen", "steps", "learned")}
        facts["images_per_step"] = _each(tuned)
    if "parallel" in inputs:
        parallel = inputs["parallel"].results
        facts["history"] = parallel["history"]
        facts["images_seen"] += parallel["images_seen"]
        facts["steps"] += parallel["steps"]
        facts["pairs_per_step"] = parallel["pairs_per_step"]
        facts["images_per_step"] = _each(parallel)
    return facts


def _each(training: Mapping[str, Any]) -> float | None:
    """Images of an average step."""
    return training["images_seen"] / training["steps"] if training["steps"] else None
