"""Captions of an icon: some of its words, perhaps its style or its family, in some sentence.

The sentences are made so that what stands before a word matters to what is meant by it: a text
tower whose context never mattered has no use for a tuned one. "An icon with a" means a part of the
picture, "the main thing is" its subject, "an icon of a" may mean either.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from dpc.icons.words import STYLES, SYNONYMS, canonical
from dpc.pretrain.corpus import FAMILY_NAMES, STYLE_NAMES

_EITHER = (
    "{}", "an icon of a {}.", "an icon of a {}", "a photo of a {}.", "a drawing of a {}.",
    "an icon of {}.",
)  # fmt: skip
_MAIN = ("a {} icon", "the main thing is {}.", "a plain symbol of {}.", "the sign for a {}")
_PART = ("an icon with a {}.", "a drawing that has a {}", "something with a {}.", "with {}")
_STYLED = (
    "{name} {style}", "an icon of a {name}, {style}", "a {style} icon of a {name}.",
    "a photo of a {style} {name}.", "a {style} {name} icon", "a {style} drawing of a {name}.",
)  # fmt: skip
_OF_FAMILY = ("a {family} icon of a {name}.", "{family} {name}", "a {name} by {family}.",
              "the {family} drawing of a {name}")  # fmt: skip
_FULL = 0.4  # captions that say the full name
_HEAD = 0.8  # up to here: its first word, or two; beyond, any one word, as a part
_TWO = 0.2  # of those with the first word
_CLEAR = 0.5  # of captions that could stand in an ambiguous sentence: those that do not
_TURNED = 0.5  # of captions of several words: the others stand before the first
_SYNONYM = 0.3  # captions whose words are replaced by synonyms
_STYLE = 0.35  # captions that name the style, where it is known
_FAMILY = 0.3  # captions that name the family


@dataclass(frozen=True)
class Caption:
    """A sentence and what it claims.

    Attributes:
        words: canonical words that the icon carries.
        within: one word is a part of the icon; else a lone word is the icon's head.
        style, family: index, −1 where the sentence names none.
        main: the sentence can mean nothing but the head.
    """

    text: str
    words: tuple[str, ...]
    within: bool = False
    style: int = -1
    family: int = -1
    main: bool = False


def draw_caption(words: tuple[str, ...], style: int, family: int, rng: random.Random) -> Caption:
    """A random caption of an icon with these words, style (−1: not known) and family."""
    kind = rng.random()
    within = kind >= _HEAD
    if kind < _FULL:
        chosen = list(words)
    elif within:
        chosen = [rng.choice(words)]
    else:
        chosen = list(words[: 2 if rng.random() < _TWO else 1])
    said = tuple(canonical(word) for word in chosen)
    if rng.random() < _SYNONYM:
        chosen = [rng.choice(SYNONYMS.get(word, (word,))) for word in chosen]
    elif len(chosen) == 1:
        chosen = list(said)
    if len(chosen) > 1 and rng.random() < _TURNED:
        chosen = [*chosen[1:], chosen[0]]
    name = " ".join(chosen)
    if within:
        sentences = _PART if rng.random() < _CLEAR else _EITHER
        return Caption(rng.choice(sentences).format(name), said, within=True)
    if rng.random() < _FAMILY:
        named = FAMILY_NAMES[family].replace("-", " ")
        text = rng.choice(_OF_FAMILY).format(family=named, name=name)
        return Caption(text, said, family=family)
    if style >= 0 and rng.random() < _STYLE:
        adjective = rng.choice(STYLES[STYLE_NAMES[style]])
        return Caption(rng.choice(_STYLED).format(name=name, style=adjective), said, style=style)
    main = rng.random() < _CLEAR
    return Caption(rng.choice(_MAIN if main else _EITHER).format(name), said, main=main)


def all_texts(words: Iterable[str]) -> list[str]:
    """Texts that together hold every word and sign that a caption of these words may have."""
    synonyms = {synonym for word in words for synonym in SYNONYMS.get(word, (word,))}
    styles = [adjective for adjectives in STYLES.values() for adjective in adjectives]
    sentences = [text.format("", name="", style="", family="")
                 for text in (*_EITHER, *_MAIN, *_PART, *_STYLED, *_OF_FAMILY)]  # fmt: skip
    families = [name.replace("-", " ") for name in FAMILY_NAMES]
    return [*sentences, *styles, *families, *sorted(synonyms | set(words))]
