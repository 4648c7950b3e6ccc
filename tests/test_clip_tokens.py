"""Text towers that are not CLIP's own: other tokens, other places of the feature, no mask."""

import copy
from types import SimpleNamespace

import pytest
import torch
from clip_files import refusal
from golden_data import FORWARD
from open_clip import tokenizer as open_clip_tokenizer
from open_clip.tokenizer import SimpleTokenizer

from dpc.clip import load as loading
from dpc.clip.load import build_model, load
from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec
from dpc.clip.tokens import Tokenizer, clip_tokenizer, folded_tokenizer, hugging_face_tokenizer

VOCABULARY, CONTEXT, WIDTH = 300, 16, 32
TEXTS = ["a photo of a cat", "a photo of a red fox", "a photo of two big dogs"]
TOWERS = {
    "SigLIP": {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    "SigLIP i18n": {"no_causal_mask": True, "pool_type": "last", "proj_type": "none"},
    "CLIPA": {"no_causal_mask": True, "pool_type": "last"},
    "worldwide": {"pool_type": "eos", "eos_id": 2},
    "first": {"no_causal_mask": True, "pool_type": "first"},
}
OPENINGS = {"without a start": (), "with a start": (1,)}


def small(tokenizer, shortcuts=True, custom=True, **text) -> Clip:
    config = {
        "embed_dim": WIDTH,
        "custom_text": custom,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16},
        "text_cfg": {"width": WIDTH, "heads": 2, "layers": 3, "context_length": CONTEXT,
                     "vocab_size": VOCABULARY, **text},
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config)
    generator = torch.Generator().manual_seed(3)
    for value in model.parameters():
        value.data += 0.1 * torch.randn(value.shape, generator=generator)
    return Clip(model, tokenizer, (0, 0, 0), (1, 1, 1), shortcuts=shortcuts)


def letters(opening=(), closing=(2,)) -> Tokenizer:
    """A token a word: the place of its first letter."""
    return Tokenizer(
        lambda text: [10 + ord(word[0]) for word in text.split()], str, opening, closing, 0
    )


def by_hand(clip, tokens, prompts, start):
    """open_clip's own forward pass: prompts as further words, and written in before each block."""
    tower = copy.deepcopy(clip.model)
    text = getattr(tower, "text", tower)
    n, table = len(prompts[0]), text.token_embedding.weight
    text.token_embedding.weight = torch.nn.Parameter(torch.cat([table, prompts[0]]))
    tokens = tokens.clone()
    tokens[:, start : start + n] = len(table) + torch.arange(n)
    for block, prompt in zip(text.transformer.resblocks[1:], prompts[1:], strict=False):

        def write(_, args, prompt=prompt):
            x = args[0].clone()
            for place in range(n):
                x[:, start + place] = prompt[place]
            return (x, *args[1:])

        block.register_forward_pre_hook(write)
    return tower.encode_text(tokens)


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=list(OPENINGS))
@pytest.mark.parametrize("tower", TOWERS)
def test_towers_against_open_clips_own_pass(tower, opening, shortcuts, generator):
    custom = tower.startswith("SigLIP")
    clip = small(letters(opening), shortcuts, custom, **TOWERS[tower])
    tokens = clip.tokenize(TEXTS)
    with torch.no_grad():
        plain = clip.model.encode_text(tokens)
        torch.testing.assert_close(clip.encode_text(tokens), plain, rtol=FORWARD, atol=FORWARD)
        for depth in (1, 3):
            given = [torch.randn(3, WIDTH, generator=generator) for _ in range(depth)]
            expected = by_hand(clip, tokens, given, len(opening))
            assert (expected - plain).abs().max() > 0.1
            got = clip.encode_text(tokens, given)
            torch.testing.assert_close(got, expected, rtol=FORWARD, atol=FORWARD)


def test_a_tower_without_mask_reads_its_padding():
    clip = small(letters(), **TOWERS["SigLIP"])
    tokens = clip.tokenize(TEXTS)
    changed = tokens.clone()
    changed[:, -2] = 7
    assert not clip.cuts_context and small(letters(), **TOWERS["worldwide"]).cuts_context
    assert (clip.encode_text(tokens) - clip.encode_text(changed)).abs().max() > 1e-3


@pytest.mark.parametrize(("opening", "closing"), [((), (2,)), ((1,), (2,)), ((1,), ())])
def test_prompts_may_take_all_words_and_no_more(opening, closing):
    clip = small(letters(opening, closing), **TOWERS["SigLIP"])
    tokens = clip.tokenize(TEXTS)
    assert clip.encode_text(tokens, [torch.zeros(5, WIDTH)]).isfinite().all()
    refusal(lambda: clip.encode_text(tokens, [torch.zeros(6, WIDTH)]), "has 5 tokens of words")


