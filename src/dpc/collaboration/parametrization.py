"""What the optimizer of stage two steps on; the prompt in use is P' in each case.

parallel: P' itself (the paper). mixed: the stored tensor is S = ω·P' + (1 − ω)·P with P fixed, as
the comments of the released code mean it: a step on S moves P' by 1/ω² and weight decay pulls S.
released: the stored tensor is P', with gradients times 1/ω, which is what the released code does,
because its P shares memory with S and moves along.
"""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.utils import parametrize

from dpc.collaboration.recipe import PARAMETRIZATIONS
from dpc.errors import DpcError


class Mixed(nn.Module):
    """P' read out of the stored mix S, P fixed."""

    tuned: Tensor

    def __init__(self, tuned: Tensor, weight: float):
        super().__init__()
        self.register_buffer("tuned", tuned.detach().clone(), persistent=False)
        self.weight = weight

    def forward(self, stored: Tensor) -> Tensor:
        return (stored - (1 - self.weight) * self.tuned) / self.weight

    def right_inverse(self, parallel: Tensor) -> Tensor:
        return self.tuned.lerp(parallel, self.weight)


class Released(nn.Module):
    """P' as it is stored; its gradient is multiplied by 1/ω on the way back."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    def forward(self, stored: Tensor) -> Tensor:
        fixed = stored.detach()
        return fixed + (stored - fixed) / self.weight

    def right_inverse(self, parallel: Tensor) -> Tensor:
        return parallel


def parametrize_parallel(module: nn.Module, names: Iterable[str], kind: str, weight: float) -> None:
    """Change what is stored for the tensors ``names`` of ``module``, a copy of the tuned backbone.

    Raises:
        DpcError: ``kind`` is not known, or a weight that ``kind`` cannot divide by.
    """
    if kind not in PARAMETRIZATIONS:
        raise DpcError(
            f"dpc.parametrization is {kind!r}: allowed are {', '.join(PARAMETRIZATIONS)}"
        )
    if kind == "parallel":
        return
    if weight <= 0:
        raise DpcError(
            f"dpc.parametrization {kind!r} divides by ω_b and dpc.weight is {weight:g}: "
            "take a weight above 0, or parametrization 'parallel'"
        )
    for name in names:
        owner, _, leaf = name.rpartition(".")
        holder = module.get_submodule(owner)
        tensor = getattr(holder, leaf)
        rule = Mixed(tensor, weight) if kind == "mixed" else Released(weight)
        parametrize.register_parametrization(holder, leaf, rule, unsafe=True)


def restore_parallel(module: nn.Module) -> None:
    """Store P' itself again, under the names it had before."""
    for holder in list(module.modules()):
        if isinstance(rules := getattr(holder, "parametrizations", None), nn.ModuleDict):
            for leaf in list(rules):
                parametrize.remove_parametrizations(holder, leaf, leave_parametrized=True)
