"""Where an interrupted training goes on."""

from collections.abc import Callable

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.backbones.fitting import Progress
from dpc.errors import DpcError
from dpc.files import write_atomically
from dpc.progress import Meter
from dpc.stages.layout import checkpoint
from dpc.stages.states import arrays, tensors

CHECKPOINT_SECONDS = 15.0


class Checkpoint:
    """Progress of one training: shown, and kept by the key of its work until that is done.

    The file lies neither among the outputs nor among the inputs, since both engines delete a
    stage's outputs before they run it.
    """

    def __init__(self, key: str, clock: Callable[[], float], what: str, epochs: int):
        self.path = checkpoint(key)
        self._clock = clock
        self._last = clock()
        self._meter = Meter(what, epochs, "epochs")

    def load(self) -> Progress | None:
        """Where an interrupted run stopped; a damaged file is as good as none."""
        try:
            saved = artifacts.read(self.path)
        except DpcError:
            return None
        return Progress(
            epoch=saved.results["epoch"],
            tensors=tensors(saved, "state/"),
            momentum=tensors(saved, "momentum/"),
            history=dict(saved.results["history"]),
            average=tensors(saved, "average/"),
        )

    def save(self, progress: Progress) -> None:
        """Show ``progress``, and keep it at most every few seconds."""
        losses = {name: values[-1] for name, values in progress.history.items()}
        self._meter.show(progress.epoch, losses)
        now = self._clock()
        if now - self._last < CHECKPOINT_SECONDS:
            return
        self._last = now
        state = {f"state/{name}": value for name, value in progress.tensors.items()}
        state |= {f"momentum/{name}": value for name, value in progress.momentum.items()}
        state |= {f"average/{name}": value for name, value in progress.average.items()}
        results = {"epoch": progress.epoch, "history": progress.history}
        write_atomically(self.path, artifacts.encode(Artifact(arrays(state), results)))

    def done(self) -> None:
        """The last epoch is over; the file stays until the result is in the store (`runner`)."""
        self._meter.close()
