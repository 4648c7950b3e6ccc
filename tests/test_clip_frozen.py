"""The frozen CLIP as stages get it: torch repeats itself to the bit, on the CPU and on CUDA."""

import os
import subprocess
import sys

import pytest
import torch

TRAINING = """
import os, sys, torch
from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp, CoOpParams
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import tune
from dpc.clip.views import FrozenBank
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning
from dpc.params.load import checked, preset
from dpc.stages.frozen import clip_for

clip = clip_for(checked(preset("smoke", [f"clip.device={sys.argv[1]}"])))
assert clip.device.type == sys.argv[1], clip.device
assert torch.are_deterministic_algorithms_enabled()
assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == sys.argv[2]

def train():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 3, clip.image_size, clip.image_size, generator=generator)
    features = clip.encode_image(images)[:, None]
    bank = FrozenBank(features, torch.arange(12) % 3)
    backbone = CoOp.from_clip(clip, CoOpParams(), generator).to(clip.device)
    task = make_task(clip, backbone, ["star", "house", "heart"], "an icon of a {}.")
    tune(task, backbone, bank, Recipe(epochs=2), seed=1)
    parallel, _ = finetune(task, backbone, bank, Finetuning(epochs=2, k=2), seed=1)
    return [features, *backbone.state_dict().values(), *parallel.state_dict().values()]

for one, other in zip(train(), train(), strict=True):
    assert one.isfinite().all() and torch.equal(one, other)
print("equal")
"""
CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    ],
)


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, ":16:8"])
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_both_stages_repeat_to_the_bit(tmp_path, device, own):
    """In a process of its own: settings that CUDA reads when it starts. A user's own one stays."""
    environment = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
    if own is not None:
        environment["CUBLAS_WORKSPACE_CONFIG"] = own
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, device, own or ":4096:8"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "equal", done.stderr
