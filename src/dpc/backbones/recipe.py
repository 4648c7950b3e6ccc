"""How stage one is trained: numbers only, so that reading them imports no library."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """SGD of stage one, one learning rate an epoch (see ``dpc.training.warmup_cosine``)."""

    lr: float = 0.0035  # learning rate of the second epoch; a cosine from there
    epochs: int = 10
    batch: int = 4  # images a step
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on every learned tensor
    warmup_lr: float = 1e-5  # learning rate of the first epoch
    # Gaussian average over the epochs: mean and standard deviation as fractions of all epochs;
    # None keeps the last epoch.
    average: tuple[float, float] | None = None
