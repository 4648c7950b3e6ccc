import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dpc.errors import DpcError
from dpc.icons.render import Drawing
from dpc.pretrain.caption_phase import CaptionTask, CaptionTower
from dpc.pretrain.captions import Caption, all_texts, draw_caption
from dpc.pretrain.corpus import FAMILY_NAMES, STYLE_NAMES, make_corpus
from dpc.pretrain.images import MEAN, STD, augmented, plain
from dpc.pretrain.recipe import CaptionPhase, Recipe, WordPhase, build_model, recipe
from dpc.pretrain.run import run, train_on
from dpc.pretrain.word_phase import word_targets

pytestmark = pytest.mark.slow  # whole stages and commands

TINY = Recipe(
    embed=16, image=32, patch=16, width=32, layers=1, head=16, text_width=32, text_heads=2,
    text_layers=1, context=16, words=WordPhase(steps=40, batch=8, chunk=2),
    captions=CaptionPhase(steps=40, captions=4, images=8, views=2, chunk=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    names = ["home-outline", "house-filled", "cloud", "cloud-download", "home-cloud", "download"]
    drawings = [
        Drawing(family, name, rng.integers(0, 255, (64, 64), dtype=np.uint8))
        for family in ("mdi", "lucide") for name in names
    ]  # fmt: skip
    return make_corpus([*drawings, drawings[0]], min_word=2, min_head=2)


def test_a_corpus_joins_synonyms_and_knows_heads_styles_and_families(corpus):
    assert corpus.vocabulary == {"cloud": 0, "download": 1, "house": 2}
    assert len(corpus.words) == 12  # the repeated picture of a name counts once
    assert corpus.heads().tolist() == [2, 2, 0, 0, 2, 1] * 2
    assert corpus.carried().sum(1).tolist() == [1, 1, 1, 2, 2, 1] * 2
    styles = [STYLE_NAMES[row] if row >= 0 else "" for row in corpus.styles]
    assert styles[:3] == ["outline", "filled", ""]
    assert styles[6:9] == ["outline", "filled", "outline"]  # lucide draws outlines
    assert [FAMILY_NAMES[row] for row in corpus.families[[0, 6]]] == ["mdi", "lucide"]


def test_rare_words_and_rare_heads_leave_a_corpus(corpus):
    ink = np.full((64, 64), 9, np.uint8)
    drawings = [Drawing("mdi", f"cat-{i}", ink + i) for i in range(3)]
    rare = Drawing("mdi", "dog-cat", ink)
    kept = make_corpus([*drawings, rare], min_word=2, min_head=3)
    assert kept.words == (("cat",),) * 4
    assert "dog" not in kept.vocabulary


def test_word_targets_sum_to_one_and_lead_with_the_head(corpus):
    targets = word_targets(corpus)
    assert torch.allclose(targets.sum(1), torch.ones(len(targets)))
    assert targets[:, :3].argmax(1).tolist() == corpus.heads().tolist()
    assert targets[2, 3:].sum() == 0  # its style is not known
    assert targets[0, 3:].argmax() == STYLE_NAMES.index("outline")


def test_captions_are_a_function_of_the_generator_and_say_what_they_claim():
    words = ("home", "download")
    draw = [draw_caption(words, 0, 2, random.Random(seed)) for seed in range(300)]
    assert draw == [draw_caption(words, 0, 2, random.Random(seed)) for seed in range(300)]
    assert {caption.words for caption in draw} == {
        ("house",), ("house", "download"), ("download",),
    }  # fmt: skip
    assert {caption.family for caption in draw} == {-1, 2}
    assert {caption.style for caption in draw} == {-1, 0}
    named = FAMILY_NAMES[2].replace("-", " ")
    assert all((caption.family == 2) == (named in caption.text) for caption in draw)
    assert any(c.within for c in draw)


def test_every_caption_token_has_a_row(corpus):
    tower = CaptionTower(build_model(TINY), all_texts({w for ws in corpus.words for w in ws}))
    rng = random.Random(0)
    known = set(tower.rows.tolist())
    for words, style, family in zip(
        corpus.words * 40, corpus.styles.tolist() * 40, corpus.families.tolist() * 40, strict=True
    ):
        text = draw_caption(words, style, family, rng).text
        assert set(tower._tokenizer([text]).flatten().tolist()) <= known, text


def test_pairs_respect_heads_parts_styles_and_families(corpus):
    task = CaptionTask(corpus, torch.zeros(12, 2, 16), torch.ones(3, 16), TINY.captions)
    captions = [
        Caption("own", ("house",)),
        Caption("", ("cloud",)),
        Caption("", ("cloud",), within=True),
        Caption("", ("cloud",), family=FAMILY_NAMES.index("lucide")),
    ]
    rows = torch.tensor([0, 2, 3, 4, 9])  # home, cloud, cloud download, home cloud; lucide's
    positive, ignored = task.pairs(captions, rows)
    assert positive[:, 1].tolist() == [False, True, True, False, True]
    assert ignored[:, 1].tolist() == [False, False, False, True, False]
    assert positive[:, 2].tolist() == [False, True, True, True, True]
    assert positive[:, 3].tolist() == [False, False, False, True, True]  # own pair, lucide's


def test_plain_images_are_black_on_white_and_augmentation_repeats(corpus):
    blank = plain(torch.zeros(1, 64, 64, dtype=torch.uint8), 32)
    assert blank.shape == (1, 3, 32, 32)
    assert torch.allclose(blank, torch.full_like(blank, (1 - MEAN) / STD))
    first, second = (augmented(corpus.inks, 32, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, plain(corpus.inks, 32))


class Stop(Exception):
    pass


def stop_at(text):
    def say(line):
        if line.startswith(text):
            raise Stop

    return say


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """The file of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    return train_on(corpus, TINY, "tiny", folder, 3, ("w", "c"), None, lambda line: None)


@pytest.mark.parametrize("place", ["words 15/", "captions 15/"])
def test_resume_equals_an_undisturbed_run(corpus, whole, tmp_path, place):
    keys = ("w", "c")
    with pytest.raises(Stop):
        train_on(corpus, TINY, "tiny", tmp_path / "b", 3, keys, tmp_path / "r", stop_at(place))
    lines: list[str] = []
    resumed = train_on(corpus, TINY, "tiny", tmp_path / "b", 3, keys, tmp_path / "r", lines.append)
    assert lines[0].startswith(place.replace("15", "11"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_another_seed_gives_other_weights_and_ignores_foreign_checkpoints(corpus, tmp_path):
    captions = CaptionPhase(steps=4, captions=4, images=8, views=2, chunk=2)
    short = replace(TINY, words=replace(TINY.words, steps=20), captions=captions)
    runs = [
        train_on(corpus, short, "t", tmp_path / str(i), seed, (key, key), tmp_path / "r",
                 lambda line: None).read_bytes()
        for i, (seed, key) in enumerate([(1, "a"), (2, "b"), (1, "c")])
    ]  # fmt: skip
    assert runs[0] == runs[2] != runs[1]


def test_exported_weights_hold_the_trained_token_rows_alone(whole):
    tensors = load_file(whole)
    rows = tensors["token_rows"]
    assert rows.dtype == torch.int64
    assert tensors["token_embedding_rows"].shape == (len(rows), TINY.text_width)
    assert "token_embedding.weight" not in tensors
    config = json.loads(whole.with_name("tiny.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["image_size"] == TINY.image
    assert config["preprocess_cfg"]["mean"] == [MEAN] * 3


def test_wrong_arguments_are_one_line():
    with pytest.raises(DpcError, match="unknown pretraining model 'x'; known: icons"):
        recipe("x")
    with pytest.raises(DpcError, match="threads is 3"):
        run("icons", threads=3)
