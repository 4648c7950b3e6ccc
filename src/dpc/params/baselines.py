"""The section of params.yaml about classifiers without prompts, on the same shots and features."""

from dataclasses import dataclass, field

from dpc.params.fields import param

SOURCE_PROBE = "ZS-LP (CLAP, CVPR 2024), chosen on photos"
SOURCE_CACHE = "Tip-Adapter, ECCV 2022, chosen on ImageNet"


@dataclass(frozen=True)
class LinearProbeParams:
    """A linear classifier on frozen features, started from zero-shot CLIP's text features."""

    lr: float = param(
        0.1, "Learning rate after the first epoch; a cosine.", gt=0, source=SOURCE_PROBE
    )
    epochs: int = param(300, "Epochs.", ge=1, source=SOURCE_PROBE)
    batch: int = param(256, "Images of a batch.", ge=1, source=SOURCE_PROBE)


@dataclass(frozen=True)
class TipAdapterParams:
    """A cache of the shots' frozen features beside zero-shot CLIP; nothing is trained."""

    alpha: float = param(
        1.0, "α: weight of the cache beside zero-shot logits.", ge=0, source=SOURCE_CACHE
    )
    beta: float = param(5.5, "β: sharpness of the cache.", gt=0, source=SOURCE_CACHE)


@dataclass(frozen=True)
class Baselines:
    """Classifiers without prompts."""

    linear_probe: LinearProbeParams = field(
        default_factory=LinearProbeParams,
        metadata={"doc": "Linear probe that starts as zero-shot CLIP (ZS-LP)."},
    )
    tip_adapter: TipAdapterParams = field(
        default_factory=TipAdapterParams, metadata={"doc": "Tip-Adapter, without training."}
    )
