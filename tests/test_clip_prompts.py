"""Prompts at any depth and every shortcut, against the slow and obvious formula."""

import pytest
import torch
from golden_data import FORWARD, load_student, student_config, tensors
from slow_clip import slow_image, slow_text

from dpc.clip.load import build_model
from dpc.clip.model import Clip
from dpc.clip.tokens import clip_tokenizer
from dpc.clip.towers import is_causal
from dpc.errors import DpcError

NAMES = ["cat", "annual crop land", "2012 Audi TT RS Coupe", "apply eye makeup"]
SENTENCES = [f"a photo of a {name}." for name in NAMES]
DEPTHS = [0, 1, 2, 3, 4]


def prompts(depth, n, width, generator):
    return [0.5 * torch.randn(n, width, generator=generator) for _ in range(depth)]


def relative(got, expected):
    return float((got - expected).detach().abs().max() / expected.detach().abs().max())


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("loaded", ["student", "slow_student"])
def test_text_prompts_against_slow_clip(depth, loaded, generator, request):
    clip = request.getfixturevalue(loaded)
    given = prompts(depth, 4, clip.text_width, generator)
    tokens = clip.tokenize(SENTENCES)
    expected = slow_text(clip.model.state_dict(), tokens, given, heads=1)
    assert relative(clip.encode_text(tokens, given), expected) < FORWARD


@pytest.mark.parametrize("depth", DEPTHS)
def test_image_prompts_against_slow_clip(student, depth, generator):
    given = prompts(depth, 3, student.image_width, generator)
    images = tensors("coop")["images"]
    expected = slow_image(student.model.state_dict(), images, given, heads=2)
    assert relative(student.encode_image(images, given), expected) < FORWARD


def test_gradients_of_deep_prompts_against_slow_clip(student, generator):
    texts = [p.requires_grad_() for p in prompts(3, 4, student.text_width, generator)]
    views = [p.requires_grad_() for p in prompts(3, 2, student.image_width, generator)]
    tokens, images = student.tokenize(SENTENCES), tensors("coop")["images"]
    state = student.model.state_dict()
    # The slow clip writes in place into copies, so its leaves need their own graph.
    fast = student.encode_text(tokens, texts).pow(2).sum()
    fast = fast + student.encode_image(images, views).pow(2).sum()
    slow = slow_text(state, tokens, texts, heads=1).pow(2).sum()
    slow = slow + slow_image(state, images, views, heads=2).pow(2).sum()
    got = torch.autograd.grad(fast, texts + views)
    expected = torch.autograd.grad(slow, texts + views)
    for one, other in zip(got, expected, strict=True):
        assert relative(one, other) < 3e-5


def test_cutting_the_context_changes_nothing(student, slow_student, generator):
    """Whole tensors: all classes with the full context, and a few classes with a short one."""
    context = 0.1 * torch.randn(4, student.text_width, generator=generator)
    names = [*SENTENCES, "a photo of a " + "very " * 40 + "long name."]
    tokens = student.tokenize(names)
    everything = slow_student.encode_text(tokens, [context])
    assert relative(student.encode_text(tokens, [context]), everything) < 1e-6
    some = torch.tensor([2, 0])
    assert relative(student.encode_text(tokens[some], [context]), everything[some]) < 1e-6


def test_cut_context_gives_the_same_gradient(student, slow_student, generator):
    context = (0.1 * torch.randn(4, 64, generator=generator)).requires_grad_()
    tokens = student.tokenize(SENTENCES)
    gradients = [
        torch.autograd.grad(clip.encode_text(tokens, [context]).pow(2).sum(), context)[0]
        for clip in (student, slow_student)
    ]
    assert relative(*gradients) < 3e-6


def test_the_context_is_cut_only_under_a_causal_mask():
    causal = torch.full((5, 5), -torch.inf).triu(1)
    assert is_causal(causal)
    leak = causal.clone()
    leak[1, 4] = 0
    finite = torch.full((5, 5), -1e4).triu(1)
    for mask in (None, leak, finite, torch.zeros(5, 5), causal.expand(2, 5, 5)):
        assert not is_causal(mask)


def test_a_tower_without_causal_mask_reads_the_full_context(generator):
    config = student_config()
    config["text_cfg"] = {**config["text_cfg"], "no_causal_mask": True}
    torch.manual_seed(0)
    clip = Clip(
        build_model({**config, "custom_text": True}), clip_tokenizer(), (0, 0, 0), (1, 1, 1)
    )
    tokens = clip.tokenize(SENTENCES)
    with torch.no_grad():
        assert relative(clip.encode_text(tokens), clip.model.encode_text(tokens)) < 1e-6


def test_both_open_clip_classes_give_the_same(student, generator):
    custom = load_student(custom_text=True)
    tokens, images = student.tokenize(SENTENCES), tensors("coop")["images"]
    texts = prompts(3, 4, student.text_width, generator)
    views = prompts(3, 2, student.image_width, generator)
    assert torch.equal(custom.encode_text(tokens, texts), student.encode_text(tokens, texts))
    assert torch.equal(custom.encode_image(images, views), student.encode_image(images, views))
    assert custom.embed_dim == student.embed_dim == 32


