"""What a reader must know of the rows of baselines."""

from collections.abc import Mapping

from dpc.params.protocols import GENERALIZED
from dpc.report.rows import Results
from dpc.report.scores import Contender
from dpc.report.words import listed


def rules(results: Results) -> list[str]:
    """What a reader must know of the baselines' rows, for the notes as well; empty without any."""
    if not results.baselines:
        return []
    protocol, names = results.protocol, listed([one.label for one in results.baselines])
    lines = [
        f"{names}: no prompt; the same shots and frozen features as the backbones. Published "
        f"settings ({_settings(results)}), which their authors chose on photos and a CLIP whose "
        "logits have a scale of 100; nothing about them is chosen here."
    ]
    if "new" in protocol.metrics:
        how = (
            "new names compete with zero-shot CLIP's logits"
            if protocol.name == GENERALIZED
            else "new is zero-shot CLIP's, by construction"
        )
        lines.append(f"Nothing trains their weights for new classes: {how}.")
    if protocol.transfers:
        lines.append(
            "They know the source's classes alone: a target has no row of theirs, zero-shot CLIP's "
            "is what would stand there."
        )
    return lines


def _settings(results: Results) -> str:
    return "; ".join(f"{one.label}: {settings(results, one)}" for one in results.baselines)


def settings(results: Results, baseline: Contender) -> str:
    """``lr 0.1, epochs 300, batch 256``, as the rows have it."""
    found: dict[str, None] = {}
    for dataset in results.datasets:
        for score in results.runs(dataset, baseline):
            block: Mapping[str, float] = score.row["baseline"]
            found[", ".join(f"{key} {value:g}" for key, value in block.items())] = None
    return " or ".join(found)
