"""Zero-shot CLIP: the dataset's template and nothing learned (Radford et al., ICML 2021)."""

from typing import Any, Self

import torch

from dpc.backbones.base import Backbone, Prompts
from dpc.clip.model import Clip


class ZeroShot(Backbone):
    """The row that every other backbone is measured against."""

    @classmethod
    def from_clip(cls, clip: Clip, params: Any, generator: torch.Generator) -> Self:
        return cls()

    def prompts(self) -> Prompts:
        return Prompts()
