"""Plans of every training of the grid, made before any data is: shapes, counts and words decide."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from dpc.artifacts import Artifact
from dpc.backbones.base import Backbone, Task, Teacher, make_task
from dpc.clip.model import Clip
from dpc.doctor.sizes import Size, drawn
from dpc.params.backbones import traits
from dpc.params.sections import Params
from dpc.stages import estimate
from dpc.stages.estimate import Plan
from dpc.stages.finetune import batch_key, stage_two_recipe
from dpc.stages.imported import STAGES, TEACHER, mark
from dpc.stages.states import new_backbone, new_teacher
from dpc.stages.tune import prolonged, stage_one_recipe


@dataclass(frozen=True)
class Training:
    """One kind of cell: a stage of a backbone on a dataset at a number of shots, for any seed.

    Attributes:
        stage: "tune", "budget", "finetune" or "two_step"; "teacher" for the teacher's own.
        dataset, backbone, shots: the cell.
        plan: what it takes.
        together: seeds that take their steps in one forward pass.
        imported: the prompts come from elsewhere: no step is taken, and what is left is the same.
    """

    stage: str
    dataset: str
    backbone: str
    shots: int
    plan: Plan
    together: int = 1
    imported: bool = False

    @property
    def step(self) -> Plan:
        """What a process takes that runs it: of all seeds that it trains together."""
        return estimate.together(self.plan, self.together)

    @property
    def learned(self) -> int:
        """Bytes of the tensors that it leaves."""
        return sum(4 * value.count for value in self.plan.learned)


class Planner:
    """Plans for one dataset and number of shots.

    Args:
        params: as they stand for that dataset and number of shots.
        size: of the dataset.
        clip, teacher: with the right shapes; weights do not matter.
    """

    def __init__(
        self, params: Params, dataset: str, shots: int, size: Size, clip: Clip, teacher: Clip | None
    ):
        self._params, self._dataset, self._shots = params, dataset, shots
        self._size, self._clip, self._teacher_clip = size, clip, teacher
        self._tuned = size.tuned(params.halved)
        self.images = drawn(size.train[: self._tuned], shots)

    def trainings(self, backbone: str) -> Iterator[Training]:
        """All of a backbone's, those that come from elsewhere among them.

        Raises:
            DpcError: prompts that do not fit this CLIP, or sentences that are too long for it.
        """
        run = self._params.run
        given = [bool(mark(self._params, stage, backbone)) for stage in STAGES]
        yield replace(self._stage_one("tune", backbone), imported=given[0])
        if backbone in run.budget:
            yield self._stage_one("budget", backbone)
        yield replace(self._stage_two("finetune", backbone), imported=given[1])
        if backbone in run.ablations:
            yield self._stage_two("two_step", backbone)

    def teacher(self) -> Iterator[Training]:
        """The teacher's own, one.

        Raises:
            DpcError: as `trainings`.
        """
        if self._teacher_clip is None:
            raise ValueError("this grid has no teacher")
        learner = self._params.teacher.backbone
        module = new_teacher(self._params, self._teacher_clip, 0)
        names = self._size.classnames[: self._tuned]
        task = make_task(self._teacher_clip, module, names, self._template)
        recipe = stage_one_recipe(self._params.teacher_block(), self._params.optimizer)
        title = self._title("teacher", "")
        plan = estimate.tuning(title, task, module, self.images, recipe, "teacher.settings.batch")
        given = bool(mark(self._params, "tuned", TEACHER))
        yield Training("teacher", self._dataset, learner, self._shots, plan, imported=given)

    @property
    def _template(self) -> str:
        return str(self._params.backbones["zero_shot"]["template"])

    @property
    def _together(self) -> int:
        run = self._params.run
        return min(run.together, len(run.seeds))

    def _title(self, stage: str, backbone: str) -> str:
        title = f"{stage} {self._dataset} {backbone}".rstrip()
        if len(self._params.run.shots) == 1:
            return title
        return f"{title} {self._shots} {'shot' if self._shots == 1 else 'shots'}"

    def _stage_one(self, stage: str, backbone: str) -> Training:
        params = self._params
        unlabelled = traits(params, backbone)["transductive"]
        images = drawn(self._size.train, params.data.unlabelled) if unlabelled else self.images
        classes = len(self._size.classnames) if unlabelled else self._tuned
        module, task = self._start(backbone, classes)
        recipe = stage_one_recipe(params.backbones[backbone], params.optimizer)
        if stage == "budget":
            names = list(self._size.classnames[: self._tuned])
            shots = Artifact({"train.labels": np.zeros(self.images)}, {"classnames": names})
            recipe = prolonged(params, backbone, recipe, images, shots)
        place = f"backbones.{backbone}.batch"
        title = self._title(stage, backbone)
        plan = estimate.tuning(title, task, module, images, recipe, place)
        return Training(stage, self._dataset, backbone, self._shots, plan, self._together)

    def _stage_two(self, stage: str, backbone: str) -> Training:
        params = self._params
        module, task = self._start(backbone, self._tuned)
        recipe = stage_two_recipe(params, backbone, stage == "two_step")
        place = batch_key(params, backbone)
        title = self._title(stage, backbone)
        plan = estimate.finetuning(title, task, module, self.images, recipe, place)
        return Training(stage, self._dataset, backbone, self._shots, plan, self._together)

    def _start(self, backbone: str, classes: int) -> tuple[Backbone, Task]:
        """The backbone before its first step, and the classes that it tells apart."""
        teacher = self._taught(classes) if traits(self._params, backbone)["needs_teacher"] else None
        names = self._size.classnames[:classes]
        module = new_backbone(self._params, backbone, self._clip, 0, teacher).to(self._clip.device)
        return module, make_task(self._clip, module, names, self._template, teacher)

    def _taught(self, classes: int) -> Teacher:
        """A teacher with the shapes of the one that will be tuned."""
        clip = self._teacher_clip
        if clip is None:
            raise ValueError("this grid has no teacher")
        module = new_teacher(self._params, clip, 0)
        names = self._size.classnames[:classes]
        task = make_task(clip, module, names, self._template)
        return Teacher(
            text_features=torch.zeros(classes, clip.embed_dim),
            logit_scale=clip.logit_scale,
            text_prompts=tuple(prompt.detach() for prompt in module.prompts().text),
            tokens=task.tokens,
            load=lambda: clip,
        )


def at_least_one(size: Size) -> Size:
    """``size`` with an image in every class, so that a training has steps to be planned."""
    return replace(size, train=tuple(max(1, images) for images in size.train))
