"""A frozen CLIP that takes prompts at the input and at any depth of both towers.

Where prompts sit is known here and nowhere else; what they are is a backbone's affair.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.clip.tokens import Tokenizer
from dpc.clip.towers import ImageTower, Sentences, TextTower
from dpc.errors import DpcError


class Clip:
    """An open_clip model, frozen, with prompts as an argument.

    Deliberately no ``nn.Module``: a backbone cannot adopt its weights by accident.

    Args:
        model: open_clip ``CLIP``, or ``CustomTextCLIP`` with a text tower of open_clip's own.
        tokenizer: of the text tower, ``clip_tokenizer()`` for CLIP's own.
        mean, std, interpolation, resize_mode: how images are prepared (see ``datasets``): the
            shorter side resized and the centre cropped, or, with "squash", both sides resized.
        precision: "fp32", or "bf16": the towers run under autocast; what they return is fp32.
        shortcuts: leave out work that cannot change a result (see `encode_text`).

    Raises:
        DpcError: the text tower takes no prompts, or images are not square.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: str = "bicubic",
        resize_mode: str = "shortest",
        precision: str = "fp32",
        shortcuts: bool = True,
    ):
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self.interpolation = interpolation
        self.resize_mode = resize_mode
        self.precision = precision
        self.shortcuts = shortcuts
        self._text = TextTower(model)
        self._image = ImageTower(model)
        size = self._image.visual.image_size
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(set(sides)) > 1:
            raise DpcError(f"this CLIP takes images of {sides} pixels: only square ones are made")
        self.image_size = int(sides[0])  # in pixels

    @property
    def text_width(self) -> int:
        """d_t, the width of text tokens."""
        return self._text.token_embedding.weight.shape[1]

    @property
    def image_width(self) -> int:
        """d_v, the width of image tokens."""
        return self._image.width

    @property
    def embed_dim(self) -> int:
        """d, the width of features."""
        return self._text.embed_dim

    @property
    def text_layers(self) -> int:
        return len(self._text.blocks)

    @property
    def image_layers(self) -> int:
        return len(self._image.blocks)

    @property
    def context_length(self) -> int:
        return self._text.positional_embedding.shape[0]

    @property
    def cuts_context(self) -> bool:
        """Whether a sentence is computed up to its end alone: see `encode_text`."""
        return self.shortcuts and self._text.causal

    @property
    def device(self) -> torch.device:
        return self._text.positional_embedding.device

    @property
    def logit_scale(self) -> Tensor:
        """exp of the trained temperature, a scalar; released CLIPs stand near 100.

        SigLIP's ``logit_bias`` is the same for all classes: a softmax over them does not see it.
        """
        return self.model.logit_scale.detach().float().exp().reshape(())

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (C, L) int64 on the CPU, padded to the context: SOT, the words, EOT, zeros in
        CLIP's own vocabulary.

        Raises:
            DpcError: a text has more tokens than the context holds; none is ever cut.
        """
        return self.tokenizer.rows(texts, self.context_length)

    def unknown_words(self, texts: Sequence[str]) -> list[str]:
        """Pieces of ``texts`` that this CLIP never learned, each once, in their order.

        A file of weights may keep the token embeddings of its own vocabulary alone
        (``token_rows``); all others are zero, and a class name made of them says nothing.
        """
        known = self._text.token_embedding.weight.any(dim=1).tolist()
        ids = [id_ for text in texts for id_ in self.tokenizer.encode(text)]
        return [
            self.tokenizer.decode([id_]).strip() for id_ in dict.fromkeys(ids) if not known[id_]
        ]

    def embed_words(self, words: str) -> Tensor:
        """Token embeddings (n, d_t) of ``words``, without what opens and closes a sentence."""
        ids = torch.tensor(self.tokenizer.encode(words), dtype=torch.long, device=self.device)
        return self._text.token_embedding(ids).detach().float().clone()

    def encode_text(self, tokens: Tensor, prompts: Sequence[Tensor] = ()) -> Tensor:
        """Text features (C, d), not normalised.

        Under a causal mask positions behind the longest EOT change nothing: with ``shortcuts``
        the context ends there, wherever the tower's mask says that this is so, and the first
        tokens that all sentences share are computed once (`dpc.clip.prefix`).

        Args:
            tokens: (C, L) ids, L the full context.
            prompts: prompts[0] (n, d_t) stands where the words begin, at positions 1..n (0..n-1
                in a vocabulary without SOT), before the positional embedding; prompts[l]
                overwrites the same positions in front of block l.

        Raises:
            ValueError: a prompt that does not fit the tower.
            DpcError: more prompt tokens than a sentence has words.
        """
        return self.encode_texts([(tokens, prompts)])[0]

    def encode_texts(self, asked: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> list[Tensor]:
        """`encode_text` of several ids and prompts, in one forward pass where that can be."""
        start = len(self.tokenizer.opening)
        sentences = [
            Sentences(tokens, prompts, start, int(self.tokenizer.ends(tokens).min()) - start)
            for tokens, prompts in asked
        ]
        with self._precision():
            return [found.float() for found in self._text.encode(sentences, self.shortcuts)]

    def encode_image(self, images: Tensor, prompts: Sequence[Tensor] = ()) -> Tensor:
        """Image features (B, d), not normalised.

        With ``shortcuts`` blocks of a ViT take one large projection, and the last one computes the
        class token alone, since nothing else of it is read.

        Args:
            images: (B, 3, H, W), prepared with this CLIP's mean and std.
            prompts: prompts[0] (n, d_v) stands behind the patches, after the positional
                embedding and before ``ln_pre``; prompts[l] overwrites the last n tokens in
                front of block l.

        Raises:
            ValueError: a prompt that does not fit the tower.
        """
        with self._precision():
            return self._image.encode(images.to(self.device), prompts, self.shortcuts).float()

    def encode_images(self, asked: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> list[Tensor]:
        """`encode_image` of several images and prompts, in one forward pass.

        Prompts of the same shapes: each image then gets its own.
        """
        sizes = [len(images) for images, _ in asked]
        layers = zip(*(prompts for _, prompts in asked), strict=True)
        each = [
            torch.cat([one.expand(size, -1, -1) for one, size in zip(layer, sizes, strict=True)])
            for layer in layers
        ]
        return list(self.encode_image(torch.cat([one for one, _ in asked]), each).split(sizes))

    def _precision(self) -> contextlib.AbstractContextManager:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


def similarity(image_features: Tensor, text_features: Tensor) -> Tensor:
    """Cosine similarities (B, C) of image features (B, d) and text features (C, d)."""
    return F.normalize(image_features, dim=-1) @ F.normalize(text_features, dim=-1).T


def logits(scale: Tensor, image_features: Tensor, text_features: Tensor) -> Tensor:
    """CLIP's logits (B, C): scale times the cosine similarities."""
    return scale * similarity(image_features, text_features)
