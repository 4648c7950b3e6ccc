"""A cell of the tree as a classifier on its way out, for `dpc export`."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact, canonical
from dpc.clip.spec import weights_identity
from dpc.errors import DpcError
from dpc.files import digest
from dpc.params.backbones import traits
from dpc.params.sections import Params
from dpc.stages import evaluate
from dpc.stages.cells import ZERO_SHOT, Draw, Method
from dpc.stages.inputs import row_input, shots_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Input
from dpc.stages.slices import clip_spec

if TYPE_CHECKING:
    from dpc.clip.model import Clip
    from dpc.exchange.exporting import Exported, Part
    from dpc.stages.models import Models

FORMAT = 1


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        dataset, method, draw: the cell.
        classes: "base", "new" or "all".
        weight: ω_b in place of the one in params; None: that one.
        file, overrides: where the params come from.
    """

    dataset: str
    method: Method
    draw: Draw
    classes: str = "all"
    weight: float | None = None
    file: Path = Path("params.yaml")
    overrides: Sequence[str] = ()

    @property
    def command(self) -> str:
        """What makes it again, but for the folder, the formats and the file of params."""
        words = ["dpc", "export", "--dataset", self.dataset, "--backbone", self.method.backbone]
        words += ["--method", self.method.kind or "alone", "--classes", self.classes]
        words += ["--seed", str(self.draw.seed), "--shots", str(self.draw.shots)]
        words += [] if self.weight is None else ["--weight", f"{self.weight:g}"]
        return shlex.join([*words, *self.overrides])

    def behind(self, entry: Input) -> Input:
        """An input whose remedy works on the same params."""
        own = [] if self.file == Path("params.yaml") else ["--params", str(self.file)]
        words = shlex.join([*own, *self.overrides])
        remedy = f"{entry.remedy.removesuffix('`')} {words}`" if words else entry.remedy
        return replace(entry, remedy=remedy)


def check(params: Params, wanted: Wanted) -> None:
    """Refuse what the grid does not have.

    Raises:
        DpcError: an unknown data set, backbone, seed or number of shots, classes that the protocol
            does not tell apart, or a weight that nothing is read with.
    """
    run = params.run
    if wanted.method.backbone == ZERO_SHOT:
        raise DpcError(f"{ZERO_SHOT} learns nothing: there is no prompt to export")
    for what, value, known in (
        ("dataset", wanted.dataset, params.tested),
        ("backbone", wanted.method.backbone, run.backbones),
        ("seed", wanted.draw.seed, run.seeds),
        ("shots", wanted.draw.shots, run.shots),
    ):
        if value not in known:
            key = f"run.{what.removesuffix('s')}s"
            raise DpcError(
                f"{what} {value!r} is not in {key} (known: {', '.join(map(str, known))})"
            )
    if wanted.classes != "all" and not params.halved:
        raise DpcError(
            f"--classes {wanted.classes}: protocol {params.protocol} has no base and new classes; "
            "take all"
        )
    unused = not wanted.method.has_parallel or wanted.classes == "new"
    if wanted.weight is not None and (unused or wanted.dataset in run.targets):
        raise DpcError("--weight is ω_b, the share of P' on tuned classes: nothing here has it")


def collect(params: Params, layout: Layout, wanted: Wanted) -> "Exported":
    """The classifier of a cell that is tuned.

    Raises:
        DpcError: as `check`, or something is missing, damaged or stale; the message names
            the command that makes it.
    """
    import torch

    from dpc.exchange.exporting import Exported
    from dpc.stages.models import without_images

    check(params, wanted)
    inputs, row = _read(params, layout, wanted)
    prompts = {role: each for role, each in inputs.items() if role in ("tuned", "parallel")}
    params = params.at(params.source_of(wanted.dataset), wanted.draw.shots)
    weights = _weights(params, wanted)
    with torch.no_grad():
        found = without_images(params, wanted.method, inputs)
        parts = _parts(params, wanted, found, weights, inputs["test"].results)
    states = {"tuned": found.tuned.state_dict()}
    if found.parallel is not None:
        states["parallel"] = found.parallel.state_dict()
    facts = {
        **_described(params, wanted, weights),
        **_clip(params, found, parts[0].features.shape[1]),
        **_origin(prompts),
        "draw": inputs["shots"].results["draw"],
    }
    return Exported(parts, states, found.clip.logit_scale, facts, row, lambda: _tower(params))


