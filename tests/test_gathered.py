"""Several callers that one forward pass answers: what each gets is what it would get alone."""

import time

import pytest
import torch
from golden_data import FORWARD, load_student, tensors

from dpc.clip import towers
from dpc.clip.gathered import gathered
from dpc.clip.model import Clip

SENTENCES = [
    ["a photo of a cat.", "a photo of a bee's nest.", "a photo of a F/A-18."],
    ["a photo of a annual crop land.", "a photo of a cat."],
    ["a photo of a 2012 Audi TT RS Coupe.", "a photo of a dog.", "a photo of a house."],
]


@pytest.fixture(scope="module", params=[True, False], ids=["shortcuts", "whole"])
def clip(request):
    return load_student(shortcuts=request.param)


def prompts(width, layers, generator):
    return [torch.randn(3, width, generator=generator).requires_grad_() for _ in range(layers)]


def test_texts_and_images_are_those_of_each_alone(clip, generator):
    texts = [(clip.tokenize(names), prompts(64, 3, generator)) for names in SENTENCES]
    pixels = tensors("coop")["images"]
    images = [(pixels[:count], prompts(128, 2, generator)) for count in (4, 1, 2)]

    def call(place):
        def both(one: Clip):
            return one.encode_text(*texts[place]), one.encode_image(*images[place])

        return both

    found = gathered([clip] * 3, [call(place) for place in range(3)])
    for place in range(3):
        for kind, alone in enumerate(call(place)(clip)):
            torch.testing.assert_close(found[place][kind], alone, rtol=FORWARD, atol=FORWARD)

    def gradients(results):
        total = sum((one * one).sum() for both in results for one in both)
        learned = [value for _, each in (*texts, *images) for value in each]
        return torch.autograd.grad(total, learned)

    apart = gradients([call(place)(clip) for place in range(3)])
    for joined, alone in zip(gradients(found), apart, strict=True):
        torch.testing.assert_close(joined, alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_all_are_encoded_in_one_pass(generator, monkeypatch):
    clip, passes = load_student(), []
    for name in ("run_prefixes", "run_alone"):
        block = getattr(towers, name)
        monkeypatch.setattr(towers, name, lambda *of, b=block: passes.append(b) or b(*of))
    tokens = clip.tokenize(["a photo of a cat.", "a photo of a dog."])
    pixels = tensors("coop")["images"]

    def call(one: Clip):
        one.encode_text(tokens, prompts(64, 1, generator))
        one.encode_image(pixels, prompts(128, 1, generator))

    call(clip)
    alone = list(passes)
    gathered([clip] * 3, [call] * 3)
    assert passes == 2 * alone


def test_callers_that_ask_less_do_not_hold_the_others_up(clip):
    tokens = clip.tokenize(["a photo of a cat."])

    def often(count):
        return lambda one: [one.encode_text(tokens) for _ in range(count)]

    found = gathered([clip] * 3, [often(count) for count in (0, 3, 1)])
    assert [len(one) for one in found] == [0, 3, 1]
    for one in (*found[1], *found[2]):
        torch.testing.assert_close(one, clip.encode_text(tokens), rtol=FORWARD, atol=FORWARD)


def test_a_failure_is_the_callers_own_and_ends_all(clip):
    tokens = clip.tokenize(["a photo of a cat."])

    def fails(one: Clip):
        raise ValueError("mine")

    def wrong(one: Clip):
        return one.encode_text(tokens, [torch.zeros(3, 7)])

    def right(one: Clip):
        return [one.encode_text(tokens) for _ in range(2)]

    def of_each_row(one: Clip):
        return one.encode_text(tokens, [torch.zeros(1, 3, 64)])

    asked = []

    def patient(one: Clip):
        for _ in range(5):
            asked.append(one.encode_text(tokens))

    with pytest.raises(ValueError, match="mine"):
        gathered([clip] * 3, [patient, fails, patient])
    assert len(asked) == 0
    with pytest.raises(ValueError, match="prompt of layer 0 has shape"):
        gathered([clip] * 3, [right, wrong, right])
    with pytest.raises(ValueError, match="prompt of layer 0 has shape"):
        of_each_row(clip)


def test_each_caller_has_gradients_or_none_whoever_is_last(clip, generator):
    tokens, learned = clip.tokenize(["a photo of a cat."]), prompts(64, 1, generator)

    def late(one: Clip):
        time.sleep(0.05)
        return one.encode_text(tokens, learned).requires_grad

    def early(one: Clip):
        with torch.no_grad():
            return one.encode_text(tokens, learned).requires_grad

    def swapped(one: Clip):
        with torch.no_grad():
            return late(one)

    def at_once(one: Clip):
        return one.encode_text(tokens, learned).requires_grad

    assert gathered([clip] * 2, [late, early]) == [True, False]
    assert gathered([clip] * 2, [at_once, swapped]) == [True, False]
    with torch.no_grad():
        assert gathered([clip] * 2, [at_once, late]) == [False, False]


def test_callers_have_one_clip(clip):
    with pytest.raises(ValueError, match="share one CLIP"):
        gathered([clip, load_student()], [lambda one: None] * 2)
