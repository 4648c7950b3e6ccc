"""Template lists, and zero-shot CLIP with more than one sentence."""

import pytest
import torch
from golden_data import facts
from torch.nn.functional import normalize

from dpc.backbones.base import make_task
from dpc.backbones.templates import TEMPLATES
from dpc.backbones.zero_shot import ZeroShot, ZeroShotParams
from dpc.clip.features import encode_texts
from dpc.clip.load import load
from dpc.clip.spec import ClipSpec

NAMES = facts("coop")["classes"]
TEMPLATE_FACTS = facts("facts/templates")
OWN = "a photo of a {}."


def start(student, generator, ensemble, template=OWN):
    backbone = ZeroShot.from_clip(student, ZeroShotParams(ensemble=ensemble), generator)
    return backbone, make_task(student, backbone, NAMES, template)


def slow_features(clip, templates):
    """Class by class, sentence by sentence."""
    rows = []
    for name in NAMES:
        texts = [template.format(name.replace("_", " ")) for template in templates]
        found = encode_texts(clip, clip.tokenize(texts)).double()
        rows.append((found / found.norm(dim=1, keepdim=True)).mean(0))
    return torch.stack(rows).float()


def test_lists_are_the_released_ones():
    assert list(TEMPLATES["imagenet-60"]) == TEMPLATE_FACTS["promptsrc_60"]
    assert list(TEMPLATES["imagenet-7"]) == TEMPLATE_FACTS["zero_shot_ensemble_7"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_sentence_is_there_once_and_has_one_place_for_the_name(name):
    assert len(set(TEMPLATES[name])) == len(TEMPLATES[name])
    assert all(template.count("{}") == 1 for template in TEMPLATES[name])


def test_the_embedded_clip_knows_the_words_of_its_own_sentences():
    assert 6 <= len(TEMPLATES["icons"]) <= 10
    clip = load(ClipSpec())
    assert clip.unknown_words([text.format("") for text in TEMPLATES["icons"]]) == []
    assert clip.unknown_words(["graffiti"]) != []


def test_without_an_ensemble_it_is_the_sentence_as_it_was(student, generator):
    backbone, task = start(student, generator, "none")
    assert torch.equal(backbone.text_features(task), encode_texts(student, task.tokens))


@pytest.mark.parametrize(
    ("ensemble", "template", "sentences"),
    [
        ("imagenet-7", OWN, 8),
        ("imagenet-7", "{} texture.", 8),
        ("imagenet-7", TEMPLATES["imagenet-7"][3], 7),
        ("icons", OWN, 8),
    ],
)
def test_ensemble_is_the_mean_of_features_of_length_one(
    student, generator, ensemble, template, sentences
):
    backbone, task = start(student, generator, ensemble, template)
    templates = [*TEMPLATES[ensemble]]
    if template not in templates:
        templates.append(template)
    assert len(templates) == sentences
    got, expected = backbone.text_features(task), slow_features(student, templates)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    raw = task.frozen_text_features(templates)
    assert not torch.allclose(normalize(got, dim=1), normalize(raw, dim=1), atol=1e-5)


def test_some_classes_are_rows_of_all(student, generator):
    backbone, task = start(student, generator, "imagenet-7")
    classes = torch.tensor([1, 4])
    assert torch.equal(backbone.text_features(task, classes), backbone.text_features(task)[classes])


def test_sentences_are_encoded_once_a_task(student, generator, monkeypatch):
    backbone, task = start(student, generator, "imagenet-7")
    first = backbone.text_features(task)
    monkeypatch.setattr(student, "encode_text", None)
    assert torch.equal(backbone.text_features(task), first)


def test_it_has_no_state_and_learns_nothing(student, generator):
    backbone, _ = start(student, generator, "imagenet-7")
    assert not backbone.state_dict() and not backbone.needs_images
    assert backbone.parallel_parameters() == []
