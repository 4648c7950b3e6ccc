"""The whole recipe, from installed icon packages to weights that ship."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from dpc.errors import DpcError
from dpc.icons.families import FAMILIES, source_hashes
from dpc.pretrain.caption_phase import learn_captions
from dpc.pretrain.corpus import Corpus, load_corpus
from dpc.pretrain.export import export
from dpc.pretrain.recipe import Recipe, build_model, recipe
from dpc.pretrain.word_phase import learn_words

Say = Callable[[str], None]


def run(
    model: str = "icons",
    out: Path = Path("src/dpc/clip/weights"),
    seed: int = 1,
    threads: int = 1,
    resume: Path | None = Path(".cache/pretrain"),
    say: Say = print,
) -> Path:
    """Pretrain a model and write its weights and config; the path of the weights.

    The result depends on the icon packages, the recipe, the seed and the number of threads (sums
    are ordered by thread), and on the processor's arithmetic (bfloat16 kernels).

    Args:
        model: a name of `dpc.pretrain.recipe.RECIPES`.
        out: folder of ``<model>.safetensors`` and ``<model>.json``.
        threads: 1 or 2.
        resume: folder of the checkpoints; a run of the same recipe, seed, threads and packages
            goes on from there and ends with the same weights. None keeps none.
        say: receives one progress line at a time.

    Raises:
        DpcError: an unknown model, another number of threads, an icon package that is missing.
    """
    item = recipe(model)
    if threads not in (1, 2):
        raise DpcError(f"threads is {threads}; the recipe is defined for 1 or 2")
    torch.set_num_threads(threads)
    corpus = load_corpus()
    say(f"{len(corpus.words)} images, {len(corpus.vocabulary)} words")
    return train_on(corpus, item, model, out, seed, _keys(item, seed, threads), resume, say)


def train_on(
    corpus: Corpus,
    item: Recipe,
    name: str,
    out: Path,
    seed: int,
    keys: tuple[str, str],
    resume: Path | None,
    say: Say,
) -> Path:
    """Both phases on a given corpus; the weights. ``keys`` name the checkpoints of the phases."""
    places = [
        resume / f"{name}-{phase}.safetensors" if resume else None
        for phase in ("words", "captions")
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = build_model(item)
    table = learn_words(
        clip.visual, corpus, item.words, item.embed, item.image, seed, places[0], keys[0],
        _progress("words", say),
    )  # fmt: skip
    rows = learn_captions(
        clip, corpus, table, item.captions, item.image, seed, places[1], keys[1],
        _progress("captions", say),
    )  # fmt: skip
    return export(clip, rows, item, out, name)


def _keys(item: Recipe, seed: int, threads: int) -> tuple[str, str]:
    """What the checkpoints of the two phases belong to, as hashes; the first phase has no text."""
    sources = {name: source_hashes(name) for name in FAMILIES}
    everything = asdict(item)
    words = {
        part: value
        for part, value in everything.items()
        if part not in ("context", "captions") and not part.startswith("text_")
    }
    about = [seed, threads, torch.__version__, sources]
    first, second = (
        hashlib.sha256(json.dumps([parts, *about], sort_keys=True).encode()).hexdigest()
        for parts in (words, everything)
    )
    return first, second


def _progress(phase: str, say: Say) -> Callable[[int, int, dict[str, float]], None]:
    start = time.monotonic()

    def line(done: int, total: int, losses: dict[str, float]) -> None:
        values = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        say(f"{phase} {done}/{total}: {values}, {time.monotonic() - start:.0f} s")

    return line
