"""Every backbone on a CLIP of real size, ViT-B/16 with random weights: a step of each stage."""

import time

import pytest
import torch
from torch import Tensor

from dpc.backbones import BACKBONES, resolve
from dpc.backbones.base import Teacher, make_task
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.clip.load import load
from dpc.clip.model import Clip, logits
from dpc.clip.spec import ClipSpec
from dpc.clip.views import Views
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning
from dpc.collaboration.weighting import mixed_backbone

pytestmark = pytest.mark.slow
NAMES = ("cloud", "grand piano", "house", "tree")
WIDTH = 512  # of features, and of the teacher's
LEARNING = [name for name in BACKBONES if name != "zero_shot"]


@pytest.fixture(scope="module")
def clips():
    """One model in both precisions; the time that all of its tests take is printed at the end."""
    begin = time.monotonic()
    full = load(ClipSpec("ViT-B-16-quickgelu", "random:1", "fp32", "cpu"))
    half = Clip(full.model, full.tokenizer, full.mean, full.std, precision="bf16")
    yield {"fp32": full, "bf16": half}
    print(f"\nViT-B/16: {time.monotonic() - begin:.0f} s")


class Pictures:
    """A bank of random pixels and features, of which a backbone takes what it needs."""

    def __init__(self, labels: list[int], generator: torch.Generator):
        self.count, count = 1, len(labels)
        self.labels = torch.tensor(labels)
        self.all = Views(
            torch.randn(count, WIDTH, generator=generator),
            torch.randn(count, 3, 224, 224, generator=generator),
            torch.randn(count, WIDTH, generator=generator),
        )

    def views(self, indices: Tensor, view: int) -> Views:
        return Views(*(part[indices] for part in self.all))


def check_gradients(backbone, names):
    values = dict(backbone.named_parameters())
    for name in names:
        gradient = values[name].grad
        assert gradient is not None and gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", LEARNING)
def test_a_step_of_both_stages_and_a_test(clips, generator, name, precision):
    clip, kind = clips[precision], resolve(name)
    teacher = None
    if kind.needs_teacher:
        teacher = Teacher(torch.randn(4, WIDTH, generator=generator), torch.tensor(100.0))
        backbone = kind.from_teacher(clip, teacher, kind.Params(), generator)
    else:
        backbone = kind.from_clip(clip, kind.Params(), generator)
    prompts = backbone.prompts()
    assert all(len(deep) in (0, 1, 9) for deep in prompts), "the depth of the official runs"
    task = make_task(clip, backbone, NAMES, "a photo of a {}.", teacher)

    history = tune(task, backbone, Pictures([0, 3], generator), Recipe(epochs=1, batch=2), seed=1)
    assert all(torch.tensor(losses).isfinite().all() for losses in history.values())
    check_gradients(backbone, dict(backbone.named_parameters()))

    shots = Pictures([0, 1, 2, 3], generator)
    recipe = Finetuning(lr=0.1, warmup_lr=0.1, epochs=1, batch=2, k=2)
    parallel, statistics = finetune(task, backbone, shots, recipe, seed=1)
    assert 2 <= statistics.pairs_per_step <= 4
    assert all(torch.tensor(losses).isfinite().all() for losses in statistics.history.values())
    check_gradients(parallel, backbone.parallel_parameters())
    for key in backbone.parallel_parameters():
        assert not torch.equal(parallel.state_dict()[key], backbone.state_dict()[key]), key

    images = Pictures([0] * 8, generator).all
    scores = []
    for tested in (backbone, mixed_backbone(backbone, parallel, 0.5)):
        with torch.no_grad():
            features = tested.image_features(clip, images)
            scores.append(logits(clip.logit_scale, features, tested.text_features(task)))
        assert scores[-1].shape == (8, 4)
        assert scores[-1].dtype == torch.float32
        assert scores[-1].isfinite().all()
    assert not torch.equal(*scores)
