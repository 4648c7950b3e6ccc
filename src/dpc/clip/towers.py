"""The two towers of an open_clip model, walked block by block so that prompts can go in."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from open_clip.model import CLIP
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

from dpc.clip.prefix import (
    SharedPrefix,
    find_prefix,
    is_known,
    run_alone,
    run_for_first,
    run_prefixes,
)
from dpc.errors import DpcError


class Sentences(NamedTuple):
    """Sentences of one caller, and what stands in them.

    Attributes:
        tokens: (C, L) ids.
        prompts: one (n, d_t) a layer.
        start: the position of the first word, and of the first prompt token.
        room: words of the shortest sentence.
    """

    tokens: Tensor
    prompts: Sequence[Tensor]
    start: int
    room: int


class TextTower:
    """A text tower of open_clip's own, wherever the model keeps it: CLIP's, SigLIP's, CLIPA's.

    Its feature is that of one position: of the EOT token, of the last one of the padded context
    (``pool_type`` "last"), or of the first.
    """

    def __init__(self, model: nn.Module):
        tower = model if isinstance(model, CLIP) else getattr(model, "text", None)
        if not isinstance(tower, CLIP | TextTransformer):
            raise DpcError(
                f"the text tower of {type(model).__name__} is {type(tower).__name__}: prompts "
                "go into open_clip's own text towers only, take a model that has one (ViT-B-16)"
            )
        self.pool: str = tower.text_pool_type if isinstance(tower, CLIP) else tower.pool_type
        self.end_id: int = tower.text_eos_id if isinstance(tower, CLIP) else tower.eos_id
        appended = getattr(tower, "cls_emb", None) is not None
        if self.pool == "none" or appended or getattr(tower, "use_pad_mask", False):
            raise DpcError(
                f"the text tower of {type(model).__name__} takes its feature from "
                f"{'an appended class token' if appended else self.pool!r}, or hides its padding: "
                "no prompts go in; take a model that does neither (ViT-B-16)"
            )
        self.tower = tower
        self.token_embedding: nn.Embedding = tower.token_embedding
        self.positional_embedding: Tensor = tower.positional_embedding
        self.blocks = tower.transformer.resblocks
        self.batch_first: bool = tower.transformer.batch_first
        self.causal = is_causal(tower.attn_mask)

    @property
    def embed_dim(self) -> int:
        projection = self.tower.text_projection
        if projection is None:
            return self.token_embedding.weight.shape[1]
        if isinstance(projection, nn.Linear):
            return projection.out_features
        return projection.shape[1]

    def read(self, tokens: Tensor) -> Tensor:
        """(C,) of ids (C, L): the position whose feature is the sentence's."""
        if self.pool == "argmax":
            return tokens.argmax(dim=-1)
        if self.pool == "eos":
            return (tokens == self.end_id).int().argmax(dim=-1)
        place = 0 if self.pool == "first" else tokens.shape[1] - 1
        return torch.full_like(tokens[:, 0], place)

    def encode(self, asked: Sequence[Sentences], cut: bool) -> list[Tensor]:
        """Features (C, d) of the sentences of every caller; see ``Clip.encode_text``.

        With ``cut`` they go through the blocks together, wherever each caller's share a prefix.
        """
        for one in asked:
            _check(one.prompts, self._width, len(self.blocks), one.room, where="text")
        found = [self._prefix(one) for one in asked] if cut and self.causal else []
        shared = [one for one in found if one is not None]
        if len(shared) == len(asked):
            rows = self._walk_prefixes(asked, shared)
        else:
            rows = [self._walk(one, cut) for one in asked]
        # The last norm works row by row: normalising the rows that are read is the same.
        x = self.tower.ln_final(rows[0] if len(rows) == 1 else torch.cat(rows))
        projection = self.tower.text_projection
        if projection is not None:
            x = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return list(x.split([len(one.tokens) for one in asked]))

    @property
    def _width(self) -> int:
        return self.token_embedding.weight.shape[1]

    def _prefix(self, one: Sentences) -> SharedPrefix | None:
        """What the sentences of a caller share; None: nothing, or not enough."""
        places = self.read(one.tokens)
        tokens = one.tokens[:, : int(places.max()) + 1]
        prompted = len(one.prompts[0]) if one.prompts else 0
        return find_prefix(self.blocks, self.tower.attn_mask, tokens, places, prompted, one.start)

    def _walk_prefixes(
        self, asked: Sequence[Sentences], shared: Sequence[SharedPrefix]
    ) -> list[Tensor]:
        """(C, d) of every caller: the rows that are read, behind the blocks."""
        xs = [
            self._embed(rows.tokens, rows.positions, one)
            for one, rows in zip(asked, shared, strict=True)
        ]
        for layer, block in enumerate(self.blocks):
            xs = run_prefixes(block, shared, _deeper(xs, asked, layer))
        return [
            rows.take(x, self.read(one.tokens))
            for one, rows, x in zip(asked, shared, xs, strict=True)
        ]

    def _walk(self, one: Sentences, cut: bool) -> Tensor:
        """(C, d) of one caller: the rows that are read, behind the blocks."""
        places = self.read(one.tokens)
        length = int(places.max()) + 1 if cut and self.causal else one.tokens.shape[1]
        x = self._embed(one.tokens[:, :length], slice(length), one)
        for layer, block in enumerate(self.blocks):
            (x,) = _deeper([x], [one], layer)
            x = self._run_whole(block, x)
        return x[torch.arange(len(x), device=x.device), places.to(x.device)]

    def _embed(self, tokens: Tensor, positions: Tensor | slice, one: Sentences) -> Tensor:
        """What enters the first block, of ids (N, T) at ``positions`` (T,)."""
        x = self.token_embedding(tokens.to(self.positional_embedding.device))
        if one.prompts:
            x = overwrite(x, one.prompts[0], one.start)
        return x + self.positional_embedding[positions]

    def _run_whole(self, block: nn.Module, x: Tensor) -> Tensor:
        mask, length = self.tower.attn_mask, x.shape[1]
        mask = None if mask is None else mask[:length, :length]
        return _run(block, x, self.batch_first, mask)


