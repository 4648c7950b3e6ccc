"""The hard negatives of stage two, between its artefact and the rows that show them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dpc.artifacts import Artifact
from dpc.datasets.base import Item

RECORD = "record/"  # no tensor of a module has a slash in its name
PAIRS = f"{RECORD}negatives"
STRONGEST = 24  # pairs whose images are named


def recorded(
    drawn: Sequence[tuple[int, int, int, int, int]] | None,
    anchors: Sequence[Item],
    pool: Sequence[Item],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What an artefact of stage two holds of its negatives; nothing where it drew none.

    Args:
        drawn: of ``Sampler.record``, by class and negative class.
        anchors: images of the bank.
        pool: images that negatives were drawn from.

    Returns:
        A tensor (P, 3) int32: class, negative class (labels of the tuned classes), times drawn.
        Results: of the pairs drawn most also the names of two images, what drew and what was
        drawn the last time.
    """
    if drawn is None:
        return {}, {"negatives": None}
    pairs = np.array([each[:3] for each in drawn], dtype=np.int32).reshape(-1, 3)
    most = sorted(drawn, key=lambda each: -each[2])[:STRONGEST]
    strongest = [
        {
            "label": label,
            "negative": negative,
            "times": times,
            "image": anchors[anchor].image,
            "drawn": pool[last].image,
        }
        for label, negative, times, anchor, last in most
    ]
    return {PAIRS: pairs}, {"negatives": strongest}


def of_row(inputs: Mapping[str, Artifact]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The same, out of the inputs of an evaluated row: for its arrays and its fields."""
    if "parallel" not in inputs:
        return {}, {"negatives": None}
    made = inputs["parallel"]
    arrays = {PAIRS: made.tensors[PAIRS]} if PAIRS in made.tensors else {}
    return arrays, {"negatives": made.results["negatives"]}
