"""docs/models.md: which of open_clip's models work with which backbones, as their anatomy says.

Write it anew with ``python -m dpc.params.models > docs/models.md``.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from dpc.backbones import BACKBONES, resolve
from dpc.clip.anatomy import Anatomy, anatomy
from dpc.clip.spec import EMBEDDED_MODELS, EMBEDDED_WEIGHTS, ClipSpec, architectures

# Models that tests build and try with every backbone, their layers cut.
TRIED = (
    "ViT-B-32",
    "ViT-B-32-quickgelu",
    "ViT-B-16",
    "ViT-B-16-quickgelu",
    "ViT-L-14",
    "ViT-L-14-336",
    "ViT-L-14-worldwide",
    "ViT-L-14-CLIPA",
    "ViT-B-16-SigLIP",
    "ViT-B-16-SigLIP2",
    "MobileCLIP2-L-14",
    "EVA02-B-16",
    "convnext_base",
    "RN50",
    "coca_ViT-B-32",
)
PAGE = """\
# Which CLIP works with which backbone

`clip.model` names a model of open_clip, `clip.pretrained` its weights: a tag of open_clip's, a
local file, or `random:SEED` (untrained, to try things out). What a backbone asks of a CLIP is that
its towers take prompts where the backbone puts them. A pair that cannot work is refused by
`dpc check`, and by every other command, in one line and before anything is loaded.

- **Text.** Prompts stand where the words of a sentence begin. Every text tower of open_clip's own
  takes them: CLIP's, SigLIP's and CLIPA's (no causal mask, so that sentences are computed whole),
  those of many languages. A text tower that is a model of Hugging Face takes none, nor does CoCa's.
- **Image.** Prompts stand behind the patches of a ViT of open_clip's own that ends in its class
  token. Other towers give frozen features: backbones that leave images alone work with them.
- **Words.** Some models read words with a tokenizer of Hugging Face, which is fetched on first
  use: `pip install transformers sentencepiece`. With `random:SEED` none is needed, since untrained
  weights know no words: CLIP's own is folded into their vocabulary.
- **Images** are prepared as the weights ask: mean, deviation, interpolation, and whether the
  shorter side is resized and the centre cut out, or both sides are resized (SigLIP, CLIPA). A local
  file does not say: OpenAI's way is taken, or that of its architecture's own weights where none of
  them were trained so. Weights that [ask for another](#local-files-that-ask-for-another-way) are
  best named by their tag.

This page is made by `python -m dpc.params.models > docs/models.md`; a test compares it.

## Tried

Tests build these, most with fewer layers, and train a step of each backbone on them.

"""


def page() -> str:
    """The whole page."""
    models = [*_all()]
    none = [one for one in models if one[1].text.refusal]
    text = [one for one in models if one not in none and one[1].image.refusal]
    every = [one for one in models if one not in none and one not in text]
    parts = [PAGE, "\n".join(_tried()), "\n"]
    parts.append(f"\n## Every backbone: {len(every)} models\n\n")
    parts.append(_table(every, ("models", "text layers", "image layers", "tokens", "words")))
    names = ", ".join(name for name in BACKBONES if "image" not in _prompted(name))
    parts.append(f"\n## Backbones that leave images alone ({names}): {len(text)} models\n\n")
    parts.append(_table(text, ("models", "text layers", "why", "tokens", "words")))
    parts.append(f"\n## No backbone: {len(none)} models\n\n")
    parts.append(_table(none, ("models", "why")))
    parts.append("\n## Local files that ask for another way\n\n")
    parts.append("As local files these would be prepared for otherwise than under their tag.\n\n")
    parts.append("\n".join(_otherwise()) + "\n")
    return "".join(parts)


def answer(found: Anatomy, backbone: str) -> str:
    """A cell of the first table: "yes", or why not."""
    if found.text.refusal:
        return f"no: {found.text.refusal}"
    if "image" in _prompted(backbone) and found.image.refusal:
        return f"no: {found.image.refusal}"
    return "yes"


def _prompted(backbone: str) -> tuple[str, ...]:
    """The towers that a backbone of the package puts prompts into."""
    kind: Any = resolve(backbone)
    return kind.prompted


def _all() -> Iterator[tuple[str, Anatomy]]:
    for name in EMBEDDED_MODELS:
        yield name, anatomy(ClipSpec(name, EMBEDDED_WEIGHTS))
    for name in sorted(architectures()):
        yield name, anatomy(ClipSpec(name, "random:1"))


def _otherwise() -> Iterator[str]:
    """Rows of the tags whose images are prepared in another way than those of a local file."""
    import open_clip

    from dpc.clip.load import OPENAI_PREPROCESS, usual_preprocess

    yield "| model | tag | the tag's way | a local file's |"
    yield "|---|---|---|---|"
    for name in sorted(architectures()):
        usual = usual_preprocess(name)
        for tag in open_clip.list_pretrained_tags_by_model(name):
            asked = open_clip.get_pretrained_cfg(name, tag)
            keys = [key for key in OPENAI_PREPROCESS if asked[key] != usual[key]]
            if keys:
                ways = (", ".join(f"{key} {way[key]}" for key in keys) for way in (asked, usual))
                yield f"| {name} | {tag} | {' | '.join(ways)} |"


def _tried() -> Iterator[str]:
    yield f"| model | {' | '.join(f'`{name}`' for name in BACKBONES)} |"
    yield "|---|" + "---|" * len(BACKBONES)
    for name in TRIED:
        found = anatomy(ClipSpec(name, "random:1"))
        answers = (answer(found, backbone).partition(":")[0] for backbone in BACKBONES)
        yield f"| {name} | {' | '.join(answers)} |"


def _table(models: list[tuple[str, Anatomy]], columns: tuple[str, ...]) -> str:
    """A row for all models that differ in nothing but their names."""
    cells: dict[str, Callable[[Anatomy], str]] = {
        "text layers": lambda found: str(found.text.layers),
        "image layers": lambda found: str(found.image.layers),
        "why": lambda found: found.text.refusal or found.image.refusal,
        "tokens": lambda found: str(found.context),
        "words": lambda found: "Hugging Face" if found.tokenizer else "CLIP",
    }
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, found in models:
        rows.setdefault(tuple(cells[column](found) for column in columns[1:]), []).append(name)
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join((', '.join(names), *row))} |" for row, names in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
