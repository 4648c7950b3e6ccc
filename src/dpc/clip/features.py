"""Features of the frozen CLIP, in large batches."""

from collections.abc import Iterable

import torch
from torch import Tensor

from dpc.clip.model import Clip


@torch.no_grad()
def encode_images(clip: Clip, batches: Iterable[Tensor]) -> Tensor:
    """Image features (N, d) on the CPU, not normalised, of batches (B, 3, H, W) in their order.

    Raises:
        ValueError: no batch at all.
    """
    # Out of pinned memory a copy needs nobody to wait for it.
    moved = (batch.to(clip.device, non_blocking=True) for batch in batches)
    features = [clip.encode_image(batch).cpu() for batch in moved]
    if not features:
        raise ValueError("no images to encode")
    return torch.cat(features)


@torch.no_grad()
def encode_texts(clip: Clip, tokens: Tensor, batch: int = 256) -> Tensor:
    """Text features (C, d), not normalised, of plain sentences (C, L)."""
    return torch.cat([clip.encode_text(part) for part in tokens.split(batch)])
