"""The prefix that all sentences share, computed once: equal to computing it for each of them."""

import copy
from functools import cache

import pytest
import torch
from golden_data import FORWARD, load_student
from open_clip.transformer import ResidualAttentionBlock
from slow_clip import slow_text
from torch import nn

from dpc.clip.load import build_model
from dpc.clip.model import Clip
from dpc.clip.prefix import find_prefix, is_known
from dpc.clip.tokens import clip_tokenizer

WIDTH, HEADS, LAYERS, CONTEXT = 48, 4, 3, 20
SETS = {
    "a template": [f"a photo of a {name}." for name in ("cat", "dog", "tree", "house", "car")],
    "long and short names": ["a photo of a cat.", "a photo of a 2012 Audi TT RS Coupe.", "a photo"],
    "nothing but the prompts": ["cat.", "a dog runs.", "two birds sit in a tree."],
    "names that start alike": ["X X red fox.", "X X red fox cub.", "X X red panda."],
    "one sentence begins another": ["a photo of a cat", "a photo of a cat on a mat"],
    "the same sentence": ["a photo of a cat.", "a photo of a cat."],
}


@cache
def small(shortcuts=True, custom_text=False, **text):
    """A CLIP with several heads, every parameter random; the same whatever the arguments."""
    config = {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16},
        "text_cfg": {
            "width": WIDTH,
            "heads": HEADS,
            "layers": LAYERS,
            "vocab_size": 49408,
            "context_length": CONTEXT,
            **text,
        },
    }
    with torch.random.fork_rng(devices=[]):
        model = build_model({**config, "custom_text": custom_text})
    generator = torch.Generator().manual_seed(3)
    # CLIP and CustomTextCLIP name and order the same parameters differently.
    named = {name.removeprefix("text."): value for name, value in model.named_parameters()}
    for name in sorted(named):
        noise = torch.randn(named[name].shape, generator=generator)
        gain = float(".ln_" in name and name.endswith("weight"))
        named[name].data = gain + 0.2 * noise
    arguments = clip_tokenizer(), (0, 0, 0), (1, 1, 1)
    return Clip(model, *arguments, shortcuts=shortcuts)


def given(depth, generator, n=2, width=WIDTH):
    return [torch.randn(n, width, generator=generator).requires_grad_() for _ in range(depth)]


def features_and_gradients(encode, prompts, weights):
    """(C, d) features and, of their weighted sum, the gradient of every prompt."""
    features = encode()
    if not prompts:
        return [features.detach()]
    return [features.detach(), *torch.autograd.grad((features * weights).sum(), prompts)]


def relative(got, expected):
    return float((got - expected).abs().max() / expected.abs().max())


def prefix_of(clip, texts, prompted):
    tokens = clip.tokenize(texts)
    tower = clip.model.transformer
    found = find_prefix(tower.resblocks, clip.model.attn_mask, tokens, tokens.argmax(-1), prompted)
    return 0 if found is None else found.length


@pytest.mark.parametrize("texts", SETS.values(), ids=SETS)
@pytest.mark.parametrize("depth", [0, 1, LAYERS])
@pytest.mark.parametrize("custom_text", [False, True])
def test_features_and_gradients_are_those_of_the_plain_path(texts, depth, custom_text, generator):
    fast, plain = small(custom_text=custom_text), small(False, custom_text)
    tokens, prompts = fast.tokenize(texts), given(depth, generator)
    weights = torch.randn(len(texts), 24, generator=generator)
    got, expected = (
        features_and_gradients(
            lambda clip=clip: clip.encode_text(tokens, prompts), prompts, weights
        )
        for clip in (fast, plain)
    )
    state = small().model.state_dict()
    slow = features_and_gradients(
        lambda: slow_text(state, tokens, prompts, HEADS), prompts, weights
    )
    for place, (one, two, three) in enumerate(zip(got, expected, slow, strict=True)):
        assert one.shape == two.shape == three.shape
        assert relative(one, two) < (3e-6 if place == 0 else 1e-5)
        assert relative(one, three) < (FORWARD if place == 0 else 1e-5)


@pytest.mark.parametrize("depth", [1, 4])
def test_gradients_of_a_trained_clip_and_many_classes(student, slow_student, depth, generator):
    names = [f"a photo of a {first} {second}." for first in SETS for second in SETS]
    tokens = student.tokenize(names)
    prompts = given(depth, generator, n=4, width=student.text_width)
    weights = torch.randn(len(names), student.embed_dim, generator=generator)
    got, expected = (
        features_and_gradients(
            lambda clip=clip: clip.encode_text(tokens, prompts), prompts, weights
        )
        for clip in (student, slow_student)
    )
    for one, two in zip(got, expected, strict=True):
        assert relative(one, two) < 1e-5


@pytest.mark.parametrize(
    ("texts", "prompted", "length"),
    [
        (SETS["a template"], 0, 5),  # SOT a photo of a
        (SETS["a template"], 2, 5),
        (SETS["nothing but the prompts"], 2, 3),  # SOT and the prompts
        (SETS["nothing but the prompts"], 0, 0),  # SOT alone is not worth it
        (SETS["names that start alike"], 2, 4),
        (SETS["one sentence begins another"], 0, 6),  # up to the first EOT
        (SETS["the same sentence"], 0, 7),  # all but EOT
        (SETS["a template"][:1], 4, 0),
    ],
)
def test_how_long_the_prefix_is(texts, prompted, length):
    assert prefix_of(small(), texts, prompted) == length


