"""The image tower's own walk through its blocks against open_clip's, on whole tensors."""

import pytest
import torch
from golden_data import load_golden_clip
from open_clip.transformer import QuickGELU
from torch import nn

from dpc.clip import towers
from dpc.clip.prefix import feed_forward

DEPTHS = [1, 2, "all"]


@pytest.fixture(scope="module", params=["clip_student", "clip_teacher"])
def clips(request):
    """The golden CLIP with and without shortcuts."""
    return [load_golden_clip(request.param, shortcuts=cut) for cut in (True, False)]


def start(clip, depth, generator):
    layers = clip.image_layers if depth == "all" else depth
    prompts = [torch.randn(3, clip.image_width, generator=generator) for _ in range(layers)]
    images = torch.randn(5, 3, clip.image_size, clip.image_size, generator=generator)
    return [prompt.requires_grad_() for prompt in prompts], images


@pytest.mark.parametrize("depth", DEPTHS)
def test_features_and_gradients_are_those_of_the_plain_walk(clips, depth, generator):
    prompts, images = start(clips[0], depth, generator)
    found = []
    for clip in clips:
        features = clip.encode_image(images, prompts)
        gradients = torch.autograd.grad(features.square().sum(), prompts)
        found.append((features, *gradients))
    for quick, slow in zip(*found, strict=True):
        scale = float(slow.detach().abs().max())
        torch.testing.assert_close(quick, slow, rtol=0, atol=5e-6 * scale)


def test_the_last_block_computes_one_token(clips, generator, monkeypatch):
    seen = []

    def spy(block, x):
        result = plain(block, x)
        seen.append((x.shape[1], result.shape[1]))
        return result

    plain = towers.run_for_first
    monkeypatch.setattr(towers, "run_for_first", spy)
    prompts, images = start(clips[0], 2, generator)
    for clip in clips:
        clip.encode_image(images, prompts)
    patches = clips[0].model.visual.positional_embedding.shape[0]  # the class token among them
    assert seen == [(patches + 3, 1)]


def test_a_block_that_somebody_hooked_into_is_left_alone(clips, generator):
    clip = clips[0]
    prompts, images = start(clip, 1, generator)
    before = clip.encode_image(images, prompts)
    block = clip.model.visual.transformer.resblocks[-1]
    handle = block.register_forward_hook(lambda module, inputs, output: output + 1.0)
    try:
        assert not torch.allclose(clip.encode_image(images, prompts), before)
    finally:
        handle.remove()


@pytest.mark.parametrize("activation", [QuickGELU, nn.GELU])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mlp_is_the_one_written_down(activation, bias, generator):
    mlp = nn.Sequential(nn.Linear(8, 32, bias=bias), activation(), nn.Linear(32, 8, bias=bias))
    for value in mlp.parameters():
        value.data = torch.randn(value.shape, generator=generator)
    x = 3 * torch.randn(2, 5, 8, generator=generator)
    found = []
    for function in (lambda x: feed_forward(mlp, x), mlp):
        x = x.detach().requires_grad_()
        y = function(x)
        found.append((y.detach(), *torch.autograd.grad(y.square().sum(), x)))
    for quick, slow in zip(*found, strict=True):
        torch.testing.assert_close(quick, slow, rtol=0, atol=2e-6 * float(slow.abs().max()))


def test_the_mlp_keeps_one_wide_tensor_for_the_gradient():
    mlp = nn.Sequential(nn.Linear(8, 32), QuickGELU(), nn.Linear(32, 8)).requires_grad_(False)
    x, kept = torch.ones(2, 5, 8, requires_grad=True), []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        feed_forward(mlp, x)
    weights = {value.data_ptr() for value in mlp.parameters()}
    assert [t.numel() for t in kept if t.data_ptr() not in weights] == [2 * 5 * 32]
