"""The names that compete for an image, and which prompt speaks for each of them."""

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpc.clip.sentences import PLACEHOLDER, plain_name
from dpc.errors import DpcError
from dpc.files import is_file

if TYPE_CHECKING:
    from dpc.clip.model import Clip

ARTICLES = ("a", "an", "the")


@dataclass(frozen=True)
class Names:
    """Names that compete: ``tuned`` ones are read with ω_b, ``others`` with ω_n."""

    tuned: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Tuned names first."""
        return self.tuned + self.others


def read_labels(given: str) -> list[str]:
    """The labels of a text with commas, or of a file with one a line.

    Raises:
        DpcError: an empty or repeated label, fewer than two, or a file that is no text.
    """
    path = Path(given)
    from_file = is_file(path)
    lines = _lines(path) if from_file else given.split(",")
    if not from_file and len(lines) == 1 and path.suffix:
        raise DpcError(f"--labels {given}: there is no such file; a text names labels by commas")
    labels = [unicodedata.normalize("NFC", " ".join(line.split())) for line in lines]
    if not labels:
        raise DpcError(f"--labels {given} holds no label; write one a line")
    for number, label in enumerate(labels, 1):
        if not label:
            raise DpcError(f"--labels {given}: label {number} of {len(labels)} is empty; remove it")
    if len(labels) < 2:
        raise DpcError(f"--labels {given}: one label has no other to be told from; name two")
    return labels


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DpcError(f"--labels {path} is not UTF-8 text; one label a line is expected") from None
    return [line for line in text.splitlines() if line.strip()]


def sorted_out(labels: Sequence[str], tuned: Sequence[str], template: str) -> Names:
    """Labels as they stand in a sentence, those that name a tuned class apart from all others.

    A label that names a class is spelled as the class is. Where the template has an article in
    front of the name, that of a label is dropped: "a photo of a a cat" is no sentence.

    Raises:
        DpcError: two labels are one.
    """
    before = template.partition(PLACEHOLDER)[0].split()
    article = bool(before) and before[-1].lower() in ARTICLES
    known = {_folded(name): name for name in tuned}
    found: dict[str, str] = {}
    for label in labels:
        first, _, rest = label.partition(" ")
        plain = rest if article and rest and first.lower() in ARTICLES else label
        key = _folded(plain)
        if key in found:
            raise DpcError(f"--labels: {label!r} comes twice; name each label once")
        found[key] = known.get(key, plain)
    return Names(
        tuple(name for key, name in found.items() if key in known),
        tuple(name for key, name in found.items() if key not in known),
    )


def _folded(name: str) -> str:
    return " ".join(plain_name(name).casefold().split())


def unlearned(clip: "Clip", names: Sequence[str]) -> dict[str, list[str]]:
    """Words of the names that a CLIP with a vocabulary of its own never learned, and near ones that
    it did: of the same meaning, else of a similar spelling."""
    from dpc.icons.words import CONCEPTS, SYNONYMS

    if not clip.unknown_words([plain_name(name) for name in names]):
        return {}
    words = dict.fromkeys(word.lower() for name in names for word in plain_name(name).split())
    found = {}
    for word in words:
        if clip.unknown_words([word]):
            near = [*SYNONYMS.get(word, ()), *difflib.get_close_matches(word, sorted(CONCEPTS))]
            found[word] = [other for other in near if not clip.unknown_words([other])][:3]
    return found