class ImageTower:
    """The image tower: walked block by block where prompts can go in and shortcuts are taken,
    with prompts or without; else open_clip's own forward pass, which takes none."""

    def __init__(self, model: nn.Module):
        self.model: Any = model
        self.visual: Any = model.visual

    @property
    def width(self) -> int:
        return self._vit().conv1.out_channels

    @property
    def blocks(self) -> nn.ModuleList:
        return self._vit().transformer.resblocks

    def encode(self, images: Tensor, prompts: Sequence[Tensor], cut: bool) -> Tensor:
        """Features (B, d) of ``images`` (B, 3, H, W); see ``Clip.encode_image``.

        A prompt may also be (B, n, d_v): one for each image.
        """
        if not prompts and not (cut and self._takes_prompts):
            return self.model.encode_image(images)
        vit = self._vit()
        _check(prompts, self.width, len(self.blocks), room=None, where="image")
        x = vit.conv1(images).flatten(2).transpose(1, 2)  # (B, patches, d_v)
        x = torch.cat([vit.class_embedding.expand(x.shape[0], 1, -1).to(x.dtype), x], dim=1)
        x = x + vit.positional_embedding
        x, tokens = vit.ln_pre(x), x.shape[1]
        behind = vit.ln_pre(_each(prompts[0], x)) if prompts else None
        for layer, block in enumerate(self.blocks):
            if 0 < layer < len(prompts):
                x, behind = x[:, :tokens], _each(prompts[layer], x)
            short, last = cut and is_known(block), layer + 1 == len(self.blocks)
            if behind is not None and (layer > 0 or last or not short):
                x, behind = torch.cat([x, behind], dim=1), None
            if not short:
                x = _run(block, x, vit.transformer.batch_first, None)
            elif last:  # the class token alone is read
                x = run_for_first(block, x)
            else:  # what becomes of a prompt is not read where the next layer has its own
                kept = tokens if layer + 1 < len(prompts) else None
                x, behind = run_alone(block, x, kept, behind), None
        x = vit.ln_post(x[:, 0])
        return x if vit.proj is None else x @ vit.proj

    @property
    def _takes_prompts(self) -> bool:
        visual = self.visual
        ends_in_its_token = isinstance(visual, VisionTransformer) and visual.pool_type == "tok"
        return ends_in_its_token and visual.attn_pool is None

    def _vit(self) -> VisionTransformer:
        if not self._takes_prompts:
            raise DpcError(
                f"the image tower {type(self.visual).__name__} is no open_clip ViT that ends in "
                "its class token: image prompts need one (ViT-B-16), text prompts do not"
            )
        return self.visual


def is_causal(mask: Tensor | None) -> bool:
    """Whether an additive attention mask (L, L) hides every later position from each position."""
    if mask is None or mask.ndim != 2:
        return False
    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool(torch.isneginf(mask[later]).all())


def _deeper(xs: Sequence[Tensor], asked: Sequence[Sentences], layer: int) -> list[Tensor]:
    """Every caller's rows with its prompt of a layer above the input, if it has one."""
    return [
        overwrite(x, one.prompts[layer], one.start) if 0 < layer < len(one.prompts) else x
        for x, one in zip(xs, asked, strict=True)
    ]


def _each(prompt: Tensor, x: Tensor) -> Tensor:
    """(B, n, d): ``prompt`` (n, d), or one a row, for every row of ``x`` (B, T, d)."""
    return prompt.to(x.dtype).expand(x.shape[0], -1, -1)


def overwrite(x: Tensor, prompt: Tensor, start: int) -> Tensor:
    """``x`` (N, L, d) with ``prompt`` (n, d), or one a row (N, n, d), at positions
    start..start+n-1 of every row."""
    prompt = prompt.to(x.dtype).expand(x.shape[0], -1, -1)
    return torch.cat([x[:, :start], prompt, x[:, start + prompt.shape[1] :]], dim=1)


def _run(block: nn.Module, x: Tensor, batch_first: bool, mask: Tensor | None) -> Tensor:
    if batch_first:
        return block(x, attn_mask=mask)
    return block(x.transpose(0, 1), attn_mask=mask).transpose(0, 1)


def _check(
    prompts: Sequence[Tensor], width: int, layers: int, room: int | None, where: str
) -> None:
    if len(prompts) > layers:
        raise ValueError(f"prompts for {len(prompts)} layers, the {where} tower has {layers}")
    for layer, prompt in enumerate(prompts):
        ranks = (2, 3) if room is None else (2,)  # each image may have a prompt of its own
        if prompt.ndim not in ranks or prompt.shape != (*prompts[0].shape[:-1], width):
            raise ValueError(
                f"{where} prompt of layer {layer} has shape {tuple(prompt.shape)}, "
                f"expected ({prompts[0].shape[-2]}, {width})"
            )
    if prompts and room is not None and prompts[0].shape[-2] > room:
        raise DpcError(
            f"{len(prompts[0])} {where} prompt tokens overwrite the end of a sentence that has "
            f"{room} tokens of words; use fewer context tokens or a longer template"
        )
