"""Blocks of the towers with less work and the same result.

The first tokens that all sentences share go through a causal text tower once (below); blocks of
the image tower take one large projection, and the last one computes the one token that is read.

Under a causal mask a position depends on the positions up to it alone. Where all C sentences
start with the same p tokens, those p positions therefore have the same hidden states, keys and
values in every layer, for every sentence: they are computed for one, and only the rest for each.
Prompts do not disturb this: they are the same for all sentences, at the input and at any depth.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from open_clip.transformer import (
    LayerNorm,
    LayerNormFp32,
    LayerScale,
    QuickGELU,
    ResidualAttentionBlock,
)
from torch import Tensor, nn
from torch.nn import functional as F

# Shorter ones save less than the bookkeeping costs.
SHORTEST = 2
NORMS = {nn.LayerNorm, LayerNorm, LayerNormFp32}
SCALES = {nn.Identity, LayerScale}
MLP_PARTS = {nn.Linear, nn.GELU, QuickGELU, nn.Identity}
STEEP = 1.702  # of QuickGELU


def find_prefix(
    blocks: Iterable[nn.Module],
    mask: Tensor,
    tokens: Tensor,
    ends: Tensor,
    prompted: int,
    start: int = 1,
) -> "SharedPrefix | None":
    """The prefix of ``tokens`` (C, L); None where there is nothing to share.

    Args:
        blocks: the tower's blocks; a tower with one of an unknown kind shares nothing.
        mask: additive and causal (the caller has looked), of L positions or more.
        ends: (C,) places of the EOT tokens, which are read and so stay outside.
        prompted: so many positions from ``start`` on hold prompts, whatever the ids below them.
    """
    equal = (tokens == tokens[:1]).all(dim=0)
    equal[start : start + prompted] = True
    length = min(int(equal.cumprod(0).sum()), int(ends.min()))
    if len(tokens) == 1 or length < SHORTEST or not all(map(is_known, blocks)):
        return None
    return SharedPrefix(tokens, length, mask)


def is_known(block: nn.Module) -> bool:
    """Whether `run_prefixes` computes what ``block`` itself does.

    Types are compared exactly: a subclass may compute something else, and so may a module that
    somebody hooked into.
    """
    if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv"):
        return False
    attention = block.attn
    return (
        type(attention) is nn.MultiheadAttention
        and attention.in_proj_weight is not None  # queries, keys and values of one width
        and attention.bias_k is None
        and not attention.add_zero_attn
        and not (attention.training and attention.dropout)
        and {type(block.ln_1), type(block.ln_2)} <= NORMS
        and {type(block.ls_1), type(block.ls_2)} <= SCALES
        and type(block.mlp) is nn.Sequential
        and {type(part) for part in block.mlp} <= MLP_PARTS
        and not any(
            m._forward_hooks or m._forward_pre_hooks
            for m in (block, attention, block.mlp, *block.mlp)
        )
    )


def run_alone(
    block: ResidualAttentionBlock,
    x: Tensor,
    kept: int | None = None,
    behind: Tensor | None = None,
) -> Tensor:
    """The first ``kept`` tokens of ``x`` (N, T, d) behind ``block``, which `is_known`, every
    token seeing all others.

    PyTorch's own layer projects a transposed view, so that the CPU multiplies T small matrices
    (in bf16 with a copy of the weights for each) where one large one does.

    Args:
        kept: None: all; the others are seen, what they would become is not computed.
        behind: (N, n, d), further tokens behind those of ``x``. Apart, they cost no gradient of an
            ``x`` that needs none, as in front of a tower's first block.
    """
    layer = block.attn
    qkv = F.linear(block.ln_1(x), layer.in_proj_weight, layer.in_proj_bias)
    if behind is not None:
        inputs = block.ln_1(behind)
        more = F.linear(inputs, layer.in_proj_weight, layer.in_proj_bias)
        qkv = torch.cat([qkv, more], dim=1)
        if kept != x.shape[1]:
            x = torch.cat([x, behind], dim=1)
    query, key, value = qkv.split(x.shape[-1], -1)
    seen = _attend(query[:, :kept], key, value, layer.num_heads, None)
    x = x[:, :kept] + block.ls_1(layer.out_proj(seen))
    return x + block.ls_2(feed_forward(block.mlp, block.ln_2(x)))


def run_for_first(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """The first token of ``x`` (N, T, d) behind ``block``, as `run_alone`: (N, 1, d).

    It sees all tokens; what they would become is not computed. For a tower's last block, of which
    the class token alone is read.
    """
    layer, inputs, width = block.attn, block.ln_1(x), x.shape[-1]
    weight, bias = layer.in_proj_weight, layer.in_proj_bias
    query = F.linear(inputs[:, :1], weight[:width], None if bias is None else bias[:width])
    rest = F.linear(inputs, weight[width:], None if bias is None else bias[width:])
    key, value = rest.split(width, -1)
    x = x[:, :1] + block.ls_1(layer.out_proj(_attend(query, key, value, layer.num_heads, None)))
    return x + block.ls_2(feed_forward(block.mlp, block.ln_2(x)))


def feed_forward(mlp: nn.Sequential, x: Tensor) -> Tensor:
    """``x`` (N, T, d) behind ``mlp``, of a block that `is_known`.

    QuickGELU, h · σ(1.702 h), is SiLU(1.702 h) / 1.702. The first product takes the factor in, the
    last one's result, a quarter as wide, is divided: one pass over the wide tensor in place of
    three, and one such tensor kept for the gradient in place of two.
    """
    kinds = [type(part) for part in mlp]
    if kinds != [nn.Linear, QuickGELU, nn.Linear] or mlp[0].bias is None or mlp[2].bias is None:
        return mlp(x)
    wide, narrow = cast(nn.Linear, mlp[0]), cast(nn.Linear, mlp[2])
    hidden = torch.addmm(wide.bias, x.flatten(0, -2), wide.weight.T, beta=STEEP, alpha=STEEP)
    result = torch.add(narrow.bias, F.linear(F.silu(hidden), narrow.weight), alpha=1 / STEEP)
    return result.unflatten(0, x.shape[:-1])


class SharedPrefix:
    """C sentences of length L as p + C * S rows: the shared p tokens, then S = L - p of each.

    Rows go through the tower as one batch entry (1, p + C * S, d), so that everything but
    attention (norms, projections, MLPs) runs over all of them at once.

    Args:
        tokens: (C, L) ids; the first ``length`` columns stand for the same input in every row.
        length: p.
        mask: additive and causal, of L positions or more.
    """

    def __init__(self, tokens: Tensor, length: int, mask: Tensor):
        self.length = length
        self.mask = mask[: tokens.shape[1], : tokens.shape[1]]
        self.sentences = len(tokens)
        self.rest = tokens.shape[1] - length
        self.tokens = self._rows(tokens)[None]  # (1, p + C * S)
        self.positions = self._rows(torch.arange(tokens.shape[1]).expand(tokens.shape))

    def _rows(self, values: Tensor) -> Tensor:
        """(p + C * S,) of ``values`` (C, L), the prefix taken from the first sentence."""
        return torch.cat([values[0, : self.length], values[:, self.length :].flatten()])

    def take(self, x: Tensor, places: Tensor) -> Tensor:
        """(C, d): of ``x`` (1, p + C * S, d) the place of each sentence, ``places`` (C,) >= p."""
        starts = self.length + self.rest * torch.arange(self.sentences, device=places.device)
        return x.squeeze(0)[(starts + places - self.length).to(x.device)]

    def attend(self, qkv: Tensor, heads: int) -> Tensor:
        """(p + C * S, d): every sentence over the prefix and its own rows, of their queries, keys
        and values (p + C * S, 3 * d)."""
        p, width = self.length, qkv.shape[-1] // 3
        shared, own = qkv.split([p, len(qkv) - p])
        shared = shared.view(1, p, 3 * width)
        own = own.view(self.sentences, self.rest, 3 * width)
        query, key, value = shared.split(width, -1)
        first = _attend(query, key, value, heads, self.mask[:p, :p])
        query, key_value = own.split([width, 2 * width], -1)
        before = shared[..., width:].expand(self.sentences, -1, -1)
        key, value = torch.cat([before, key_value], dim=1).split(width, -1)  # (C, L, d) each
        later = _attend(query, key, value, heads, self.mask[p:])
        return torch.cat([first.flatten(0, 1), later.flatten(0, 1)])


def run_prefixes(
    block: ResidualAttentionBlock, each: Sequence[SharedPrefix], xs: Sequence[Tensor]
) -> list[Tensor]:
    """Every x (1, p + C * S, d) behind ``block``, which `is_known`.

    Sentences of several callers go through one block together: its norms, projections and MLP run
    over all their rows, and only attention keeps them apart.
    """
    sizes, layer = [x.shape[1] for x in xs], block.attn
    x = xs[0] if len(xs) == 1 else torch.cat(list(xs), dim=1)
    qkv = F.linear(block.ln_1(x).squeeze(0), layer.in_proj_weight, layer.in_proj_bias)
    parts = zip(each, qkv.split(sizes), strict=True)
    seen = [one.attend(part, layer.num_heads) for one, part in parts]
    x = x + block.ls_1(layer.out_proj(seen[0] if len(seen) == 1 else torch.cat(seen))[None])
    x = x + block.ls_2(feed_forward(block.mlp, block.ln_2(x)))
    return list(x.split(sizes, dim=1))


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Attention (N, T, d) of ``query`` (N, T, d) over ``key`` and ``value`` (N, L, d)."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    mask = None if mask is None else mask.to(query.dtype)
    result = F.scaled_dot_product_attention(query, key, value, mask)
    return result.transpose(1, 2).flatten(2)
