"""Prompts that were tuned elsewhere, in the place of a stage's training.

Unlike where their files lie, what is done here decides the tensors of P and P': it counts in the
version of the stages' code.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dpc.artifacts import Artifact
from dpc.params.sections import Params
from dpc.stages.cells import Draw
from dpc.stages.imported import block_of, imported_file, require_cell

if TYPE_CHECKING:
    from torch import Tensor

    from dpc.backbones.base import Backbone, Task
    from dpc.exchange.layouts import Names


def given(
    params: Params,
    stage: str,
    dataset: str,
    backbone: str,
    parts: Mapping[Draw, Mapping[str, Artifact]],
    start: "Callable[[Draw, Mapping[str, Artifact]], tuple[Backbone, Task]]",
) -> dict[Draw, Artifact]:
    """What `taken` makes of the file of every draw.

    Args:
        parts: the inputs of each.
        start: (draw, its inputs) -> the module and the task that a training would begin with.
    """
    return {
        draw: taken(
            params, stage, dataset, backbone, draw, *start(draw, inputs), inputs["imported"]
        )
        for draw, inputs in parts.items()
    }


def taken(
    params: Params,
    stage: str,
    dataset: str,
    backbone: str,
    draw: Draw,
    module: "Backbone",
    task: "Task",
    artifact: Artifact,
) -> Artifact:
    """An imported artefact as the stage's own: prompts as they are, of no steps.

    Args:
        backbone: its name, or ``TEACHER``.
        module: the backbone at its start, or P; its state says which tensors there are. What stage
            one takes from a teacher it gives to a P that lacks it.
        task: the classes that it learns to tell apart here. A file that was tuned in other
            sentences is taken with a warning, and the artefact says how many differ.

    Raises:
        DpcError: prompts of another cell, stage or size.
    """
    from dpc.exchange.importing import fit
    from dpc.exchange.layouts import layout_named, layouts
    from dpc.progress import LOG
    from dpc.stages.states import arrays, tensors

    place = str(imported_file(params, stage, dataset, backbone, draw))
    require_cell(artifact.results["cell"], stage, dataset, backbone, draw, place)
    learner, block, key = block_of(params, backbone)
    names = layout_named(layouts(params.backbones), learner)
    state, found = module.state_dict(), tensors(artifact)
    if stage == "tuned" and names.from_teacher is not None:
        found = {k: v for k, v in state.items() if k.startswith(names.from_teacher)} | found
    fit(found, state, names, block, place, key)
    LOG.info("%s %s %s: %s prompts come from %s", dataset, backbone, draw.title, stage, place)
    results: dict[str, Any] = {
        "history": {},
        "steps": 0,
        "images_seen": 0,
        "imported": {
            **{key: artifact.results[key] for key in ("source", "layout", "epoch")},
            "sentences": _sentences(names, found, module, task, artifact, place),
        },
    }
    if stage == "tuned":
        learned = {name: list(value.shape) for name, value in module.named_parameters()}
        results |= {"epochs": 0, "learned": learned}
    else:
        results |= {"pairs_per_step": None, "negatives": None}
    return Artifact(arrays(found), results)


def _sentences(
    names: "Names",
    found: Mapping[str, "Tensor"],
    module: "Backbone",
    task: "Task",
    artifact: Artifact,
    place: str,
) -> dict[str, int] | None:
    """How many of the sentences of ``task`` are others than the prompts were tuned in, with a
    warning if some are; None: the file does not say."""
    from dpc.exchange.sentences import differing
    from dpc.progress import LOG

    marks = artifact.results["sentences"]
    if marks is None:
        return None
    sentences = module.sentences(task.classnames, task.template)
    others = differing(marks, task.clip, sentences, len(found[names.contexts[0]]))
    if others:
        LOG.warning(
            "%s was tuned with other class names, words or another CLIP: %d of %d sentences "
            "differ, first %r",
            place,
            len(others),
            len(sentences),
            sentences[others[0]],
        )
    return {"differ": len(others), "all": len(sentences)}
