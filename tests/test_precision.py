"""clip.precision bf16: the towers run in it; prompts, losses and mixes stay in fp32."""

import pytest
import torch
from golden_data import tensors
from test_backbones_contract import NAMES, PATHS, TEACHER_WIDTH, made

from dpc.backbones import resolve
from dpc.backbones.base import Teacher, make_task
from dpc.clip.model import Clip, similarity
from dpc.clip.views import Views
from dpc.collaboration.loss import contrastive_loss
from dpc.collaboration.weighting import mixed_backbone
from dpc.training import sgd

FP32 = torch.float32


def dtypes(values):
    return {value.dtype for value in values if value.is_floating_point()}


@pytest.fixture(scope="module")
def halved(student):
    """The golden CLIP with its towers in bf16."""
    return Clip(student.model, student.tokenizer, student.mean, student.std, precision="bf16")


@pytest.mark.parametrize("path", PATHS)
def test_all_but_the_towers_stays_in_fp32(student, halved, path, generator):
    teacher = Teacher(
        torch.randn(len(NAMES), TEACHER_WIDTH, generator=generator), torch.tensor(9.0)
    )
    backbone = made(resolve(path), halved, generator, teacher)
    given = teacher if backbone.needs_teacher else None
    golden, labels = tensors("coop")["images"], tensors("coop")["labels"]
    seen = torch.randn(len(golden), TEACHER_WIDTH, generator=generator) if given else None
    views = Views(halved.encode_image(golden), golden, seen)
    task = make_task(halved, backbone, NAMES, "a photo of a {}.", given)

    texts, images = backbone.text_features(task), backbone.image_features(halved, views)
    assert dtypes([texts, images, similarity(images, texts), halved.logit_scale]) == {FP32}
    classes, rows = labels.unique(return_inverse=True)
    contrastive = contrastive_loss(images, texts[classes], rows, halved.logit_scale)
    losses = backbone.losses(task, views, labels)
    assert dtypes([contrastive, *losses.values()]) == {FP32}
    learned = list(backbone.parameters())
    if learned:
        (contrastive + sum(losses.values())).backward()
        optimizer = sgd(learned)
        optimizer.step()
        momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
        assert dtypes([*learned, *(value.grad for value in learned), *momenta]) == {FP32}
        mixed = mixed_backbone(backbone, backbone, 0.3)
        assert dtypes(mixed.state_dict().values()) == {FP32}
    assert not torch.is_autocast_enabled("cpu")


def test_the_towers_do_run_in_bf16(student, halved):
    texts = student.tokenize([f"a photo of a {name}." for name in NAMES])
    images = tensors("coop")["images"]
    for fine, coarse in (
        (student.encode_text(texts), halved.encode_text(texts)),
        (student.encode_image(images), halved.encode_image(images)),
    ):
        off = (fine - coarse).norm() / fine.norm()
        assert 2**-12 < float(off) < 2**-5  # bf16 has 8 bits
