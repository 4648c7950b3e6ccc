"""What the towers keep and compute in a training step, derived from how their blocks are built.

The weights are frozen, so that a linear layer keeps nothing for the backward pass; a block keeps
the inputs of its two norms, queries, keys, values and what attention makes of them, and the inside
of its MLP. Attention is fused on every device and keeps no scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from dpc.clip.model import Clip
from dpc.clip.prefix import SHORTEST, is_known

FULL, HALF = 4, 2  # bytes of a number; norms and what runs past them stay in full under autocast
FORWARD_BACKWARD = 2  # the gradient of a frozen product costs one product more


@dataclass(frozen=True)
class Tower:
    """One tower in a step, forward and backward.

    Attributes:
        each: bytes for one image, or for one sentence.
        fixed: bytes whatever their number (bf16 copies of the weights).
        flops: operations for one image, or for one sentence.
        layers: blocks.
    """

    each: float = 0.0
    fixed: float = 0.0
    flops: float = 0.0
    layers: int = 0


def image_tower(clip: Clip, prompts: Sequence[Tensor], bf16: bool) -> Tower:
    """Of images with ``prompts``, one (n, d_v) a layer."""
    visual: Any = clip.model.visual
    tokens = visual.positional_embedding.shape[0] + _length(prompts)
    return _tower(visual.transformer.resblocks, tokens, 0, bf16, clip.shortcuts)


def text_tower(clip: Clip, prompts: Sequence[Tensor], context: int, bf16: bool) -> Tower:
    """Of sentences of ``context`` tokens, SOT and EOT among them, with ``prompts`` (n, d_t).

    SOT and the prompts stand in front of every sentence and are computed once for all.
    """
    text = getattr(clip.model, "text", clip.model)
    blocks = text.transformer.resblocks
    shared = 1 + _length(prompts)
    if not clip.cuts_context:
        context, shared = clip.context_length, 0
    elif shared < SHORTEST or not all(map(is_known, blocks)):
        shared = 0
    return _tower(blocks, context, min(shared, context - 1), bf16, shared > 0)


def _tower(blocks: nn.ModuleList, tokens: int, shared: int, bf16: bool, shortcuts: bool) -> Tower:
    """``tokens`` of an image or a sentence, of which all have ``shared`` in common; with
    ``shortcuts`` known blocks run by ``dpc.clip.prefix``."""
    rows, small = tokens - shared, HALF if bf16 else FULL
    each = flops = weights = 0.0
    for block in blocks:
        width, inside = _widths(block, shortcuts and is_known(block))
        each += rows * width * (2 * FULL + 4 * small) + rows * inside * small
        each += 2 * tokens * width * small if shared else 0  # keys and values beside the shared
        products = sum(weight.numel() for weight in block.parameters() if weight.ndim == 2)
        weights += products
        flops += 2 * products * rows + 4 * rows * tokens * width
    fixed = HALF * weights if bf16 else 0.0
    return Tower(each, fixed, FORWARD_BACKWARD * flops, len(blocks))


def _widths(block: Any, short: bool) -> tuple[int, int]:
    """Width of a block, and how many numbers its MLP keeps a token, by the ``short`` way or not."""
    width = block.ln_1.normalized_shape[0]
    linear = [part for part in block.mlp.modules() if isinstance(part, nn.Linear)]
    inside = max((part.out_features for part in linear), default=4 * width)
    # x · sigmoid(1.702 x) keeps both factors, GELU and SiLU their input alone.
    quick = any(isinstance(part, QuickGELU) for part in block.mlp.modules())
    return width, inside * (2 if quick and not short else 1)


def _length(prompts: Sequence[Tensor]) -> int:
    return len(prompts[0]) if prompts else 0
