"""Checkpoints as the released trainers write them, with schedulers and all; names written out."""

import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class ConstantWarmupScheduler(torch.optim.lr_scheduler.LRScheduler):
    """Dassl's: holds another scheduler, which its state_dict keeps as an object."""

    def __init__(self, optimizer, successor, warmup_epoch, cons_lr):
        self.successor, self.warmup_epoch, self.cons_lr = successor, warmup_epoch, cons_lr
        super().__init__(optimizer)

    def get_lr(self):
        return [self.cons_lr for _ in self.base_lrs]


def _install(monkeypatch):
    """Let pickle find the class where Dassl has it, while a file is written."""
    for name in ("dassl", "dassl.optim", "dassl.optim.lr_scheduler"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    module = sys.modules["dassl.optim.lr_scheduler"]
    module.ConstantWarmupScheduler = ConstantWarmupScheduler  # type: ignore[attr-defined]
    monkeypatch.setattr(ConstantWarmupScheduler, "__module__", module.__name__)


def trained(state: dict[str, Tensor], monkeypatch, epoch: int = 10) -> dict:
    """What Dassl's ``save_checkpoint`` is given after some epochs."""
    _install(monkeypatch)
    floating = [v for v in state.values() if v.is_floating_point()][:2]
    learned = [torch.nn.Parameter(value.detach().float().clone()) for value in floating]
    optimizer = torch.optim.SGD(learned, lr=0.002, momentum=0.9, weight_decay=5e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(epoch))
    warmup = ConstantWarmupScheduler(optimizer, cosine, 1, 1e-5)
    sum(value.sum() for value in learned).backward()
    optimizer.step()
    warmup.step()
    return {
        "state_dict": OrderedDict(state),
        "epoch": epoch,
        "optimizer": optimizer.state_dict(),
        "scheduler": warmup.state_dict(),
        "val_result": np.float64(81.25),
    }


def save(
    path: Path,
    state: dict[str, Tensor],
    monkeypatch,
    half: bool = False,
    prefix: str = "",
    legacy: bool = False,
    epoch: int = 10,
) -> Path:
    """Write ``state``, official names, as Dassl would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {prefix + name: halved(value) if half else value for name, value in state.items()}
    with monkeypatch.context() as patch:
        content = trained(named, patch, epoch)
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def coop(state: dict[str, Tensor], width: int = 64) -> dict[str, Tensor]:
    """The registered model is the prompt learner alone; prefix and suffix of 3 classes."""
    return {
        "ctx": state["context"],
        "token_prefix": torch.zeros(3, 1, width),
        "token_suffix": torch.zeros(3, 76 - len(state["context"]), width),
    }


def maple(state: dict[str, Tensor]) -> dict[str, Tensor]:
    depth = sum(name.startswith("couplings.") for name in state) // 2
    found = {"prompt_learner.ctx": state["context"]}
    for kind in ("weight", "bias"):
        found[f"prompt_learner.proj.{kind}"] = state[f"couplings.0.{kind}"]
        for layer in range(1, depth):
            official = f"prompt_learner.compound_prompt_projections.{layer - 1}.{kind}"
            found[official] = state[f"couplings.{layer}.{kind}"]
    for layer in range(1, depth):
        found[f"prompt_learner.compound_prompts_text.{layer - 1}"] = state[f"deep.{layer - 1}"]
    return found | model()


def promptsrc(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {"prompt_learner.ctx": state["text.0"], "image_encoder.VPT": state["image.0"]}
    for tower in ("text", "image"):
        for layer in range(1, sum(name.startswith(f"{tower}.") for name in state)):
            official = f"{tower}_encoder.transformer.resblocks.{layer}.VPT_shallow"
            found[official] = state[f"{tower}.{layer}"]
    zero_shot = {"prompt_learner.ZS_image_encoder.conv1.weight": torch.zeros(4, 3, 2, 2)}
    return found | model() | zero_shot


def promptkd(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The student; with the text prompts that released DPC adds to it, if the state has them."""
    found = {"image_encoder.VPT": state["image.0"]}
    for layer in range(1, sum(name.startswith("image.") for name in state)):
        official = f"image_encoder.transformer.resblocks.{layer}.VPT_shallow"
        found[official] = state[f"image.{layer}"]
    for name, value in state.items():
        if name.startswith("projector."):
            convolution = name in ("projector.0.weight", "projector.3.weight")
            official = name.replace("projector.", "VPT_image_trans.conv1.")
            found[official] = value[:, :, None, None] if convolution else value
    if "text.0" in state:
        found["prompt_learner.ctx"] = state["text.0"]
        for layer in range(1, sum(name.startswith("text.") for name in state)):
            place = f"prompt_learner.text_encoder.transformer.resblocks.{layer}.VPT_shallow"
            found[place] = state[f"text.{layer}"]
        found["prompt_learner.text_encoder.ln_final.weight"] = torch.ones(4)
    return found | {name: value for name, value in model().items() if "image" in name}


def model() -> dict[str, Tensor]:
    """A few of the frozen CLIP's tensors: enough to be ignored."""
    return {
        "image_encoder.conv1.weight": torch.zeros(4, 3, 2, 2),
        "image_encoder.transformer.resblocks.0.ln_1.weight": torch.ones(4),
        "text_encoder.positional_embedding": torch.zeros(77, 4),
        "text_encoder.transformer.resblocks.0.attn.in_proj_weight": torch.zeros(12, 4),
        "prompt_learner.token_prefix": torch.zeros(3, 1, 4),
        "prompt_learner.token_suffix": torch.zeros(3, 72, 4),
        "logit_scale": torch.tensor(4.6052),
    }


OFFICIAL = {"coop": coop, "maple": maple, "promptsrc": promptsrc, "promptkd": promptkd}
