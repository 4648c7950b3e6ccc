"""Captions of an icon: some of its words, perhaps its style, in one of several sentences."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from dpc.icons.words import STYLES, SYNONYMS, canonical
from dpc.pretrain.corpus import STYLE_NAMES

_SENTENCES = (
    "{}", "{}", "an icon of a {}.", "an icon of a {}", "a photo of a {}.", "a {} icon",
    "a drawing of a {}.", "an icon of {}.",
)  # fmt: skip
_STYLED = (
    "{name} {style}", "an icon of a {name}, {style}", "a {style} icon of a {name}.",
    "a photo of a {style} {name}.", "a {style} {name} icon", "a {style} drawing of a {name}.",
)  # fmt: skip
_FULL = 0.4  # captions that say the full name
_HEAD = 0.85  # up to here: its first word, or two
_TWO = 0.2  # of the latter
_SYNONYM = 0.3  # captions whose words are replaced by synonyms
_STYLE = 0.4  # captions that name the style, where it is known


@dataclass(frozen=True)
class Caption:
    """A sentence, the canonical words it says, and the style it names (−1: none)."""

    text: str
    words: tuple[str, ...]
    style: int


def draw_caption(words: tuple[str, ...], style: int, rng: random.Random) -> Caption:
    """A random caption of an icon with these words and this style (−1: not known)."""
    kind = rng.random()
    if kind < _FULL:
        chosen = list(words)
    elif kind < _HEAD:
        chosen = list(words[: 2 if rng.random() < _TWO else 1])
    else:
        chosen = [rng.choice(words)]
    said = tuple(canonical(word) for word in chosen)
    if rng.random() < _SYNONYM:
        chosen = [rng.choice(SYNONYMS.get(word, (word,))) for word in chosen]
    elif len(chosen) == 1:
        chosen = list(said)
    name = " ".join(chosen)
    if style < 0 or rng.random() >= _STYLE:
        return Caption(rng.choice(_SENTENCES).format(name), said, -1)
    adjective = rng.choice(STYLES[STYLE_NAMES[style]])
    return Caption(rng.choice(_STYLED).format(name=name, style=adjective), said, style)


def all_texts(words: Iterable[str]) -> list[str]:
    """Texts that together hold every word and sign that a caption of these words may have."""
    synonyms = {synonym for word in words for synonym in SYNONYMS.get(word, (word,))}
    styles = [adjective for adjectives in STYLES.values() for adjective in adjectives]
    return [
        *_SENTENCES, *(text.format(name="", style="") for text in _STYLED), *styles,
        *sorted(synonyms | set(words)),
    ]  # fmt: skip
