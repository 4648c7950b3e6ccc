"""What every backbone promises, for each name in BACKBONES and for the toys."""

import copy
import dataclasses

import pytest
import torch
from golden_data import facts, tensors

from dpc.backbones import BACKBONES, resolve
from dpc.backbones.base import Backbone, Teacher, make_task
from dpc.backbones.coop import CoOp, CoOpParams
from dpc.clip.model import logits
from dpc.clip.sentences import random_context_sentence, sentence
from dpc.clip.views import Views
from dpc.collaboration.weighting import mixed_backbone
from dpc.errors import DpcError

NAMES = facts("coop")["classes"]
PATHS = [*BACKBONES, "toys:Toy", "toys:Projected"]
DEPTH = 3  # the golden CLIP has four layers
TEACHER_WIDTH = 48  # d_T, unlike the golden CLIP's d


def made(kind, clip, generator, teacher):
    """A backbone at its start, by the default parameters but for a depth that the CLIP has."""
    depths = {f.name: DEPTH for f in dataclasses.fields(kind.Params) if f.name.endswith("depth")}
    params = kind.Params(**depths)
    if kind.needs_teacher:
        return kind.from_teacher(clip, teacher, params, generator).eval()
    return kind.from_clip(clip, params, generator).eval()


@pytest.fixture(scope="module")
def teacher():
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(len(NAMES), TEACHER_WIDTH, generator=generator)
    return Teacher(features, torch.tensor(30.0))


@pytest.fixture(params=PATHS)
def backbone(request, student, generator, teacher):
    return made(resolve(request.param), student, generator, teacher)


@pytest.fixture()
def task(student, backbone, teacher):
    given = teacher if backbone.needs_teacher else None
    return make_task(student, backbone, NAMES, "a photo of a {}.", given)


@pytest.fixture()
def views(student, backbone):
    images = tensors("coop")["images"]
    seen = torch.randn(len(images), TEACHER_WIDTH, generator=torch.Generator().manual_seed(4))
    return Views(student.encode_image(images), images, seen if backbone.needs_teacher else None)


def test_state_dict_is_the_whole_backbone(backbone, student, task, views, teacher):
    other = made(type(backbone), student, torch.Generator().manual_seed(9), teacher)
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
    assert held < 100_000 < sum(value.numel() for value in student.model.parameters())
    assert not any(hasattr(value, "encode_text") for value in vars(copied).values())


def test_features_of_a_class_or_image_do_not_depend_on_the_batch(backbone, student, task, views):
    texts = backbone.text_features(task).detach()
    images = backbone.image_features(student, views).detach()
    for row in range(len(NAMES)):
        alone = backbone.text_features(task, torch.tensor([row]))[0]
        torch.testing.assert_close(alone, texts[row], rtol=1e-5, atol=1e-5 * float(texts.max()))
    for row in range(len(images)):
        one = Views(*(None if part is None else part[row : row + 1] for part in views))
        alone = backbone.image_features(student, one)[0]
        torch.testing.assert_close(alone, images[row], rtol=1e-5, atol=1e-5 * float(images.max()))


def test_features_are_not_normalised_and_have_their_shapes(backbone, student, task, views):
    width = TEACHER_WIDTH if backbone.needs_teacher else student.embed_dim
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    assert (texts.shape, images.shape) == ((6, width), (4, width))
    for features in (texts, images):
        assert (features.norm(dim=-1) - 1).abs().min() > 1e-3


def test_losses_over_some_classes_are_those_of_the_columns(backbone, student, task, views):
    """Encoding only the needed classes gives what all classes give, columns picked."""
    classes, labels = torch.tensor([0, 2, 5]), torch.tensor([5, 0, 0, 2])
    losses = backbone.losses(task, views, labels, classes)
    if "classification" not in losses:
        assert backbone.transductive  # images without labels have no such loss
        return
    texts = backbone.text_features(task)
    images = backbone.image_features(student, views)
    scores = logits(student.logit_scale, images, texts)[:, classes]
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([2, 0, 0, 1]))
    torch.testing.assert_close(losses["classification"], expected, rtol=1e-5, atol=1e-6)


def test_losses_are_scalars_of_one_sum_and_kept_ones_are_regularizers(
    backbone, student, task, views
):
    labels = tensors("coop")["labels"]
    losses = backbone.losses(task, views, labels)
    assert all(value.shape == () and torch.isfinite(value) for value in losses.values())
    images, texts = backbone.image_features(student, views), backbone.text_features(task)
    beside = backbone.regularizers(task, views, images, texts, None)
    assert set(backbone.kept_losses) <= set(beside) <= set(losses)
    for name, value in beside.items():
        torch.testing.assert_close(value, losses[name])


def test_parallel_parameters_are_learned_tensors(backbone):
    names = backbone.parallel_parameters()
    assert set(names) <= {name for name, _ in backbone.named_parameters()}
    assert len(set(names)) == len(names)
    assert bool(names) == bool(list(backbone.parameters()))


def test_starts_follow_their_generator_alone(backbone, student, teacher):
    before = torch.get_rng_state()

    def start(seed):
        generator = torch.Generator().manual_seed(seed)
        return made(type(backbone), student, generator, teacher).state_dict()

    one, same = start(1), start(1)
    if type(backbone).__module__.startswith("dpc."):
        assert all(torch.equal(value, same[name]) for name, value in one.items())
        assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()  # with gradients, attention may take another kernel
def test_a_mix_is_exact_at_its_ends_and_fits_the_backbone(backbone, student, task, views):
    parallel = copy.deepcopy(backbone)
    for name in parallel.parallel_parameters():
        parallel.get_parameter(name).mul_(1.5)
    for weight, side in ((0.0, backbone), (1.0, parallel)):
        mixed = mixed_backbone(backbone, parallel, weight)
        assert torch.equal(mixed.text_features(task), side.text_features(task))
        images = [b.image_features(student, views) for b in (mixed, side)]
        assert torch.equal(*images)


def test_images_are_needed_only_where_they_matter(backbone, student, views):
    if backbone.needs_images:
        with pytest.raises(ValueError, match="got no images"):
            backbone.image_features(student, Views(views.frozen))
    else:
        backbone.image_features(student, Views(views.frozen))


def test_every_backbone_of_the_package_has_a_label(backbone):
    if type(backbone).__module__.startswith("dpc."):
        assert backbone.label


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
