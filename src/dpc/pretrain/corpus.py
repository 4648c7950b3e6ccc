"""The pretraining images and their words; what a downstream family shows as well is left out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dpc.icons.duplicates import without_duplicates
from dpc.icons.families import FAMILIES
from dpc.icons.render import Drawing, render
from dpc.icons.words import STYLES, canonical, content_words, split_name, style

MIN_WORD = 6  # images that carry a word, for it to be kept
MIN_HEAD = 8  # images whose first word it is, for them to be kept
_LOGOS = frozenset({"brand", "logo"})


@dataclass(frozen=True)
class Corpus:
    """N images with their words.

    Attributes:
        inks: (N, 64, 64) uint8.
        words: of each image, as its name has them, the head (what it shows) first.
        styles: (N,) int64, index into `STYLE_NAMES`, −1 where it is not known.
        families: (N,) int64, index into `FAMILY_NAMES`.
        vocabulary: canonical word -> row, alphabetical.
    """

    inks: Tensor
    words: tuple[tuple[str, ...], ...]
    styles: Tensor
    families: Tensor
    vocabulary: dict[str, int]

    def heads(self) -> Tensor:
        """(N,) int64: the vocabulary row of each image's head."""
        return torch.tensor([self.vocabulary[canonical(words[0])] for words in self.words])

    def carried(self) -> Tensor:
        """(N, V) float32, 1 where an image carries a word."""
        table = torch.zeros(len(self.words), len(self.vocabulary))
        for row, words in enumerate(self.words):
            table[row, [self.vocabulary[canonical(word)] for word in words]] = 1
        return table


STYLE_NAMES = tuple(STYLES)
FAMILY_NAMES = tuple(name for name, item in FAMILIES.items() if item.role == "pretraining")


def load_corpus() -> Corpus:
    """Draw the pretraining families and drop near-equals of downstream drawings.

    Raises:
        DpcError: an icon package is missing or of another version.
    """
    own, others = (
        [
            drawing
            for name, item in FAMILIES.items()
            if item.role == role
            for drawing in render(name)
        ]
        for role in ("pretraining", "downstream")
    )
    return make_corpus(without_duplicates(own, others))


def make_corpus(
    drawings: Iterable[Drawing], min_word: int = MIN_WORD, min_head: int = MIN_HEAD
) -> Corpus:
    """Keep frequent words and the images whose head is frequent; equal pictures of a name once."""
    kept: dict[tuple[tuple[str, ...], bytes], Drawing] = {}
    for drawing in drawings:
        words = tuple(content_words(drawing.name))
        if words and not _LOGOS & set(split_name(drawing.name)):
            kept.setdefault((words, drawing.ink.tobytes()), drawing)
    carried = Counter(w for words, _ in kept for w in {canonical(word) for word in words})
    frequent = {
        word for word, count in carried.items()
        if count >= min_word and len(word) > 1 and not word.isdigit()
    }  # fmt: skip
    entries = [
        (tuple(word for word in words if canonical(word) in frequent and len(word) > 1), drawing)
        for (words, _), drawing in kept.items()
    ]
    heads = Counter(canonical(words[0]) for words, _ in entries if words)
    entries = [e for e in entries if e[0] and heads[canonical(e[0][0])] >= min_head]
    vocabulary = sorted({canonical(word) for words, _ in entries for word in words})
    return Corpus(
        torch.from_numpy(np.stack([drawing.ink for _, drawing in entries])),
        tuple(words for words, _ in entries),
        torch.tensor([_style_row(drawing) for _, drawing in entries]),
        torch.tensor([FAMILY_NAMES.index(drawing.family) for _, drawing in entries]),
        {word: row for row, word in enumerate(vocabulary)},
    )


def _style_row(drawing: Drawing) -> int:
    default = FAMILIES[drawing.family].style if drawing.family in FAMILIES else ""
    found = style(drawing.name, default)
    return STYLE_NAMES.index(found) if found else -1
