"""Tip-Adapter without training: a cache of the shots beside zero-shot CLIP (Zhang et al., ECCV
2022)."""

from typing import Self

import torch
from torch import Tensor

from dpc.baselines.base import Baseline, Facts, Shots
from dpc.clip.model import logits, similarity
from dpc.params.baselines import TipAdapterParams

AT_ONCE = 1024  # images: the affinities of all of ImageNet's with all its shots take 3 GiB


class TipAdapter(Baseline):
    """Zero-shot logits plus α · exp(−β · (1 − cosine)) of every shot, added up by class.

    A key is the mean over an image's views, which are not normalised before (as released, where
    they are 10 epochs of augmentation). α and β are fixed; the released code searches both for each
    data set on its whole validation split, more labels than the shots are.

    Args:
        shots: what is in the cache.
        params: α and β.
    """

    label = "Tip-Adapter"

    def __init__(self, shots: Shots, params: TipAdapterParams):
        count, views, _ = shots.features.shape
        self.keys = shots.features.mean(dim=1)  # (N, d)
        classes = torch.arange(len(shots.texts), device=shots.labels.device)
        self.values = (shots.labels[:, None] == classes).to(self.keys)  # (N, C)
        self.texts, self.scale, self.params = shots.texts, shots.scale, params
        self.facts = Facts(images_seen=count * views)

    @classmethod
    def fit(cls, shots: Shots, params: TipAdapterParams) -> Self:
        return cls(shots, params)

    def logits(self, images: Tensor) -> Tensor:
        cache = torch.cat([self._cache(some) for some in images.split(AT_ONCE)])
        return logits(self.scale, images, self.texts) + self.params.alpha * cache

    def _cache(self, images: Tensor) -> Tensor:
        affinity = torch.exp(self.params.beta * (similarity(images, self.keys) - 1))  # (M, N)
        return affinity @ self.values
