"""The section of params.yaml about classifiers without prompts, on the same shots and features."""

from dataclasses import dataclass, field

from dpc.params.fields import param

BASELINES = ("linear_probe", "tip_adapter")


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on frozen features, started from zero-shot CLIP's text features."""

    lr: float = param(0.1, "Learning rate of the first epoch; it falls by a cosine.", gt=0)
    epochs: int = param(300, "Epochs.", ge=1)
    batch: int = param(256, "Images of a batch.", ge=1)


@dataclass(frozen=True)
class TipAdapter:
    """A cache of the shots' frozen features beside zero-shot CLIP; nothing is trained."""

    alpha: float = param(1.0, "α: weight of the cache beside zero-shot logits.", ge=0)
    beta: float = param(5.5, "β: sharpness of the cache.", gt=0)


@dataclass(frozen=True)
class Baselines:
    """Classifiers without prompts."""

    linear_probe: LinearProbe = field(
        default_factory=LinearProbe,
        metadata={"doc": "Linear probe that starts from zero-shot CLIP."},
    )
    tip_adapter: TipAdapter = field(
        default_factory=TipAdapter, metadata={"doc": "Tip-Adapter, without training."}
    )
