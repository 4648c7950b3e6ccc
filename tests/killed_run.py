"""Runs `dpc` commands that kill themselves: one line of JSON in, one out; see test_killed.py.

Every command is a fork of this process, which has imported everything and computed nothing. A
request is {"tree": folder, "command": [...], "moment": name or null}; the answer is {"status": exit
code, -9 if killed, "steps": optimizer steps, "error": what it printed}.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from dpc.backbones.averaging import Average
from dpc.cli import main
from dpc.stages import checkpoints, evaluate, finetune, frozen, layout, states, tune  # noqa: F401
from dpc.stages.checkpoints import Checkpoint
from dpc.store import Store

ANSWER = "answer.json"


def die() -> NoReturn:
    """As the kernel kills: nothing is flushed, closed or caught."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process went on")


class Watch:
    """Counts what is trained, and kills at a moment."""

    def __init__(self, moment: str | None, epochs: int):
        self.moment, self.epochs = moment, epochs
        self.steps = 0  # of the whole process
        self.done = self.steps_in_epoch = 0  # epochs saved, steps since then
        self._patch_training()
        if moment in ("write", "rename", "publish"):
            self._patch_files()
        if moment == "store":
            Store._publish = lambda *_: die()  # every file is written, under a temporary name

    def _patch_training(self) -> None:
        save, load, add = Checkpoint.save, Checkpoint.load, Average.add

        def counted_save(checkpoint, progress):
            save(checkpoint, progress)
            self.done, self.steps_in_epoch = progress.epoch, 0

        def counted_load(checkpoint):
            progress = load(checkpoint)
            self.done = progress.epoch if progress else 0
            return progress

        def add_or_die(average, epoch, module):
            if self.moment == "average" and epoch == self.epochs - 2:
                die()
            add(average, epoch, module)

        def after_step(*_):
            self.steps += 1
            self.steps_in_epoch += 1
            at = {"epoch": (2, 2), "last": (self.epochs - 1, 1)}.get(self.moment or "")
            if (self.done, self.steps_in_epoch) == at:
                die()

        Checkpoint.save, Checkpoint.load, Average.add = counted_save, counted_load, add_or_die
        register_optimizer_step_post_hook(after_step)

    def _patch_files(self) -> None:
        write, replace = Path.write_bytes, Path.replace

        def write_half(path, content):
            if self.moment == "write" and self._is_third(path):
                with path.open("wb") as file:
                    file.write(content[: len(content) // 2])
                die()
            return write(path, content)

        def replace_never(path, target):
            published = self.moment == "publish" and target.parts[0] == "results"
            if published or (self.moment == "rename" and self._is_third(path)):
                die()
            return replace(path, target)

        Path.write_bytes, Path.replace = write_half, replace_never

    def _is_third(self, path: Path) -> bool:
        """Whether the checkpoint behind the third epoch is being written."""
        return path.parent.name == layout.CHECKPOINTS.name and self.done == 2


def child(request: dict) -> NoReturn:
    os.chdir(request["tree"])
    errors = os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    checkpoints.CHECKPOINT_SECONDS = 0.0
    watch = Watch(request["moment"], request["epochs"])
    code = main([request["command"][0], "-q", *request["command"][1:]])
    Path(ANSWER).write_text(json.dumps({"steps": watch.steps}))
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    torch.set_num_threads(1)  # no pool of threads that a fork would lose
    for line in sys.stdin:
        request = json.loads(line)
        answer = Path(request["tree"]) / ANSWER
        answer.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            child(request)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        found = json.loads(answer.read_text()) if answer.is_file() else {}
        error = (Path(request["tree"]) / "errors.txt").read_text()
        print(json.dumps({"status": status, "error": error, **found}), flush=True)


if __name__ == "__main__":
    serve()