def test_rows_of_another_start_share_nothing():
    clip = small()
    tokens = clip.tokenize(SETS["a template"])
    tokens[1, 0] = 7
    mask, blocks = clip.model.attn_mask, clip.model.transformer.resblocks
    assert find_prefix(blocks, mask, tokens, tokens.argmax(-1), 2) is None


@pytest.mark.parametrize(("shortcuts", "rows"), [(True, 5 + 5 * 3), (False, 5 * CONTEXT)])
def test_the_prefix_goes_through_the_tower_once(shortcuts, rows, generator):
    clip, seen = small(shortcuts), []
    hooks = [
        block.ln_2.register_forward_hook(lambda _, x, __: seen.append(x[0].numel() // WIDTH))
        for block in clip.model.transformer.resblocks
    ]
    clip.encode_text(clip.tokenize(SETS["a template"]), given(1, generator, n=4))
    for hook in hooks:
        hook.remove()
    assert seen == [rows] * LAYERS


def test_layer_scale_is_known(generator):
    fast, plain = small(ls_init_value=0.1), small(False, ls_init_value=0.1)
    assert all(map(is_known, fast.model.transformer.resblocks))
    tokens, prompts = fast.tokenize(SETS["a template"]), given(2, generator)
    with torch.no_grad():
        got, expected = (clip.encode_text(tokens, prompts) for clip in (fast, plain))
    assert relative(got, expected) < 3e-6


class OwnBlock(ResidualAttentionBlock):
    """A block that a subclass may have changed."""


class OwnAttention(nn.MultiheadAttention):
    """Attention that a subclass may have changed."""


def test_blocks_of_another_kind_take_the_plain_path():
    known = small().model.transformer.resblocks[0]
    assert is_known(known)

    def changed(change):
        block = copy.deepcopy(known)
        change(block)
        return block

    others = [
        nn.Identity(),
        OwnBlock(WIDTH, HEADS),
        ResidualAttentionBlock(WIDTH, HEADS, is_cross_attention=True),
        changed(lambda b: setattr(b, "attn", OwnAttention(WIDTH, HEADS))),
        changed(lambda b: setattr(b, "attn", nn.MultiheadAttention(WIDTH, HEADS, kdim=8))),
        changed(lambda b: setattr(b, "attn", nn.MultiheadAttention(WIDTH, HEADS, 0.1))),
        changed(
            lambda b: setattr(b, "attn", nn.MultiheadAttention(WIDTH, HEADS, add_bias_kv=True))
        ),
        changed(
            lambda b: setattr(b, "attn", nn.MultiheadAttention(WIDTH, HEADS, add_zero_attn=True))
        ),
        changed(lambda b: setattr(b, "ln_1", nn.BatchNorm1d(WIDTH))),
        changed(lambda b: setattr(b, "ls_2", nn.Dropout(0.5))),
        changed(lambda b: b.mlp.append(nn.Softmax(dim=0))),
        changed(lambda b: b.register_forward_hook(lambda *_: None)),
        changed(lambda b: b.attn.register_forward_pre_hook(lambda *_: None)),
        changed(lambda b: b.mlp[1].register_forward_hook(lambda *_: None)),
    ]
    assert not any(map(is_known, others))


def test_custom_attention_is_encoded_as_open_clip_does():
    clip = small(custom_text=True, qk_norm=True)
    tokens = clip.tokenize(SETS["a template"])
    blocks = clip.model.text.transformer.resblocks
    assert not any(map(is_known, blocks))
    with torch.no_grad():
        assert relative(clip.encode_text(tokens), clip.model.encode_text(tokens)) < 3e-6


def test_bf16_is_as_near_to_fp32_as_the_plain_path(generator):
    fast, plain = load_student(precision="bf16"), load_student(False, precision="bf16")
    exact = load_student(False)
    tokens = fast.tokenize(SETS["a template"])
    prompts = [0.1 * p.detach() for p in given(3, generator, n=4, width=64)]
    for prompt in prompts:
        prompt.requires_grad_()
    weights = torch.randn(len(tokens), 32, generator=generator)
    got, rough, expected = (
        features_and_gradients(
            lambda clip=clip: clip.encode_text(tokens, prompts), prompts, weights
        )
        for clip in (fast, plain, exact)
    )
    for one, two, three in zip(got, rough, expected, strict=True):
        assert one.dtype == torch.float32
        assert 1e-6 < relative(one, three) < max(0.03, 1.5 * relative(two, three))


def test_the_same_every_time(student, generator):
    tokens = student.tokenize(SETS["long and short names"][:2])
    prompts = given(2, generator, n=4, width=student.text_width)
    weights = torch.randn(2, student.embed_dim, generator=generator)
    runs = [
        features_and_gradients(lambda: student.encode_text(tokens, prompts), prompts, weights)
        for _ in range(2)
    ]
    assert all(torch.equal(one, two) for one, two in zip(*runs, strict=True))
