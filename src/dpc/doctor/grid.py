"""What the grid of the params file will take: cells, time, memory, disk, before anything runs.

Time and memory are those of :mod:`dpc.stages.estimate` (to a factor of three and of two) and of the
encoding of images; reading and decoding images is not counted.
"""

import time
from collections.abc import Iterator, Mapping

import torch

from dpc.baselines import baseline
from dpc.clip.model import Clip
from dpc.doctor.findings import GridReport, Problem
from dpc.doctor.plans import Planner, Training, at_least_one
from dpc.doctor.sizes import Size, drawn
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.activations import FORWARD_BACKWARD, image_tower
from dpc.stages.advice import refuse
from dpc.stages.cells import Method, draws_of, methods
from dpc.stages.channels import BEYOND
from dpc.stages.estimate import SLOWDOWN
from dpc.stages.machine import matmul_rate
from dpc.stages.plan import ORDER

NUMBER, LOGIT = 4, 2  # bytes of a feature's number, and of a logit's
TIMED = 4  # images
COPIES = 2  # the store keeps what the tree of results holds


class Grid:
    """The grid with the sizes of its datasets.

    Args:
        params: the experiment.
        sizes: of every dataset that it names.
        clip, teacher: with the right shapes; weights do not matter.
        free: bytes that are free for a step with both loaded; None: not known.
    """

    def __init__(
        self,
        params: Params,
        sizes: Mapping[str, Size],
        clip: Clip,
        teacher: Clip | None,
        free: int | None,
    ):
        self._params, self._clip, self._teacher, self._free = params, clip, teacher, free
        self._sizes = {
            name: at_least_one(size) if name in params.run.datasets else size
            for name, size in sizes.items()
        }
        self._problems: dict[tuple[str, str], Problem] = {}
        self._trainings: list[Training] = []
        self._students = bool(slices.students(params))
        self._draws = len(params.run.seeds)  # of one number of shots
        self._image = image_seconds(clip)
        self._teacher_image = image_seconds(teacher) if teacher else 0.0

    def report(self) -> GridReport:
        """All of it."""
        self._plan()
        seconds = dict.fromkeys(ORDER, 0.0)
        steps = [training for training in self._trainings if not training.imported]
        for training in steps:
            stage = {"budget": "tune", "two_step": "finetune"}.get(training.stage, training.stage)
            times = 1 if stage == "teacher" else self._draws
            seconds[stage] += times * training.plan.seconds
        seconds["features"] += sum(self._encoding(name) for name in self._params.tested)
        if self._students:
            seconds["teacher"] += sum(map(self._teaching, self._params.run.datasets))
        seconds["evaluate"] += sum(map(self._testing, self._params.tested))
        seconds["evaluate"] += sum(map(self._baselines, self._params.run.datasets))
        largest = max(steps, key=lambda each: each.step.memory, default=None)
        towers = [self._clip, *([self._teacher] if self._teacher else [])]
        return GridReport(
            protocol=self._params.protocol,
            cells=self.cells(),
            seconds=seconds,
            memory=largest.step.memory if largest else 0,
            largest=largest.plan.title if largest else "",
            weights=sum(map(_bytes_of, towers)),
            held=max(map(self._held, self._params.tested)),
            disk=COPIES * self._disk(),
            assumed=tuple(name for name, size in self._sizes.items() if size.assumed),
            problems=tuple(self._problems.values()),
        )

    def cells(self) -> dict[str, int]:
        """How many each stage has."""
        run = self._params.run
        drawn_sets = len(run.datasets) * len(run.shots) * len(run.seeds)
        return {
            "prepare": len(self._params.tested),
            "features": len(self._params.tested) + drawn_sets,
            "teacher": len(run.datasets) if self._students else 0,
            "tune": drawn_sets * (len(run.backbones) + len(run.budget)),
            "finetune": drawn_sets * (len(run.backbones) + len(run.ablations)),
            "evaluate": sum(map(self._rows, self._params.tested)),
        }

    def _rows(self, dataset: str) -> int:
        """Of the table, each seed's alone."""
        return sum(len(draws_of(m, self._params)) for m in methods(self._params, dataset))

    def _plan(self) -> None:
        run = self._params.run
        for dataset in run.datasets:
            for shots in run.shots:
                at = self._params.at(dataset, shots)
                size = self._sizes[dataset]
                planner = Planner(at, dataset, shots, size, self._clip, self._teacher)
                if self._students and shots == run.shots[0]:
                    self._collect("teacher", planner.teacher())
                for backbone in run.backbones:
                    self._collect(backbone, planner.trainings(backbone))

    def _collect(self, what: str, trainings: Iterator[Training]) -> None:
        """Keep the plans; of one kind of training, the first that cannot run is a problem."""
        try:
            for training in trainings:
                self._trainings.append(training)
                if training.imported:
                    continue
                try:
                    refuse(training.step, self._free)
                except DpcError as problem:
                    kind = (training.stage, what)
                    self._problems.setdefault(kind, Problem("grid", str(problem)))
        except DpcError as problem:
            self._problems.setdefault(("", what), Problem("grid", f"{what}: {problem}"))

    def _encoding(self, dataset: str) -> float:
        """Seconds for the frozen features of a dataset."""
        params, size = self._params, self._sizes[dataset]
        images = sum(size.test)
        if dataset not in params.run.targets:
            views, tuned = params.data.views.count, size.tuned(params.halved)
            for shots in params.run.shots:
                images += self._draws * views * drawn(size.train[:tuned], shots)
                images += self._draws * drawn(size.val[:tuned], params.data.val_shots)
            if slices.pool_of_all(params):
                draws = self._draws * len(params.run.shots)
                images += draws * views * sum(size.train[:tuned])
        return images * self._image

    def _teaching(self, dataset: str) -> float:
        """Seconds for what the teacher says of a dataset's training images."""
        size, params = self._sizes[dataset], self._params
        images = drawn(size.train, params.data.unlabelled) * slices.student_views(params)
        return images * self._teacher_image

    def _testing(self, dataset: str) -> float:
        """Seconds for the rows of a dataset: each mix reads every class, and every test image
        where a backbone prompts the image tower."""
        params, size = self._params, self._sizes[dataset]
        kinds = {each.backbone: each.plan for each in self._trainings if each.stage == "tune"}
        classes, total = len(size.classnames), 0.0
        for method in methods(params):
            plan = kinds.get(method.backbone)
            if plan is None:
                continue
            mixes = self._mixes(method, dataset)
            one = classes * forward_seconds(self._clip, plan.text.flops)
            if plan.images:
                one += sum(size.test) * forward_seconds(self._clip, plan.image.flops)
            total += len(draws_of(method, params)) * mixes * one
        return total

    def _baselines(self, dataset: str) -> float:
        """Seconds for the training of a dataset's baselines."""
        params, size = self._params, self._sizes[dataset]
        classes = size.tuned(params.halved)
        counts = [drawn(size.train[:classes], shots) for shots in params.run.shots]
        operations = sum(
            baseline(name).operations(
                count, self._clip.embed_dim, classes, getattr(params.baselines, name)
            )
            for name in params.run.baselines
            for count in counts
        )
        return self._draws * operations / matmul_rate(self._clip, self._clip.embed_dim)

    def _mixes(self, method: Method, dataset: str) -> float:
        """Passes over all test images; where classes are halved, each sees half of them."""
        dpc = self._params.stage_two(method.backbone)
        weight, weight_new = method.weights(dpc)
        curves = method.kind == "dpc"
        tuned = len({weight, *((*dpc.sweep, *BEYOND) if curves else ())})
        others = len({weight_new, *(dpc.sweep_new if curves else ())})
        if dataset in self._params.run.targets:
            return others
        if self._params.halved:
            joint = self._params.protocol == "generalized"
            return float(tuned + others) if joint else (tuned + others) / 2
        return tuned

    def _disk(self) -> int:
        """Bytes of features, logits and prompts."""
        total = sum(self._draws * training.learned for training in self._trainings)
        for dataset in self._params.tested:
            total += NUMBER * self._clip.embed_dim * sum(self._sizes[dataset].test)
            total += self._logit_bytes(dataset) + self._taught_bytes(dataset)
            if dataset in self._params.run.datasets:
                shots = self._params.run.shots
                total += self._draws * sum(self._shots_bytes(dataset, each) for each in shots)
        return total

    def _held(self, dataset: str) -> int:
        """Bytes of a dataset's largest features: of one draw, or of the teacher."""
        if dataset in self._params.run.targets:
            return NUMBER * self._clip.embed_dim * sum(self._sizes[dataset].test)
        draws = [self._shots_bytes(dataset, shots) for shots in self._params.run.shots]
        return max([*draws, self._taught_bytes(dataset)])

    def _shots_bytes(self, dataset: str, shots: int) -> int:
        """Of one draw's features."""
        params, size = self._params, self._sizes[dataset]
        train = size.train[: size.tuned(params.halved)]
        images = drawn(train, shots) + (sum(train) if slices.pool_of_all(params) else 0)
        return NUMBER * self._clip.embed_dim * images * params.data.views.count

    def _taught_bytes(self, dataset: str) -> int:
        """Of the teacher's features of a dataset that is tuned on."""
        params = self._params
        if self._teacher is None or dataset in params.run.targets:
            return 0
        images = drawn(self._sizes[dataset].train, params.data.unlabelled)
        return NUMBER * self._teacher.embed_dim * images * slices.student_views(params)

    def _logit_bytes(self, dataset: str) -> int:
        size = self._sizes[dataset]
        classes = len(size.classnames)
        if self._params.protocol == "base-to-new":
            classes = size.tuned(halved=True)
        each = LOGIT * classes + 16  # beside it label and prediction
        return self._rows(dataset) * sum(size.test) * each


def image_seconds(clip: Clip) -> float:
    """Of a frozen image tower, for one image; a tower that is no ViT is timed on a few."""
    if hasattr(clip.model.visual, "transformer"):
        return forward_seconds(clip, image_tower(clip, (), clip.precision == "bf16").flops)
    images = torch.zeros(TIMED, 3, clip.image_size, clip.image_size)
    with torch.no_grad():
        clip.encode_image(images)  # the first call sets the library up
        begin = time.perf_counter()
        float(clip.encode_image(images).sum())  # a GPU is done when the number is here
    return (time.perf_counter() - begin) / TIMED


def forward_seconds(clip: Clip, flops: float) -> float:
    """Seconds of a pass without gradients, out of the operations of one with them."""
    rate = matmul_rate(clip, clip.text_width)
    return SLOWDOWN[clip.precision] * flops / FORWARD_BACKWARD / rate


def _bytes_of(clip: Clip) -> int:
    return sum(value.numel() * value.element_size() for value in clip.model.parameters())