def test_ends_of_a_full_context_and_of_words_that_equal_padding():
    """CLIP pads with 0, which is "!" as well: the end of a sentence is its EOT."""
    clip = clip_tokenizer()
    rows = clip.rows(["wow ! it", "cat"], 6)
    assert rows[0].tolist() == [49406, *SimpleTokenizer().encode("wow ! it"), 49407, 0]
    assert clip.ends(rows).tolist() == [4, 2]
    full = letters((1,), ()).rows(["a b c"], 4)
    assert letters((1,), ()).ends(full).tolist() == [4]


class Inner:
    """As a tokenizer of Hugging Face: a token a letter, special ones around them if asked."""

    name_or_path, sep_token_id = "somebody/something", 9

    def __init__(self, opening, closing, pad, left=False):
        self.opening, self.closing, self.pad_token_id = opening, closing, pad
        self.left = left

    def __call__(self, texts, add_special_tokens=True, max_length=None, **_):
        if isinstance(texts, list):
            rows = [self(text).input_ids for text in texts]
            fill = [[self.pad_token_id] * (max_length - len(row)) for row in rows]
            pairs = zip(fill, rows, strict=True) if self.left else zip(rows, fill, strict=True)
            padded = [first + second for first, second in pairs]
            return SimpleNamespace(input_ids=torch.tensor(padded))
        ids = [ord(letter) for letter in texts]
        whole = [*self.opening, *ids, *self.closing] if add_special_tokens else ids
        return SimpleNamespace(input_ids=whole)

    def decode(self, ids):
        return "".join(map(chr, ids))


def wrapped(inner, clean="canonicalize", strip=False):
    """open_clip's own wrapper around it."""
    made = object.__new__(open_clip_tokenizer.HFTokenizer)
    made.tokenizer, made.tokenizer_mode, made.context_length = inner, "", CONTEXT
    made.clean_fn, made.strip_sep_token = open_clip_tokenizer.get_clean_fn(clean), strip
    return made


@pytest.mark.parametrize(
    ("inner", "strip"),
    [
        (Inner([], [1], 1), False),  # SigLIP: T5's vocabulary, padded with the end
        (Inner([], [1], 0), False),  # SigLIP 2: Gemma's
        (Inner([4], [9], 0), True),  # CLIPA: BERT's, the separator taken out
        (Inner([0], [2], 1), False),  # worldwide: XLM-V's
    ],
)
def test_a_hugging_face_tokenizer_gives_what_open_clip_gives(inner, strip):
    theirs = wrapped(inner, strip=strip)
    ours = hugging_face_tokenizer(theirs)
    texts = ["A Cat.", "two  dogs", "an-owl"]
    assert torch.equal(ours.rows(texts, CONTEXT), theirs(texts))
    assert ours.opening == tuple(inner.opening)
    assert ours.ends(theirs(texts)).tolist() == [len(inner.opening) + n for n in (5, 8, 5)]
    assert ours.decode(ours.encode("A Cat.")) == "a cat"


def test_a_tokenizer_that_pads_in_front_is_refused():
    inner = Inner([], [1], 0, left=True)
    refusal(lambda: hugging_face_tokenizer(wrapped(inner)), "somebody/something", "in this order")


def test_untrained_towers_read_folded_ids():
    folded = folded_tokenizer(VOCABULARY, end=2)
    rows = folded.rows(TEXTS, CONTEXT)
    assert rows.max() < VOCABULARY and folded.ends(rows).tolist() == [5, 6, 6]
    assert (rows[:, :5] >= 3).all()


def test_a_tokenizer_is_asked_for_as_open_clip_does(monkeypatch):
    asked = []

    def get(name, **kwargs):
        asked.append((name, kwargs))
        raise OSError("enough")

    monkeypatch.setattr(loading, "HFTokenizer", get)
    refusal(lambda: load(ClipSpec("ViT-L-14-CLIPA", "datacomp1b", device="cpu")), "enough")
    monkeypatch.setattr("open_clip.factory.HFTokenizer", get)
    with pytest.raises(OSError, match="enough"):
        loading.open_clip.get_tokenizer("ViT-L-14-CLIPA")
    (ours, kwargs), (theirs, others) = asked
    others = {key: value for key, value in others.items() if key in kwargs}
    assert (ours, kwargs) == (theirs, others) and kwargs["strip_sep_token"]


def test_a_tokenizer_that_cannot_be_had_is_one_line(monkeypatch):
    def missing(error):
        def get(*_, **__):
            raise error

        monkeypatch.setattr(loading, "HFTokenizer", get)
        return lambda: load(ClipSpec("ViT-B-16-SigLIP", "webli", device="cpu"))

    monkeypatch.setattr(loading.open_clip, "create_model", lambda *_, **__: pytest.fail("fetches"))
    name = "timm/ViT-B-16-SigLIP"
    refusal(missing(ModuleNotFoundError("transformers")), name, "pip install transformers senten")
    refusal(missing(OSError("offline\nmore")), name, "cannot be fetched or read: offline")
