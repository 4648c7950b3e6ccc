"""`dpc evaluate`: one row of the table, with logits and predictions of every test image."""

from collections.abc import Mapping, Sequence
from typing import Any

from dpc.artifacts import Artifact
from dpc.errors import TrainingError
from dpc.params.backbones import traits
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import Draw, Method
from dpc.stages.inputs import (
    parallel_input,
    shots_input,
    teacher_input,
    test_input,
    tuned_input,
)
from dpc.stages.layout import Layout
from dpc.stages.negatives import of_row
from dpc.stages.runner import Input, Job, Made, device_of


def job(params: Params, layout: Layout, dataset: str, method: Method, draw: Draw | None) -> Job:
    """Test one method on ``dataset``; with DPC, along ω_b and ω_n as well."""
    require_dataset(params, dataset)
    shots, seed, source = None, None, dataset
    if draw is not None:
        shots, seed, source = draw.shots, draw.seed, params.source_of(dataset)
        params = params.at(source, shots)

    def make(artifacts: Mapping[str, Artifact], key: str) -> Made:
        row, arrays = evaluate(params, layout, dataset, method, artifacts, seed)
        cell = {
            "dataset": dataset,
            "source": source,
            "protocol": params.protocol,
            "shots": shots,
            "seed": seed,
        }
        return {"row.safetensors": Artifact(arrays, cell | row)}

    return Job(
        "evaluate",
        {
            "dataset": dataset,
            "source": source,
            "method": method.name,
            "shots": shots,
            "seed": seed,
        },
        slices.evaluate(params, method),
        _inputs(params, layout, dataset, method, draw),
        {"row.safetensors": layout.evaluated(dataset, method.name, draw)},
        make,
        device_of(params),
    )


def _inputs(
    params: Params, layout: Layout, dataset: str, method: Method, draw: Draw | None
) -> dict[str, Input]:
    found = {"test": test_input(params, layout, dataset)}
    if draw is None:
        return found
    source = params.source_of(dataset)
    found["tuned"] = tuned_input(
        params, layout, source, method.backbone, draw, budget=method.kind == "budget"
    )
    if method.has_parallel:
        found["parallel"] = parallel_input(params, layout, source, method, draw)
    if method.kind == "dpc" and source == dataset:
        found["shots"] = shots_input(params, layout, dataset, draw, "val.")
    if traits(params, method.backbone)["needs_teacher"]:
        found["teacher"] = teacher_input(params, layout, dataset)
    return found


def evaluate(
    params: Params,
    layout: Layout,
    dataset: str,
    method: Method,
    inputs: Mapping[str, Artifact],
    seed: int | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row (see ``report.rows``) and its arrays (see ``readings.Tested``, ``stages.channels``).

    Tuned classes are read with P̃_b = ω_b·P' + (1 − ω_b)·P, all others with P̃_n (DPC, eq. of
    Weighting-Decoupling); a row without DPC is P on both.

    Raises:
        TrainingError: prompts so large that a logit is no number.
    """
    import torch

    from dpc.evaluation.accuracy import NotNumbers
    from dpc.stages.channels import BEYOND, add_channels, start_of
    from dpc.stages.models import models
    from dpc.stages.readings import Reading, run_test

    dpc, test = params.stage_two(method.backbone), inputs["test"].results
    tuned, mixed = dataset not in params.run.targets, method.kind == "dpc"
    walked = mixed and tuned and bool(dpc.sweep)  # a sweep's point is read at its own weight alone
    weight, weight_new = method.weights(dpc)
    reading = Reading(
        len(test["classnames"]),
        test["base"],
        tuned,
        weight,
        weight_new,
        sweep=(*dpc.sweep, *BEYOND) if walked else (),
        sweep_new=dpc.sweep_new if mixed else (),
    )
    with torch.no_grad(), models(params, layout, dataset, method, inputs) as found:
        try:
            tested = run_test(params.protocol, found, reading)
        except NotNumbers as problem:
            keys = f"backbones.{method.backbone}.lr{' or dpc.lr' if method.has_parallel else ''}"
            raise TrainingError(f"{problem}: its prompts diverged; lower {keys}") from None
        if walked:
            classes = range(reading.base if params.halved else reading.classes)
            start = start_of(params, method.backbone, found.clip, inputs, seed)
            add_channels(tested, found, classes, start)
    row = method_fields(params, method) | tested.fields | {"curves": None, "selected": None}
    if mixed:
        omega_b = [
            {"weight": w, "test": value, "val": tested.val.get(w)}
            for w, value in tested.omega_b.items()
        ]
        omega_n = [{"weight": w, "test": value} for w, value in tested.omega_n.items()]
        row["curves"] = {"omega_b": omega_b, "omega_n": omega_n}
        if tuned:
            metric = "base" if params.halved else "accuracy"
            row["selected"] = selected(omega_b, metric, tested.beside)
    drawn, negatives = of_row(inputs if mixed and tuned else {})
    return row | training_facts(inputs) | negatives, tested.arrays | drawn


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


def selected(
    points: Sequence[Mapping[str, Any]],
    metric: str,
    beside: Mapping[float, Mapping[str, float]],
) -> dict[str, Any]:
    """ω_b chosen on validation shots, and on the test set (an oracle nobody has); the smaller of
    two equal ones, as it lies nearer to the tuned prompt.

    Args:
        points: of the curve over ω_b.
        metric: what its test accuracies are called in the row.
        beside: other accuracies that a weight comes with.
    """

    def best(split: str) -> dict[str, Any]:
        point = max(points, key=lambda point: (point[split], -point["weight"]))
        weight = point["weight"]
        return {"weight": weight, metric: point["test"], **beside.get(weight, {})}

    found: dict[str, Any] = {"val": None}
    if points and points[0]["val"] is not None:
        found["val"] = best("val")
    if points:
        found["test_oracle"] = best("test")
    return found


def training_facts(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Losses an epoch, images and steps of what was trained for this row, both stages added; of
    prompts that were tuned elsewhere, how many of their sentences are others than here (None: their
    file does not say)."""
    facts: dict[str, Any] = {
        "history": None,
        "images_seen": 0,
        "steps": 0,
        "pairs_per_step": None,
        "images_per_step": None,
        "learned": {},
        "imported": {
            role: made.results["imported"]["sentences"]
            for role, made in inputs.items()
            if "imported" in made.results
        },
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
