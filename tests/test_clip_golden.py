"""Plain CLIP against the official model class and tokenizer."""

import pytest
import torch
from golden_data import FORWARD, assert_close, facts, tensors

from dpc.clip.model import logits
from dpc.clip.sentences import sentence

TEXTS = facts("facts/tokens")["texts"]


@pytest.fixture(scope="module")
def golden():
    return tensors("coop")


@pytest.mark.parametrize("entry", TEXTS, ids=lambda entry: entry["text"][:30])
def test_tokens_are_those_of_the_official_tokenizer(student, entry):
    row = student.tokenize([entry["text"]])[0]
    assert row[: len(entry["ids"])].tolist() == entry["ids"]
    assert not row[len(entry["ids"]) :].any()
    assert int(row.argmax()) == entry["eot"]


def test_plain_clip_gives_the_official_features_and_logits(student, golden):
    names = facts("coop")["classes"]
    tokens = student.tokenize([sentence("a photo of a {}.", name) for name in names])
    assert torch.equal(tokens, golden["clip.tokens"])
    texts = student.encode_text(tokens)
    images = student.encode_image(golden["images"])
    scores = logits(student.logit_scale, images, texts)
    assert_close("clip text features", texts, golden["clip.text_features_raw"], FORWARD)
    assert_close("clip image features", images, golden["clip.image_features_raw"], FORWARD)
    assert_close("clip logits", scores, golden["clip.logits_per_image"], FORWARD)


@pytest.mark.parametrize("template", facts("facts/templates")["promptsrc_60"])
def test_every_template_takes_every_class(student, template):
    for name in facts("coop")["classes"]:
        text = sentence(template, name)
        assert name.replace("_", " ") in text
        assert int(student.tokenize([text]).count_nonzero()) > 3