def _read(
    params: Params, layout: Layout, wanted: Wanted
) -> tuple[dict[str, Artifact], Mapping[str, Any] | None]:
    """The artefacts of the cell by role, and its row if it was tested."""
    dataset, method, draw = wanted.dataset, wanted.method, wanted.draw
    entries = dict(evaluate.job(params, layout, dataset, method, draw).inputs)
    entries.pop("shots", None)
    # P and P' first: their commands make the rest in a scratch tree.
    first = {role: entries[role] for role in ("tuned", "parallel") if role in entries}
    found = {role: wanted.behind(entry).read() for role, entry in (first | entries).items()}
    source = params.source_of(dataset)
    shots = shots_input(params.at(source, draw.shots), layout, source, draw)
    # What was drawn, not its features, which are large.
    found["shots"] = Artifact(results=wanted.behind(shots).examine().results)
    row = wanted.behind(row_input(params, layout, dataset, method, draw))
    return found, row.read().results if row.path.is_file() else None


def _parts(
    params: Params,
    wanted: Wanted,
    found: "Models",
    weights: Mapping[str, float],
    test: Mapping[str, Any],
) -> "list[Part]":
    from dpc.exchange.exporting import Part

    parts, names = [], test["classnames"]
    for kind, classes in _ranges(params, wanted, weights, test["base"], len(names)):
        backbone, features = found.mix(weights[kind], classes)
        prompt = f"mixed.{kind}" if wanted.method.has_parallel else "tuned"
        parts.append(Part(prompt, backbone, features, names[classes.start : classes.stop]))
    return parts


def _weights(params: Params, wanted: Wanted) -> dict[str, float]:
    base, new = wanted.method.weights(params.stage_two(wanted.method.backbone))
    return {"base": base if wanted.weight is None else wanted.weight, "new": new}


def _ranges(
    params: Params, wanted: Wanted, weights: Mapping[str, float], base: int, count: int
) -> list[tuple[str, range]]:
    """Which classes are read with which weight: as the protocol tests them."""
    if not params.halved:
        return [("new" if wanted.dataset in params.run.targets else "base", range(count))]
    if wanted.classes == "all" and weights["base"] == weights["new"]:
        return [("base", range(count))]  # one prompt, one pass over the image
    halves = [("base", range(base)), ("new", range(base, count))]
    return [half for half in halves if wanted.classes in ("all", half[0])]


def _described(params: Params, wanted: Wanted, weights: Mapping[str, float]) -> dict[str, Any]:
    described, mixed = traits(params, wanted.method.backbone), wanted.method.has_parallel
    return {
        "format": FORMAT,
        "dataset": wanted.dataset,
        "source": params.source_of(wanted.dataset),
        "protocol": params.protocol,
        "backbone": wanted.method.backbone,
        "label": described["label"],
        "transductive": described["transductive"],
        "method": wanted.method.kind or "alone",
        "classes": wanted.classes,
        "shots": wanted.draw.shots,
        "seed": wanted.draw.seed,
        "omega_b": weights["base"] if mixed else None,
        "omega_n": weights["new"] if mixed else None,
        "command": wanted.command,
    }


def _clip(params: Params, found: "Models", width: int) -> dict[str, Any]:
    """Which CLIP, what its images look like, and how wide its features are."""
    from dpc.stages.frozen import input_format

    return {
        "clip": weights_identity(clip_spec(params)) | {"precision": params.clip.precision},
        "images": asdict(input_format(found.clip)),
        "image_prompts": found.tuned.needs_images,
        "width": width,
    }


def _origin(prompts: Mapping[str, Artifact]) -> dict[str, Any]:
    """The artefacts of P and P', and the parameters that they were tuned with."""
    read = {role: artifact.provenance["params"] for role, artifact in prompts.items()}
    return {
        "imported": [role for role, artifact in prompts.items() if "imported" in artifact.results],
        "made_of": {role: artifact.content for role, artifact in prompts.items()},
        "params": read,
        "params_sha256": digest(canonical(read)),
    }


def _tower(params: Params) -> "Clip":
    """The CLIP for onnx, whatever it was tuned on; without shortcuts, which need not be traced."""
    from dpc.clip.load import load

    return load(replace(clip_spec(params), device="cpu", precision="fp32"), shortcuts=False)
