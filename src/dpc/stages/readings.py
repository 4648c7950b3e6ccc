"""What each protocol tests of one row: which images, over which classes, with which weight.

Every test returns accuracies in percent; ω_b is the weight that tuned classes are read with, ω_n
the one of all others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dpc.evaluation.accuracy import accuracy
from dpc.evaluation.calibration import ece, reliability
from dpc.evaluation.joint import joint_accuracies, offset_curve
from dpc.params.protocols import BASE_TO_NEW, GENERALIZED


class Classifier(Protocol):
    """What a row is read with: mixes of P and P', or a baseline."""

    def scores(
        self,
        images: str,
        classes: range,
        weights: Sequence[float],
        rows: Tensor | None = None,
    ) -> dict[float, Tensor]:
        """Logits (N, C) by weight; see `dpc.stages.models.Models.scores`."""

    def labels(self, images: str) -> Tensor:
        """(N,) of the images "test" or "val"."""


@dataclass(frozen=True)
class Reading:
    """How a row is read.

    Attributes:
        classes, base: number of classes, and of base classes among them.
        tuned: whether the classes were tuned on (false for the targets of a transfer).
        weight, weight_new: ω_b and ω_n.
        sweep, sweep_new: their other values, for the curves. Values of ``sweep`` above 1 are read
            on the test images alone: no ω_b that validation shots might choose.
    """

    classes: int
    base: int
    tuned: bool
    weight: float
    weight_new: float
    sweep: Sequence[float] = ()
    sweep_new: Sequence[float] = ()

    @property
    def choices(self) -> list[float]:
        """The values of ω_b that validation shots choose among."""
        return [weight for weight in self.sweep if weight <= 1]


@dataclass
class Tested:
    """What a test found.

    Attributes:
        fields: of the row.
        arrays: logits (N, C) float16, predictions and labels, by part of the test.
        omega_b, omega_n: accuracy by weight.
        beside: by ω_b, every accuracy that it changes, where that is more than one.
        val: accuracy on validation shots by ω_b; empty without any.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    omega_b: dict[float, float] = field(default_factory=dict)
    omega_n: dict[float, float] = field(default_factory=dict)
    beside: dict[float, dict[str, float]] = field(default_factory=dict)
    val: dict[float, float] = field(default_factory=dict)

    def keep(self, part: str, logits: Tensor, labels: Tensor) -> None:
        """Keep what statistics need of a part's images, and how sure of them the logits are."""
        self.arrays[f"{part}.logits"] = logits.numpy().astype("float16")
        self.arrays[f"{part}.predictions"] = logits.argmax(dim=1).numpy()
        self.arrays[f"{part}.labels"] = labels.numpy()
        bins = reliability(logits.numpy(), labels.numpy())
        self.fields.setdefault("reliability", {})[part] = [list(each) for each in bins]
        self.fields.setdefault("ece", {})[part] = ece(bins)


def run_test(protocol: str, models: Classifier, reading: Reading) -> Tested:
    """The test of a protocol."""
    test: Callable[[Classifier, Reading], Tested] = {
        BASE_TO_NEW: apart,
        GENERALIZED: together,
    }.get(protocol, whole)
    return test(models, reading)


def apart(models: Classifier, reading: Reading) -> Tested:
    """Base and new classes, each with labels of their own: base with P̃_b, new with P̃_n."""
    found, labels = Tested(), models.labels("test")
    for part, classes, weight, sweep, curve in (
        ("base", range(reading.base), reading.weight, reading.sweep, found.omega_b),
        (
            "new",
            range(reading.base, reading.classes),
            reading.weight_new,
            reading.sweep_new,
            found.omega_n,
        ),
    ):
        rows = _rows_of(labels, classes)
        own = labels[rows] - classes.start
        scores = models.scores("test", classes, [weight, *sweep], rows)
        found.keep(part, scores[weight], own)
        accuracies = {w: accuracy(each, own) for w, each in scores.items()}
        found.fields |= {
            part: accuracies[weight],
            f"n_{part}": len(own),
            f"classes_{part}": len(classes),
        }
        curve |= {w: accuracies[w] for w in sweep}
    found.val = _validation(models, range(reading.base), reading)
    return found


def whole(models: Classifier, reading: Reading) -> Tested:
    """All classes: with P̃_b where they were tuned on, with P̃_n on the target of a transfer."""
    found, labels = Tested(), models.labels("test")
    weight = reading.weight if reading.tuned else reading.weight_new
    sweep = reading.sweep if reading.tuned else reading.sweep_new
    classes = range(reading.classes)
    scores = models.scores("test", classes, [weight, *sweep])
    found.keep("test", scores[weight], labels)
    accuracies = {w: accuracy(each, labels) for w, each in scores.items()}
    found.fields |= {"accuracy": accuracies[weight], "n": len(labels), "classes": len(classes)}
    curve = found.omega_b if reading.tuned else found.omega_n
    curve |= {w: accuracies[w] for w in sweep}
    if reading.tuned:
        found.val = _validation(models, classes, reading)
    return found


def together(models: Classifier, reading: Reading) -> Tested:
    """Base and new classes with joint labels, and nobody says which an image has.

    A base name's logit comes from P̃_b, a new name's from P̃_n; a backbone that prompts the image
    tower sees every image twice, once with each.
    """
    found, labels, count = Tested(), models.labels("test"), reading.base
    base, new = range(count), range(count, reading.classes)
    of_base = models.scores("test", base, [reading.weight, *reading.sweep])
    of_new = models.scores("test", new, [reading.weight_new, *reading.sweep_new])
    own_base, own_new = of_base[reading.weight], of_new[reading.weight_new]
    logits = torch.cat([own_base, own_new], dim=1)
    for part, rows in (("base", labels < count), ("new", labels >= count)):
        found.keep(part, logits[rows], labels[rows])
        found.fields[f"n_{part}"] = int(rows.sum())
    found.fields |= {"classes_base": len(base), "classes_new": len(new)}
    found.fields |= joint_accuracies(logits, labels, count)
    found.fields["offsets"] = offset_curve(logits, labels, count)
    for weight in reading.sweep:
        mixed = torch.cat([of_base[weight], own_new], dim=1)
        found.beside[weight] = joint_accuracies(mixed, labels, count)
        found.omega_b[weight] = found.beside[weight]["base"]
    for weight in reading.sweep_new:
        mixed = torch.cat([own_base, of_new[weight]], dim=1)
        found.omega_n[weight] = joint_accuracies(mixed, labels, count)["new"]
    found.val = _joint_validation(models, base, new, reading)
    return found


def _validation(models: Classifier, classes: range, reading: Reading) -> dict[float, float]:
    """Accuracy on the validation shots along ω_b."""
    labels = models.labels("val") if reading.choices else torch.zeros(0)
    if len(labels) == 0:
        return {}
    scores = models.scores("val", classes, reading.choices)
    return {weight: accuracy(each, labels) for weight, each in scores.items()}


def _joint_validation(
    models: Classifier, base: range, new: range, reading: Reading
) -> dict[float, float]:
    """As `_validation`, with the new classes' names competing."""
    labels = models.labels("val") if reading.choices else torch.zeros(0)
    if len(labels) == 0:
        return {}
    of_new = models.scores("val", new, [reading.weight_new])[reading.weight_new]
    return {
        weight: accuracy(torch.cat([each, of_new], dim=1), labels)
        for weight, each in models.scores("val", base, reading.choices).items()
    }


def _rows_of(labels: Tensor, classes: range) -> Tensor:
    inside = (labels >= classes.start) & (labels < classes.stop)
    return inside.nonzero().flatten()
