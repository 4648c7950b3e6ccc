"""How learned tensors start: text contexts out of words or noise, and the sentences around them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dpc.clip.model import Clip
from dpc.clip.sentences import random_context_sentence, sentence
from dpc.errors import DpcError

INIT_STD = 0.02


class Start(NamedTuple):
    """A text context before training."""

    context: Tensor  # (n, d_t)
    words: str | None  # begin every sentence, the context over the first n; None: n times X


def start_context(
    clip: Clip, words: str | None, length: int | None, generator: torch.Generator
) -> Start:
    """The embeddings of the first ``length`` tokens of ``words``; noise where there are fewer.

    Words behind the context stay in the sentence as they are.

    Args:
        words: None: noise, N(0, 0.02²), one draw of (length, d_t).
        length: n; None: all tokens of the words, of which there must be some then.

    Raises:
        DpcError: ``words`` hold no word.
    """
    if words is not None:
        embedded = clip.embed_words(words)
        if len(embedded) == 0:
            raise DpcError(f"init is {words!r}: write words, or null for noise")
        if length is None or length <= len(embedded):
            return Start(embedded[:length], words)
    if length is None:
        raise ValueError("a context without words needs a length")
    return Start(noise(clip, length, clip.text_width, generator), None)


def context_sentences(words: str | None, length: int, classnames: Sequence[str]) -> list[str]:
    """``words name.``, or ``X … X name.`` with ``length`` X."""
    if words is None:
        return [random_context_sentence(length, name) for name in classnames]
    return [sentence(f"{words} {{}}.", name) for name in classnames]


def noise(clip: Clip, length: int, width: int, generator: torch.Generator) -> Tensor:
    """(length, width) of N(0, 0.02²), on the CLIP's device."""
    return INIT_STD * torch.randn(length, width, generator=generator).to(clip.device)


def start_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A Linear as PyTorch starts it, uniform within ±1/√inputs: the weight, then the bias."""
    # Its own constructor would draw from the global generator.
    linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = inputs**-0.5
    with torch.no_grad():
        linear.weight.uniform_(-bound, bound, generator=generator)
        linear.bias.uniform_(-bound, bound, generator=generator)
    return linear


def check_depth(key: str, depth: int, **layers: int) -> None:
    """Refuse prompts deeper than a tower.

    Args:
        key: the parameter that says ``depth``.
        layers: blocks of each tower that is prompted, by its name.

    Raises:
        DpcError: ``depth`` is above one of them.
    """
    if depth > min(layers.values()):
        have = " and ".join(f"{count} {tower} layers" for tower, count in layers.items())
        raise DpcError(
            f"{key} is {depth} and this CLIP has {have}: take at most {min(layers.values())}"
        )
