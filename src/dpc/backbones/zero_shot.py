"""Zero-shot CLIP: the dataset's template and nothing learned (Radford et al., ICML 2021)."""

from dataclasses import dataclass

from dpc.backbones.base import Backbone, Prompts
from dpc.params.fields import param


@dataclass(frozen=True)
class ZeroShotParams:
    """Zero-shot CLIP: a sentence and nothing learned."""

    template: str = param(
        "a photo of a {}.",
        "Sentence of a class; {} is its name. A dataset on disk may have its own.",
    )


class ZeroShot(Backbone):
    """The row that every other backbone is measured against."""

    Params = ZeroShotParams

    def prompts(self) -> Prompts:
        return Prompts()
