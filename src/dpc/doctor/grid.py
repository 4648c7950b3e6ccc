"""What the grid of the params file will take: cells, time, memory, disk, before anything runs.

Time and memory are those of `dpc.stages.estimate` (to a factor of three and of two) and of the
encoding of images; reading and decoding images is not counted.
"""

from collections.abc import Iterator, Mapping

from dpc.baselines import baseline
from dpc.clip.model import Clip
from dpc.doctor.findings import GridReport, Problem
from dpc.doctor.passes import forward_seconds, image_seconds
from dpc.doctor.plans import Planner, Training, at_least_one
from dpc.doctor.sizes import Size, drawn
from dpc.doctor.sweeps import Point, points_beside
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.advice import refuse
from dpc.stages.cells import Method, draws_of, methods
from dpc.stages.channels import BEYOND
from dpc.stages.machine import matmul_rate
from dpc.stages.plan import ORDER

NUMBER, LOGIT = 4, 2  # bytes of a feature's number, and of a logit's
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
        self._swept: list[Training] = []
        self._points = {
            (dataset, backbone): list(points_beside(params, dataset, backbone))
            for dataset in params.run.datasets
            for backbone in params.run.backbones
        }
        self._students = bool(slices.students(params))
        self._draws = len(params.run.seeds)  # of one number of shots
        self._image = image_seconds(clip)
        self._teacher_image = image_seconds(teacher) if teacher else 0.0

    def report(self) -> GridReport:
        """All of it."""
        self._plan()
        seconds = dict.fromkeys(ORDER, 0.0)
        steps = [training for training in self._trainings if not training.imported]
        points = [training for training in self._swept if not training.imported]
        for training in steps:
            stage = {"budget": "tune", "two_step": "finetune"}.get(training.stage, training.stage)
            times = 1 if stage == "teacher" else self._draws
            seconds[stage] += times * training.plan.seconds
        seconds["features"] += sum(self._encoding(name) for name in self._params.tested)
        if self._students:
            seconds["teacher"] += sum(map(self._teaching, self._params.run.datasets))
        seconds["evaluate"] += sum(map(self._testing, self._params.tested))
        seconds["evaluate"] += sum(map(self._baselines, self._params.run.datasets))
        seconds["sweep"] += self._draws * sum(training.plan.seconds for training in points)
        seconds["sweep"] += sum(map(self._sweeping, self._params.run.datasets))
        largest = max([*steps, *points], key=lambda each: each.step.memory, default=None)
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
            "sweep": len(run.seeds) * sum(map(len, self._points.values())),
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
                    self._collect("teacher", planner.teacher(), self._trainings)
                for backbone in run.backbones:
                    self._collect(backbone, planner.trainings(backbone), self._trainings)
        for (dataset, backbone), points in self._points.items():
            for point in points:
                own = self._own_trainings(dataset, backbone, point)
                self._collect(backbone, own, self._swept)

    def _own_trainings(self, dataset: str, backbone: str, point: Point) -> Iterator[Training]:
        size = self._sizes[dataset]
        planner = Planner(point.params, dataset, point.shots, size, self._clip, self._teacher)
        every = planner.trainings(backbone) if point.trains else iter(())
        return (training for training in every if training.stage in point.trains)

    def _collect(self, what: str, trainings: Iterator[Training], kept: list[Training]) -> None:
        """Keep the plans; of one kind of training, the first that cannot run is a problem."""
        try:
            for training in trainings:
                kept.append(training)
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
        params = self._params
        images = sum(self._sizes[dataset].test)
        if dataset not in params.run.targets:
            pool = slices.pool_of_all(params)
            images += sum(self._shown(dataset, shots, pool) for shots in params.run.shots)
        return images * self._image

    def _shown(self, dataset: str, shots: int, pool: bool) -> int:
        """Pictures that all draws of a number of shots encode; ``pool``: of all training images."""
        size, data = self._sizes[dataset], self._params.data
        tuned = size.tuned(self._params.halved)
        train = drawn(size.train[:tuned], shots) + (sum(size.train[:tuned]) if pool else 0)
        val = drawn(size.val[:tuned], data.val_shots)
        return self._draws * (data.views.count * train + val)

    def _teaching(self, dataset: str, views: int | None = None) -> float:
        """Seconds for what the teacher says of views of a dataset's training images; None: of as
        many as the grid's students are shown."""
        size, params = self._sizes[dataset], self._params
        views = slices.student_views(params) if views is None else views
        return drawn(size.train, params.data.unlabelled) * views * self._teacher_image

    def _sweeping(self, dataset: str) -> float:
        """Seconds for a dataset's points of sweeps, their trainings aside."""
        total, beside = 0.0, set()
        for backbone in self._params.run.backbones:
            for point in self._points[dataset, backbone]:
                kinds = (Method(backbone), Method(backbone, "dpc"))
                rows = [self._reading(point.params, method, dataset) for method in kinds]
                total += self._draws * sum(rows)
                beside |= set(point.beside(self._params))
        for kind, number, pool in beside:
            if kind == "teacher":
                total += self._teaching(dataset, number)
            else:
                total += self._shown(dataset, number, pool) * self._image
        return total

    def _testing(self, dataset: str) -> float:
        """Seconds for the rows of a dataset."""
        params = self._params
        return sum(
            len(draws_of(method, params)) * self._reading(params, method, dataset)
            for method in methods(params)
        )

    def _reading(self, params: Params, method: Method, dataset: str) -> float:
        """Seconds for one row: each mix reads every class, and every test image where a backbone
        prompts the image tower."""
        kinds = {each.backbone: each.plan for each in self._trainings if each.stage == "tune"}
        plan, size = kinds.get(method.backbone), self._sizes[dataset]
        if plan is None:
            return 0.0
        one = len(size.classnames) * forward_seconds(self._clip, plan.text.flops)
        if plan.images:
            one += sum(size.test) * forward_seconds(self._clip, plan.image.flops)
        return self._mixes(params, method, dataset) * one

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

    def _mixes(self, params: Params, method: Method, dataset: str) -> float:
        """Passes over all test images; where classes are halved, each sees half of them."""
        dpc = params.stage_two(method.backbone)
        weight, weight_new = method.weights(dpc)
        curves = method.kind == "dpc"
        tuned = len({weight, *((*dpc.sweep, *BEYOND) if curves and dpc.sweep else ())})
        others = len({weight_new, *(dpc.sweep_new if curves else ())})
        if dataset in params.run.targets:
            return others
        if params.halved:
            joint = params.protocol == "generalized"
            return float(tuned + others) if joint else (tuned + others) / 2
        return tuned

    def _disk(self) -> int:
        """Bytes of features, logits and prompts."""
        trainings = [*self._trainings, *self._swept]
        total = sum(self._draws * training.learned for training in trainings)
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
        names = self._params.run.backbones
        points = sum(len(self._points.get((dataset, name), ())) for name in names)
        rows = self._rows(dataset) + 2 * self._draws * points  # with DPC and without
        return rows * sum(size.test) * each


def _bytes_of(clip: Clip) -> int:
    return sum(value.numel() * value.element_size() for value in clip.model.parameters())