def test_blocks_that_take_the_sequence_first(student, generator):
    """Older open_clip models run (L, N, d) through their blocks."""
    turned = load_student()
    for transformer in (turned.model.transformer, turned.model.visual.transformer):
        transformer.batch_first = False
        for block in transformer.resblocks:
            block.attn.batch_first = False
    turned = Clip(turned.model, turned.tokenizer, turned.mean, turned.std)
    tokens, images = student.tokenize(SENTENCES), tensors("coop")["images"]
    texts = prompts(2, 4, student.text_width, generator)
    views = prompts(2, 2, student.image_width, generator)
    text = turned.encode_text(tokens, texts), student.encode_text(tokens, texts)
    image = turned.encode_image(images, views), student.encode_image(images, views)
    assert relative(*text) < 1e-6
    assert relative(*image) < 1e-6


def test_bf16_returns_fp32_near_fp32(student, generator):
    rough = load_student(precision="bf16")
    tokens, images = student.tokenize(SENTENCES), tensors("coop")["images"]
    context = (0.1 * torch.randn(4, 64, generator=generator)).requires_grad_()
    view = (0.1 * torch.randn(2, 128, generator=generator)).requires_grad_()
    text, image = rough.encode_text(tokens, [context]), rough.encode_image(images, [view])
    assert text.dtype == image.dtype == torch.float32
    assert 1e-6 < relative(text, student.encode_text(tokens, [context])) < 0.05
    assert 1e-6 < relative(image, student.encode_image(images, [view])) < 0.05
    (text.sum() + image.sum()).backward()
    assert context.grad.dtype == view.grad.dtype == torch.float32


def test_nothing_in_clip_learns(student):
    assert not any(value.requires_grad for value in student.model.parameters())
    assert not student.model.training


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([torch.zeros(4, 63)], "expected (4, 64)"),
        ([torch.zeros(4, 64), torch.zeros(3, 64)], "layer 1 has shape (3, 64)"),
        ([torch.zeros(4, 64)] * 5, "prompts for 5 layers, the text tower has 4"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(student, given, words):
    with pytest.raises(ValueError, match=r"layer|sentence|expected") as caught:
        student.encode_text(student.tokenize(SENTENCES), given)
    assert words in str(caught.value)


def test_prompts_that_reach_the_end_of_a_sentence_are_refused(student):
    with pytest.raises(DpcError, match="9 text prompt tokens overwrite the end of a sentence"):
        student.encode_text(student.tokenize(SENTENCES), [torch.zeros(9, 64)])


def test_words_outside_the_kept_rows_are_named(student):
    assert student.unknown_words(SENTENCES) == []
    assert student.unknown_words(["a zebra.", "a zebra"]) == ["zebra"]


def test_a_text_that_is_too_long_names_itself(student):
    long = "a photo of a " + "word " * 80
    with pytest.raises(DpcError) as caught:
        student.tokenize(["a cat.", long])
    assert long in str(caught.value)
    assert "shorten" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_image_prompts_need_a_vit_that_ends_in_its_class_token():
    config = student_config()
    config["vision_cfg"] = {**config["vision_cfg"], "pool_type": "avg"}
    clip = Clip(build_model(config), clip_tokenizer(), (0, 0, 0), (1, 1, 1))
    assert clip.encode_image(torch.zeros(2, 3, 32, 32)).shape == (2, 32)
    with pytest.raises(DpcError, match="image prompts need"):
        clip.encode_image(torch.zeros(2, 3, 32, 32), [torch.zeros(2, 128)])


@pytest.mark.parametrize(
    "variant",
    [
        {"no_ln_pre": True},
        {"final_ln_after_pool": True},
        {"patch_dropout": 0.5},
        {"ls_init_value": 0.1},
        {"pos_embed_type": "sin_cos_2d"},
        {"norm_kwargs": {"eps": 0.1}},
        {"qk_norm": True, "scale_heads": True, "scale_attn": True, "scale_fc": True},
    ],
    ids=str,
)
def test_a_vit_of_another_make_is_walked_as_it_runs(student, variant):
    """Without any prompt, or with prompts of no tokens, the walk is open_clip's own pass."""
    config = student_config()
    config["vision_cfg"] = {**config["vision_cfg"], **variant}
    config["text_cfg"] = {**config["text_cfg"], "vocab_size": 9, "layers": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config)
    images, none = tensors("coop")["images"], [torch.zeros(0, 128)]
    for shortcuts in (True, False):
        clip = Clip(model, student.tokenizer, (0, 0, 0), (1, 1, 1), shortcuts=shortcuts)
        with torch.no_grad():
            expected = clip.model.encode_image(images)
            assert relative(clip.encode_image(images, none), expected) < FORWARD
            assert relative(clip.encode_image(images), expected) < FORWARD


def test_images_are_square():
    config = student_config()
    config["vision_cfg"] = {**config["vision_cfg"], "image_size": [32, 64]}
    with pytest.raises(DpcError, match=r"\(32, 64\) pixels"):
        Clip(build_model(config), clip_tokenizer(), (0, 0, 0), (1, 1, 1))


def test_a_text_tower_that_gives_all_tokens_is_refused():
    config = student_config()
    config["text_cfg"] = {**config["text_cfg"], "pool_type": "none"}
    with pytest.raises(DpcError, match="no prompts go in"):
        Clip(build_model(config), clip_tokenizer(), (0, 0, 0), (1, 1, 1))
