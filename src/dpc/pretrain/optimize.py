"""What both phases share: AdamW with clipping and averaging as hooks, a schedule, checkpoints."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dpc.files import staged

MAX_NORM = 1.0


def adamw(module: nn.Module, no_decay: Callable[[str, Tensor], bool]) -> torch.optim.AdamW:
    """AdamW over a module's trainable parameters, gradients clipped to norm 1 before each step.

    The learning rate is set by the training loop.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if not no_decay(name, p)], "weight_decay": 0.05},
        {"params": [p for name, p in named if no_decay(name, p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), foreach=True)
    parameters = [p for _, p in named]

    def clip(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, MAX_NORM)

    optimizer.register_step_pre_hook(clip)
    return optimizer


def chunk_schedule(lr: float, chunks: int, warmup: int) -> list[float]:
    """Learning rate of each chunk of steps: a linear warm-up, then a cosine towards 0."""
    return [
        lr * min(1.0, (chunk + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * chunk / chunks))
        for chunk in range(chunks)
    ]


class Average:
    """Exponential moving average of a module's trainable parameters, updated after each step."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, decay: float = 0.998):
        self._live = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.values = {name: p.detach().clone() for name, p in self._live.items()}
        self.steps = 0
        self._decay = decay
        optimizer.register_step_post_hook(lambda *_: self._update())

    @torch.no_grad()
    def _update(self) -> None:
        self.steps += 1
        # a short memory at first: the average must forget the random start
        decay = min(self._decay, self.steps / (self.steps + 20))
        torch._foreach_lerp_(list(self.values.values()), list(self._live.values()), 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averaged values into the module."""
        for name, parameter in self._live.items():
            parameter.copy_(self.values[name])


class Checkpoint:
    """The exact state of a phase in one safetensors file: parameters, optimizer, average, chunk.

    ``key`` says what is trained (recipe and seed): a file of another key is ignored.
    """

    def __init__(self, path: Path | None, key: str, module: nn.Module,
                 optimizer: torch.optim.Optimizer, average: Average | None = None):  # fmt: skip
        self._path, self._key = path, key
        self._module, self._optimizer, self._average = module, optimizer, average

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((n, p) for n, p in self._module.named_parameters() if p.requires_grad)

    def save(self, chunk: int) -> None:
        """Write the state after ``chunk`` chunks; nothing if no path was given."""
        if self._path is None:
            return
        tensors = {}
        for name, parameter in self._parameters():
            tensors[f"parameter.{name}"] = parameter.detach()
            for part, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{part}.{name}"] = value
        if self._average is not None:
            tensors |= {f"average.{name}": value for name, value in self._average.values.items()}
        about = {"key": self._key, "chunk": chunk}
        contiguous = {name: value.contiguous().clone() for name, value in tensors.items()}
        with staged(self._path) as temporary:
            save_file(contiguous, temporary, {"about": json.dumps(about)})

    @torch.no_grad()
    def restore(self, steps_per_chunk: int) -> int:
        """Load the state if there is one of this key; the number of chunks that are done."""
        if self._path is None or not self._path.exists():
            return 0
        with safe_open(self._path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            if about.get("key") != self._key:
                return 0
            for name, parameter in self._parameters():
                parameter.copy_(file.get_tensor(f"parameter.{name}"))
                self._optimizer.state[parameter] = {
                    part: file.get_tensor(f"optimizer.{part}.{name}").clone()
                    for part in ("step", "exp_avg", "exp_avg_sq")
                }
            if self._average is not None:
                for name, value in self._average.values.items():
                    value.copy_(file.get_tensor(f"average.{name}"))
                self._average.steps = about["chunk"] * steps_per_chunk
        return int(about["chunk"])
