"""Weights as they ship: half precision, and of the token embedding the trained rows alone."""

import json
from pathlib import Path

import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor

from dpc.files import staged, write_atomically
from dpc.pretrain.recipe import Recipe, model_config

EMBEDDING = "token_embedding.weight"


def export(model: CLIP, rows: Tensor, item: Recipe, folder: Path, name: str) -> Path:
    """Write ``name.safetensors`` (fp16) and ``name.json`` (open_clip's config); the former's path.

    ``token_embedding.weight`` (49408, d_t) is stored as ``token_rows`` (R,) int64, the ids of the
    trained tokens, and ``token_embedding_rows`` (R, d_t), their embeddings; all others are 0.
    """
    state = model.state_dict()
    embedding = state.pop(EMBEDDING)
    tensors = {key: value.half().contiguous() for key, value in state.items() if key != "attn_mask"}
    tensors["token_rows"] = rows.to(torch.int64)
    tensors["token_embedding_rows"] = embedding[rows].half()
    weights = folder / f"{name}.safetensors"
    with staged(weights) as temporary:
        save_file(tensors, temporary)
    config = json.dumps(model_config(item), indent=2) + "\n"
    write_atomically(folder / f"{name}.json", config.encode())
    return weights
