"""How stage two is trained: numbers and names only, so that reading them imports no library."""

from dataclasses import dataclass

PARAMETRIZATIONS = ("parallel", "mixed", "released")
OBJECTIVES = ("contrastive", "cross_entropy")


@dataclass(frozen=True)
class Finetuning:
    """Stage two (DPC, CVPR 2025; the numbers of the released ``ep20`` configuration)."""

    lr: float = 0.002  # learning rate of the second epoch; a cosine from there
    epochs: int = 20
    batch: int = 4  # B, images of a batch before its negatives join
    k: int = 8  # K, an image and its K-1 hard negatives; cut to the number of classes
    refill: bool = False  # whether dropped negatives are replaced from further down the ranking
    parametrization: str = "parallel"  # what the optimizer steps on: parallel, mixed or released
    weight: float = 0.2  # ω_b, which enters the training of mixed and released only
    objective: str = "contrastive"  # or cross_entropy: B images, all classes, no negatives
    # Losses of the backbone that run beside the objective; None: those that it names itself.
    keep_losses: tuple[str, ...] | None = None
    regularize: str = "filtered"  # classes those losses see: the extended batch's, or "all"
    # Learned tensors without a parallel copy: carried along, or "trained".
    couplings: str = "frozen"
    average: tuple[float, float] | None = None  # as in dpc.backbones.recipe
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on every trained tensor
    warmup_lr: float = 1e-5  # learning rate of the first epoch
