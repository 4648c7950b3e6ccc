"""Which sentences a prompt was tuned in: a checkpoint keeps the embeddings of what follows it.

``token_suffix`` (C, L, d_t) holds for each class the tokens behind the context, up to the end of
the text. Compared with ours it tells other class names, another order, other words or another CLIP.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dpc.clip.model import Clip
from dpc.files import digest

SUFFIX = "prompt_learner.token_suffix"
Marks = list[list[str]]  # of each class, a short hash of each token; equal ones at the end once


def marks_of(state: Mapping[str, Tensor], width: int) -> Marks | None:
    """The marks of a checkpoint's sentences; None: it keeps none of this width."""
    suffix = state.get(SUFFIX)
    if suffix is None or suffix.ndim != 3 or suffix.shape[2] != width:
        return None
    return [_without_padding(_marks(rows)) for rows in suffix]


def differing(found: Marks, clip: Clip, sentences: Sequence[str], length: int) -> list[int]:
    """Classes whose sentence is another than in the checkpoint; all, if their numbers differ.

    Args:
        found: of the checkpoint, in the order of its classes.
        clip: the CLIP whose embeddings they should be.
        sentences: ours, with the words that the context stands for.
        length: tokens of the context.
    """
    if len(found) != len(sentences):
        return list(range(len(sentences)))
    ours = [_marks(clip.embed_words(text)[length:]) for text in sentences]
    # behind the words stand the end of the text and, unless the context is full, padding
    return [
        index
        for index, (theirs, words) in enumerate(zip(found, ours, strict=True))
        if theirs[: len(words)] != words or len(theirs) - len(words) not in (1, 2)
    ]


def _marks(rows: Tensor) -> list[str]:
    """Of each embedding (N, d), in half precision: in it checkpoints are stored."""
    values = rows.detach().cpu().to(torch.float16).contiguous().numpy()
    return [digest(row.tobytes())[:8] for row in values]


def _without_padding(marks: list[str]) -> list[str]:
    while len(marks) > 1 and marks[-1] == marks[-2]:
        marks = marks[:-1]
    return marks
