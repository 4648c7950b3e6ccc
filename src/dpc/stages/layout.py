"""Where everything lies: the one place that knows the tree both engines share."""

from dataclasses import dataclass
from pathlib import Path

from dpc.stages.cells import Draw

CHECKPOINTS = Path(".cache/checkpoints")


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
