"""CLIP with prompts, the slow and obvious way: one sentence, one image, one head at a time.

Reads a state_dict with OpenAI's names; shares no line with ``dpc.clip`` or open_clip.
"""

import math

import torch
from torch import Tensor


def slow_text(state, tokens: Tensor, prompts, heads: int) -> Tensor:
    """(C, d) features of ``tokens`` (C, L), over the full context."""
    return torch.stack([_one_text(state, row, prompts, heads) for row in tokens])


def slow_image(state, images: Tensor, prompts, heads: int) -> Tensor:
    """(B, d) features of ``images`` (B, 3, H, W)."""
    return torch.stack([_one_image(state, image, prompts, heads) for image in images])


def _one_text(state, row: Tensor, prompts, heads: int) -> Tensor:
    x = state["token_embedding.weight"][row].clone()
    if prompts:
        for position, vector in enumerate(prompts[0]):
            x[1 + position] = vector
    x = x + state["positional_embedding"]
    mask = torch.full((len(row), len(row)), -math.inf).triu(1)
    for layer in range(_layers(state, "transformer")):
        if 0 < layer < len(prompts):
            x = x.clone()
            for position, vector in enumerate(prompts[layer]):
                x[1 + position] = vector
        x = _block(state, f"transformer.resblocks.{layer}", x, heads, mask)
    x = _norm(state, "ln_final", x)
    end = max(range(len(row)), key=lambda place: int(row[place]))
    return x[end] @ state["text_projection"]


def _one_image(state, image: Tensor, prompts, heads: int) -> Tensor:
    kernel = state["visual.conv1.weight"]  # (d_v, 3, p, p)
    side = kernel.shape[-1]
    patches = [
        (kernel * image[:, top : top + side, left : left + side]).sum((1, 2, 3))
        for top in range(0, image.shape[1], side)
        for left in range(0, image.shape[2], side)
    ]
    x = torch.stack([state["visual.class_embedding"], *patches])
    x = x + state["visual.positional_embedding"]
    if prompts:
        x = torch.cat([x, prompts[0]])
    x = _norm(state, "visual.ln_pre", x)
    nothing = torch.zeros(len(x), len(x))
    for layer in range(_layers(state, "visual.transformer")):
        if 0 < layer < len(prompts):
            x = torch.cat([x[: len(x) - len(prompts[layer])], prompts[layer]])
        x = _block(state, f"visual.transformer.resblocks.{layer}", x, heads, nothing)
    return _norm(state, "visual.ln_post", x)[0] @ state["visual.proj"]


def _layers(state, tower: str) -> int:
    return len({name for name in state if name.startswith(f"{tower}.") and "ln_1.weight" in name})


def _block(state, name: str, x: Tensor, heads: int, mask: Tensor) -> Tensor:
    x = x + _attention(state, f"{name}.attn", _norm(state, f"{name}.ln_1", x), heads, mask)
    hidden = _norm(state, f"{name}.ln_2", x) @ state[f"{name}.mlp.c_fc.weight"].T
    hidden = hidden + state[f"{name}.mlp.c_fc.bias"]
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    return x + hidden @ state[f"{name}.mlp.c_proj.weight"].T + state[f"{name}.mlp.c_proj.bias"]


def _attention(state, name: str, x: Tensor, heads: int, mask: Tensor) -> Tensor:
    merged = x @ state[f"{name}.in_proj_weight"].T + state[f"{name}.in_proj_bias"]
    query, key, value = merged.chunk(3, dim=-1)
    size = x.shape[-1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / math.sqrt(size) + mask
        outputs.append(scores.softmax(-1) @ value[:, part])
    joined = torch.cat(outputs, dim=-1)
    return joined @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]


def _norm(state, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]
