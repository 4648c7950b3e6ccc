"""Seconds that frozen towers take for a pass on this machine."""

import time

import torch

from dpc.clip.model import Clip
from dpc.stages.activations import FORWARD_BACKWARD, image_tower
from dpc.stages.estimate import SLOWDOWN
from dpc.stages.machine import matmul_rate

TIMED = 4  # images


def image_seconds(clip: Clip) -> float:
    """Of a frozen image tower, for one image; a tower that is no ViT is timed on a few."""
    if hasattr(clip.model.visual, "transformer"):
        return forward_seconds(clip, image_tower(clip, (), clip.precision == "bf16").flops)
    images = torch.zeros(TIMED, 3, clip.image_size, clip.image_size)
    with torch.no_grad():
        clip.encode_image(images)  # the first call sets the library up
        begin = time.perf_counter()
        float(clip.encode_image(images).sum())  # a GPU is done when the number is here
    return (time.perf_counter() - begin) / TIMED


def forward_seconds(clip: Clip, flops: float) -> float:
    """Seconds of a pass without gradients, out of the operations of one with them."""
    rate = matmul_rate(clip, clip.text_width)
    return SLOWDOWN[clip.precision] * flops / FORWARD_BACKWARD / rate
