"""Where everything lies: the one place that knows the tree both engines share."""

from dataclasses import dataclass
from pathlib import Path

from dpc.stages.cells import Draw

CHECKPOINTS = Path(".cache/checkpoints")
SWEEPS = Path(".cache/sweeps")


def checkpoint(key: str) -> Path:
    """Where a training is kept that has not come to its end; it belongs to no tree of results."""
    return CHECKPOINTS / f"{key}.safetensors"


@dataclass(frozen=True)
class Layout:
    """Paths below ``root`` (``results`` for the engines, a scratch folder for trials by hand)."""

    root: Path = Path("results")

    def slice(self, name: str) -> Path:
        """The parameters and the code version that one kind of work depends on."""
        return self.root / ".params" / f"{name}.json"

    def manifest(self, dataset: str) -> Path:
        """Class names, splits and content hashes of a dataset."""
        return self.root / "prepare" / dataset / "manifest.json"

    def images(self, dataset: str) -> Path:
        """Rendered images of an embedded dataset."""
        return self.root / "prepare" / dataset / "images.zip"

    def test_features(self, dataset: str) -> Path:
        """Frozen features of the test images."""
        return self.root / "features" / dataset / "test.safetensors"

    def shots(self, dataset: str, draw: Draw) -> Path:
        """Frozen features of one draw's few-shot and validation images."""
        return self.root / "features" / dataset / f"{draw.name}.safetensors"

    def tuned(self, dataset: str, backbone: str, draw: Draw, budget: bool = False) -> Path:
        """The tuned prompt P; with ``budget``, tuned for as long as both stages together."""
        stage = "budget" if budget else "tune"
        return self.root / stage / dataset / backbone / f"{draw.name}.safetensors"

    def make_room_for_teacher(self, dataset: str) -> None:
        """Make the teacher's folder: engines name it, with or without a teacher in it."""
        self.teacher(dataset).parent.mkdir(parents=True, exist_ok=True)

    def teacher(self, dataset: str) -> Path:
        """The tuned prompts of the teacher."""
        return self.root / "teacher" / dataset / "tuned.safetensors"

    def teacher_text(self, dataset: str) -> Path:
        """The teacher's features of all classes."""
        return self.root / "teacher" / dataset / "text.safetensors"

    def teacher_images(self, dataset: str) -> Path:
        """The teacher's features of the training images."""
        return self.root / "teacher" / dataset / "images.safetensors"

    def parallel(self, dataset: str, backbone: str, draw: Draw, two_step: bool = False) -> Path:
        """The parallel prompt P'; with ``two_step``, the one of the ablation's first rung."""
        stage = "two_step" if two_step else "finetune"
        return self.root / stage / dataset / backbone / f"{draw.name}.safetensors"

    def evaluated(self, dataset: str, method: str, draw: Draw | None) -> Path:
        """Logits, predictions and accuracies of one row."""
        name = "all" if draw is None else draw.name
        return self.root / "evaluate" / dataset / method / f"{name}.safetensors"

    def swept(self, sweep: str, dataset: str, backbone: str) -> Path:
        """The rows of all points of a sweep."""
        return self.root / "sweeps" / sweep / dataset / f"{backbone}.safetensors"

    def make_room_for_sweeps(self) -> None:
        """Make the sweeps' folder: engines name it, with or without a sweep in it."""
        (self.root / "sweeps").mkdir(parents=True, exist_ok=True)

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.root / "report"

    @property
    def live(self) -> Path:
        """The training curves, for `dvc plots show`."""
        return self.root / "live"

    @property
    def metrics(self) -> Path:
        """Every number of the table, in one JSON file."""
        return self.root / "metrics.json"

    @property
    def summary(self) -> Path:
        """At most ten numbers, for the table of experiments."""
        return self.root / "summary.json"


@dataclass(frozen=True)
class PointLayout(Layout):
    """The files of a sweep's point: what it has in common with the grid lies in the grid's tree.

    Attributes:
        grid: that tree.
        own_shots, own_teacher: whether the point draws other views, or reads more of the teacher.
    """

    grid: Layout = Layout()
    own_shots: bool = False
    own_teacher: bool = False

    def manifest(self, dataset: str) -> Path:
        """As the grid's."""
        return self.grid.manifest(dataset)

    def images(self, dataset: str) -> Path:
        """As the grid's."""
        return self.grid.images(dataset)

    def test_features(self, dataset: str) -> Path:
        """As the grid's."""
        return self.grid.test_features(dataset)

    def shots(self, dataset: str, draw: Draw) -> Path:
        """The grid's, where it has them."""
        return super().shots(dataset, draw) if self.own_shots else self.grid.shots(dataset, draw)

    def teacher(self, dataset: str) -> Path:
        """The grid's teacher, which a point may show more views."""
        return super().teacher(dataset) if self.own_teacher else self.grid.teacher(dataset)

    def teacher_text(self, dataset: str) -> Path:
        """With `teacher`."""
        own = self.own_teacher
        return super().teacher_text(dataset) if own else self.grid.teacher_text(dataset)

    def teacher_images(self, dataset: str) -> Path:
        """With `teacher`."""
        own = self.own_teacher
        return super().teacher_images(dataset) if own else self.grid.teacher_images(dataset)
