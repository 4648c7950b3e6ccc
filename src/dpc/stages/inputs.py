"""Artefacts as other stages' inputs: where each lies, what makes it, how to make it again."""

from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import Draw, Method, trained_together
from dpc.stages.imported import import_command, imported_file
from dpc.stages.layout import Layout
from dpc.stages.runner import Input


def manifest_input(params: Params, layout: Layout, dataset: str) -> Input:
    """The prepared dataset as another stage's input."""
    remedy = f"run `dpc prepare --dataset {dataset}`"
    return Input(layout.manifest(dataset), slices.prepare(params, dataset), remedy)


def test_input(params: Params, layout: Layout, dataset: str) -> Input:
    """The features of the test images as another stage's input."""
    remedy = f"run `dpc features --dataset {dataset}`"
    return Input(layout.test_features(dataset), slices.features(params), remedy)


def shots_input(params: Params, layout: Layout, dataset: str, draw: Draw, *parts: str) -> Input:
    """One draw's features as another stage's input; ``parts``: prefixes of what it reads."""
    remedy = f"run `dpc features --dataset {dataset}`"
    return Input(layout.shots(dataset, draw), slices.shots(params), remedy, parts)


def teacher_input(params: Params, layout: Layout, dataset: str) -> Input:
    """The teacher's features of the classes as another stage's input."""
    remedy = f"run `dpc teacher --dataset {dataset}`"
    return Input(layout.teacher_text(dataset), slices.teacher_features(params), remedy)


def taught_input(params: Params, layout: Layout, dataset: str) -> Input:
    """The teacher's features of the training images as another stage's input."""
    remedy = f"run `dpc teacher --dataset {dataset}`"
    return Input(layout.teacher_images(dataset), slices.teacher_features(params), remedy)


def tuned_teacher_input(params: Params, layout: Layout, dataset: str) -> Input:
    """The teacher's tuned prompts as another stage's input."""
    remedy = f"run `dpc teacher --dataset {dataset}`"
    return Input(layout.teacher(dataset), slices.teacher(params), remedy)


def tuned_input(
    params: Params, layout: Layout, dataset: str, backbone: str, draw: Draw, budget: bool = False
) -> Input:
    """The tuned prompt as another stage's input."""
    (drawn,) = trained_together(params, [draw])
    made_by = (slices.budget if budget else slices.tune)(params, backbone, drawn)
    cell = f"--dataset {dataset} --backbone {backbone} --shots {draw.shots} --seeds {draw.seed}"
    remedy = f"run `dpc tune {cell}{' --part budget' if budget else ''}`"
    return Input(layout.tuned(dataset, backbone, draw, budget), made_by, remedy)


def parallel_input(
    params: Params, layout: Layout, dataset: str, method: Method, draw: Draw
) -> Input:
    """The parallel prompt of a method as another stage's input."""
    backbone, two_step = method.backbone, method.two_step
    (drawn,) = trained_together(params, [draw])
    cell = f"--dataset {dataset} --backbone {backbone} --shots {draw.shots} --seeds {draw.seed}"
    return Input(
        layout.parallel(dataset, backbone, draw, two_step),
        slices.finetune(params, backbone, two_step, drawn),
        f"run `dpc finetune {cell}{' --part ablation' if two_step else ''}`",
    )


def imported_input(
    params: Params, stage: str, dataset: str, backbone: str, draw: Draw
) -> dict[str, Input]:
    """Prompts from elsewhere as the input of the stage that they take the place of; nothing where
    the prompts are trained here. ``stage``: "tuned" or "parallel"."""
    path = imported_file(params, stage, dataset, backbone, draw)
    if path is None:
        return {}
    # no parameter or code of this experiment made it: nothing there to be stale
    made_by: slices.Slice = {"params": None, "code": None}
    return {"imported": Input(path, made_by, import_command(stage, dataset, backbone, draw))}


def row_input(
    params: Params, layout: Layout, dataset: str, method: Method, draw: Draw | None
) -> Input:
    """A row as the report's input."""
    if draw is not None:
        params = params.at(params.source_of(dataset), draw.shots)
    return Input(
        layout.evaluated(dataset, method.name, draw),
        slices.evaluate(params, method),
        f"run `dpc evaluate --dataset {dataset} --backbone {method.backbone}`",
    )
