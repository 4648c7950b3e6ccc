"""What every backbone promises, for each name in BACKBONES and for the toys."""

import copy
import dataclasses

import pytest
import torch
from golden_data import facts, tensors

from dpc.backbones import BACKBONES, resolve
from dpc.backbones.base import Backbone, make_task
from dpc.backbones.coop import CoOp, CoOpParams
from dpc.clip.model import logits
from dpc.clip.sentences import random_context_sentence, sentence
from dpc.clip.views import Views
from dpc.errors import DpcError

NAMES = facts("coop")["classes"]
PATHS = [*BACKBONES, "toys:Toy", "toys:Projected"]


@pytest.fixture(params=PATHS)
def backbone(request, student, generator):
    kind = resolve(request.param)
    return kind.from_clip(student, kind.Params(), generator).eval()


@pytest.fixture()
def task(student, backbone):
    return make_task(student, backbone, NAMES, "a photo of a {}.")


@pytest.fixture()
def views(student):
    images = tensors("coop")["images"]
    return Views(student.encode_image(images), images)


def test_state_dict_is_the_whole_backbone(backbone, student, task, views):
    kind = type(backbone)
    other = kind.from_clip(student, kind.Params(), torch.Generator().manual_seed(9)).eval()
    other.load_state_dict(copy.deepcopy(backbone.state_dict()))
    texts = [b.text_features(task) for b in (backbone, other)]
    images = [b.image_features(student, views) for b in (backbone, other)]
    assert torch.equal(*texts)
    assert torch.equal(*images)


def test_gradients_reach_every_learned_tensor_and_nothing_in_clip(backbone, student, task, views):
    loss = sum(backbone.losses(task, views, tensors("coop")["labels"]).values())
    if not list(backbone.parameters()):
        assert not loss.requires_grad
        return
    loss.backward()
    for name, value in backbone.named_parameters():
        assert value.grad is not None and value.grad.abs().sum() > 0, name
    assert all(value.grad is None for value in student.model.parameters())


def test_a_copy_carries_no_clip_weight(backbone, student, task, views):
    backbone.losses(task, views, tensors("coop")["labels"])
    copied = copy.deepcopy(backbone)
    ours = {value.data_ptr() for value in student.model.state_dict().values()}
    assert not ours & {value.data_ptr() for value in copied.state_dict().values()}
    held = sum(value.numel() for value in copied.state_dict().values())
    assert held < 10_000 < sum(value.numel() for value in student.model.parameters())
    assert not any(hasattr(value, "encode_text") for value in vars(copied).values())


def test_features_of_a_class_or_image_do_not_depend_on_the_batch(backbone, student, task, views):
    texts = backbone.text_features(task).detach()
    images = backbone.image_features(student, views).detach()
    for row in range(len(NAMES)):
        alone = backbone.text_features(task, torch.tensor([row]))[0]
        torch.testing.assert_close(alone, texts[row], rtol=1e-5, atol=1e-5 * float(texts.max()))
    for row in range(len(images)):
        one = Views(views.frozen[row : row + 1], views.images[row : row + 1])
        alone = backbone.image_features(student, one)[0]
        torch.testing.assert_close(alone, images[row], rtol=1e-5, atol=1e-5 * float(images.max()))


def test_features_are_not_normalised_and_have_their_shapes(backbone, student, task, views):
    assert backbone.text_features(task).shape == (6, student.embed_dim)
    assert backbone.image_features(student, views).shape == (4, student.embed_dim)
    norms = backbone.text_features(task).norm(dim=-1)
    assert (norms - 1).abs().min() > 1e-3


def test_losses_over_some_classes_are_those_of_the_columns(backbone, student, task, views):
    """Encoding only the needed classes gives what all classes give, columns picked."""
    classes, labels = torch.tensor([0, 2, 5]), torch.tensor([5, 0, 0, 2])
    got = backbone.losses(task, views, labels, classes)["classification"]
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    scores = logits(student.logit_scale, images, texts)[:, classes]
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([2, 0, 0, 1]))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_parallel_parameters_are_learned_tensors(backbone):
    assert set(backbone.parallel_parameters()) <= {name for name, _ in backbone.named_parameters()}


def test_images_are_needed_only_where_they_matter(backbone, student, views):
    if backbone.needs_images:
        with pytest.raises(ValueError, match="got no images"):
            backbone.image_features(student, Views(views.frozen))
    else:
        backbone.image_features(student, Views(views.frozen))


def test_sentences_hold_the_class_names(backbone):
    for text, name in zip(backbone.sentences(NAMES, "a photo of a {}."), NAMES, strict=True):
        assert text.endswith(name.replace("_", " ") + ".")


def test_a_context_without_words_stands_for_x(student, generator):
    params = CoOpParams(init=None, length=3)
    backbone = CoOp.from_clip(student, params, generator)
    assert backbone.sentences(["a_b"], "a photo of a {}.") == ["X X X a b."]
    assert random_context_sentence(1, "cat") == "X cat."


def test_other_init_words_stand_in_their_own_sentence(student, generator):
    backbone = CoOp.from_clip(student, CoOpParams(init="an icon of"), generator)
    assert backbone.context.shape == (3, 64)
    assert backbone.sentences(["a_b"], "{} texture.") == ["an icon of a b."]


def test_init_words_must_hold_a_word(student, generator):
    with pytest.raises(DpcError, match="null for noise"):
        CoOp.from_clip(student, CoOpParams(init=" "), generator)


def test_params_are_documented_dataclasses(backbone):
    fields = dataclasses.fields(type(backbone).Params)
    assert all(field.metadata["doc"] for field in fields)
    if list(backbone.parameters()):
        assert {"lr", "epochs", "batch"} <= {field.name for field in fields}


def test_a_template_without_a_place_for_the_name_is_refused():
    with pytest.raises(ValueError, match=r"has no \{\}"):
        sentence("a photo", "cat")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cop", "did you mean 'coop'"),
        ("nothing.here:Thing", "cannot be imported"),
        ("toys:Missing", "cannot be imported"),
        ("toys:ImageBank", "no subclass"),
        (":Toy", "cannot be imported"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(name, words):
    with pytest.raises(DpcError, match=words) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


def test_names_and_paths_lead_to_backbones():
    for path in PATHS:
        assert issubclass(resolve(path), Backbone)
