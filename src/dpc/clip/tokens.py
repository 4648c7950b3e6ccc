"""How a CLIP reads words: ids of pieces of words, between those that open and close a sentence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from dpc.errors import DpcError

SENTENCE = "a cat"  # shows how a tokenizer builds its sentences
FIRST_FOLDED = 3  # ids below are padding, start and end in the vocabularies that fold


@dataclass(frozen=True)
class Tokenizer:
    """What a text tower needs of its tokenizer.

    Attributes:
        encode: cleaned text to ids, of the words alone.
        decode: ids to text.
        opening: ids in front of the words: SOT; nothing where the tower knows no such token.
        closing: ids behind them: EOT; nothing where padding follows at once.
        padding: fills the context. A word may have it where something closes the sentence.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    opening: tuple[int, ...]
    closing: tuple[int, ...]
    padding: int

    def rows(self, texts: Sequence[str], length: int) -> Tensor:
        """Ids (C, length), int64.

        Raises:
            DpcError: a text has more tokens than ``length``; none is ever cut.
        """
        result = torch.full((len(texts), length), self.padding)
        for row, text in enumerate(texts):
            ids = [*self.opening, *self.encode(text), *self.closing]
            if len(ids) > length:
                raise DpcError(
                    f"text {text!r} has {len(ids)} tokens and this CLIP reads {length}: "
                    "shorten the class name or the template"
                )
            result[row, : len(ids)] = torch.tensor(ids)
        return result

    def ends(self, tokens: Tensor) -> Tensor:
        """(C,) of ids (C, L): the place behind the last word."""
        mark = self.closing[0] if self.closing else self.padding
        found = tokens == mark
        found[:, : len(self.opening)] = False
        full = torch.full_like(tokens[:, 0], tokens.shape[1])
        return torch.where(found.any(dim=1), found.int().argmax(dim=1), full)


def clip_tokenizer(tokenizer: SimpleTokenizer | None = None) -> Tokenizer:
    """CLIP's own byte pairs: SOT, words, EOT (the largest id), zeros."""
    own = tokenizer or SimpleTokenizer()
    return Tokenizer(own.encode, own.decode, (own.sot_token_id,), (own.eot_token_id,), 0)


def hugging_face_tokenizer(tokenizer: Any) -> Tokenizer:
    """The tokenizer inside an open_clip ``HFTokenizer``, its text cleaned as open_clip does.

    What opens and closes a sentence is read off one: a SigLIP's has nothing in front, a BERT's
    has a class token. With ``strip_sep_token`` (CLIPA) the separator is an id 0, as padding is.

    Raises:
        DpcError: its sentences are built in another way.
    """
    inner, clean = tokenizer.tokenizer, tokenizer.clean_fn

    def encode(text: str) -> list[int]:
        return list(inner(clean(text), add_special_tokens=False).input_ids)

    words, whole = encode(SENTENCE), list(inner(clean(SENTENCE)).input_ids)
    spans = range(len(whole) - len(words) + 1)
    start = next((at for at in spans if whole[at : at + len(words)] == words), 0)
    closing = tuple(whole[start + len(words) :])
    if tokenizer.strip_sep_token:
        closing = tuple(0 if id_ == inner.sep_token_id else id_ for id_ in closing)
    made = Tokenizer(encode, inner.decode, tuple(whole[:start]), closing, inner.pad_token_id)
    theirs = tokenizer([SENTENCE])
    if not torch.equal(made.rows([SENTENCE], theirs.shape[1]), theirs):
        raise DpcError(
            f"the tokenizer {inner.name_or_path!r} does not put words, what opens and closes them, "
            "and padding in this order: take another clip.model"
        )
    return made


def folded_tokenizer(vocabulary: int, end: int) -> Tokenizer:
    """CLIP's byte pairs, their ids folded into another vocabulary: for untrained towers, which
    know no words. No token opens a sentence, ``end`` closes it."""
    own = SimpleTokenizer()

    def encode(text: str) -> list[int]:
        return [FIRST_FOLDED + id_ % (vocabulary - FIRST_FOLDED) for id_ in own.encode(text)]

    return Tokenizer(encode, lambda ids: " ".join(map(str, ids)), (), (end,), 0)
