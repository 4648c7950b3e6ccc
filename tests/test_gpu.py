"""The same on a CUDA device, where there is one."""

import pytest
import torch
from golden_data import FORWARD, assert_close, load_student, tensors
from toys import ImageBank, Projected, Toy

from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.clip.model import Clip, logits
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
NAMES = ["cat", "annual_crop_land", "F/A-18"]


@pytest.fixture(scope="module")
def cuda():
    clip = load_student()
    return Clip(clip.model.cuda(), clip.tokenizer, clip.mean, clip.std)


def test_bf16_is_near_fp32(cuda):
    halved = Clip(cuda.model, cuda.tokenizer, cuda.mean, cuda.std, precision="bf16")
    golden = tensors("coop")
    for encode in ("encode_text", "encode_image"):
        given = golden["clip.tokens" if encode == "encode_text" else "images"]
        fine, coarse = getattr(cuda, encode)(given), getattr(halved, encode)(given)
        assert coarse.dtype == torch.float32
        assert 2**-12 < float((fine - coarse).norm() / fine.norm()) < 2**-5


def test_plain_clip(cuda):
    golden = tensors("coop")
    texts = cuda.encode_text(golden["clip.tokens"])
    images = cuda.encode_image(golden["images"])
    scores = logits(cuda.logit_scale, images, texts).cpu()
    assert_close("clip logits, CUDA", scores, golden["clip.logits_per_image"], 10 * FORWARD)


@pytest.mark.parametrize("kind", [CoOp, Toy, Projected])
def test_both_stages_near_those_of_the_cpu(student, cuda, kind):
    """The bank stays on the CPU: batches are moved to the CLIP's device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 1, 3, 32, 32, generator=generator)
    bank = ImageBank(student.encode_image(images[:, 0])[:, None], images, torch.arange(12) % 3)
    states = []
    for clip in (student, cuda):
        backbone = kind.from_clip(student, kind.Params(), torch.Generator().manual_seed(0))
        task = make_task(clip, backbone, NAMES, "a photo of a {}.")
        tune(task, backbone, bank, Recipe(epochs=2), seed=1)
        parallel, _ = finetune(task, backbone, bank, Finetuning(epochs=2, k=2), seed=1)
        states.append(parallel.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name].cpu(), value, rtol=1e-3, atol=1e-4)
