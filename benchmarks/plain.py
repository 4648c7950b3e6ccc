"""Stage two of DPC as its description reads, one step at a time, with no shortcut.

What `steps.py` measures against, and a second opinion on its losses; it knows nothing of ``dpc``.
As in the released code every step encodes all classes, twice (with P to mine, with P' to learn),
over the whole context, and every image through the image tower each time it is looked at. The
towers are walked with open_clip's own blocks. Where the paper leaves room (equal classes in a
batch, negatives that are there already) the rules are those of docs/method.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Tensors = Mapping[str, Tensor]
# The distances of PromptSRC to frozen CLIP (released PromptSRC: 25 for texts, 10 for images).
TEXT_WEIGHT, IMAGE_WEIGHT = 25.0, 10.0


class Plain:
    """The parallel prompt in training.

    Args:
        model: open_clip ``CLIP`` with a ViT, frozen.
        backbone: "coop", "maple" or "promptsrc".
        tuned: P by name, and the couplings of MaPLe, which stay as they are.
        tokens: (C, L) ids of one sentence a class, L the whole context.
        k: K, an image and its K−1 hard negatives.
        templates: (M, C, L) ids of the sentences whose mean PromptSRC is held near.
        precision: "fp32", or "bf16" for both towers.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        backbone: str,
        tuned: Tensors,
        tokens: Tensor,
        k: int,
        templates: Tensor | None = None,
        precision: str = "fp32",
    ):
        self.model: Any = model
        self.backbone, self.tokens, self.k = backbone, tokens, k
        self.half = precision == "bf16"
        self.tuned = {name: value.detach().clone() for name, value in tuned.items()}
        self.parallel = {name: value.clone() for name, value in self.tuned.items()}
        learned = [v for name, v in self.parallel.items() if not name.startswith("couplings")]
        for value in learned:
            value.requires_grad_()
        self.optimizer = torch.optim.SGD(learned, lr=0.0, momentum=0.9, weight_decay=5e-4)
        self.frozen_texts = None
        if templates is not None:  # once, as in the released code
            with torch.no_grad():
                mean = torch.stack([self._text_tower(ids, []) for ids in templates]).mean(0)
            self.frozen_texts = F.normalize(mean, dim=-1)  # (C, d)

    def step(self, images: Tensor, labels: Tensor, pool: Tensor, lr: float) -> dict[str, float]:
        """One step of SGD.

        Args:
            images: (B, 3, H, W) of the batch.
            labels: (B,) their classes.
            pool: (C, 3, H, W) the image that each class brings as a hard negative.
            lr: learning rate.

        Returns:
            The named losses before the step.
        """
        images, labels = self._extended(images, labels, pool)
        losses = self._losses(images, labels)
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def _extended(self, images: Tensor, labels: Tensor, pool: Tensor) -> tuple[Tensor, Tensor]:
        """Each image and, behind it, its hard negatives that the batch does not hold yet."""
        text_prompts, image_prompts = self._prompts(self.tuned)
        texts = F.normalize(self._text_tower(self.tokens, text_prompts), dim=-1)  # (C, d)
        found = F.normalize(self._image_tower(images, image_prompts), dim=-1)  # (B, d)
        taken = set(labels.tolist())
        pictures, classes = [], []
        for image, label, scores in zip(images, labels.tolist(), found @ texts.T, strict=True):
            ranked = scores.sort(descending=True, stable=True).indices.tolist()
            nearest = [other for other in ranked if other != label][: self.k - 1]
            new = [other for other in nearest if other not in taken]
            taken.update(new)
            pictures += [image[None], pool[new]]
            classes += [label, *new]
        return torch.cat(pictures), torch.tensor(classes)

    def _losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """L_CL, and PromptSRC's three losses over the classes of the extended batch."""
        text_prompts, image_prompts = self._prompts(self.parallel)
        present = sorted(set(labels.tolist()))  # U classes
        columns = torch.tensor([present.index(y) for y in labels.tolist()]).to(images.device)
        texts = F.normalize(self._text_tower(self.tokens, text_prompts), dim=-1)[present]
        features = F.normalize(self._image_tower(images, image_prompts), dim=-1)
        scale = self.model.logit_scale.exp()
        scores = scale * features @ texts.T  # (n, U)
        forward = F.cross_entropy(scores, columns)
        backward = torch.stack(
            [
                -scores[:, place].log_softmax(0)[columns == place].mean()
                for place in range(len(present))
            ]
        ).mean()
        losses = {"contrastive": (forward + backward) / 2}
        if self.frozen_texts is None:
            return losses
        with torch.no_grad():
            frozen_texts = self.frozen_texts[present]
            frozen_images = F.normalize(self._image_tower(images, []), dim=-1)
            target = (scale * frozen_images @ frozen_texts.T).softmax(1)
        log_chances = scores.log_softmax(1)
        return losses | {
            "text_l1": TEXT_WEIGHT * (texts - frozen_texts).abs().mean(),
            "image_l1": IMAGE_WEIGHT * (features - frozen_images).abs().mean(),
            "kl": (target * (target.log() - log_chances)).sum() / scores.numel(),
        }

    def _prompts(self, tensors: Tensors) -> tuple[list[Tensor], list[Tensor]]:
        """Prompts of the text and of the image tower, one (n, width) a layer."""
        if self.backbone == "coop":
            return [tensors["context"]], []
        if self.backbone == "promptsrc":
            return _listed(tensors, "text"), _listed(tensors, "image")
        texts = [tensors["context"], *_listed(tensors, "deep")]
        return texts, [
            F.linear(
                prompt, tensors[f"couplings.{layer}.weight"], tensors[f"couplings.{layer}.bias"]
            )
            for layer, prompt in enumerate(texts)
        ]

    def _text_tower(self, tokens: Tensor, prompts: Sequence[Tensor]) -> Tensor:
        """(C, d) of ids (C, L): the row at the EOT token, which has the largest id."""
        model = self.model
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=self.half):
            x = model.token_embedding(tokens)
            if prompts:
                x = _put(x, prompts[0], 1)
            x = x + model.positional_embedding
            for layer, block in enumerate(model.transformer.resblocks):
                if 0 < layer < len(prompts):
                    x = _put(x, prompts[layer], 1)
                x = block(x, attn_mask=model.attn_mask)
            x = model.ln_final(x)
            x = x[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection
        return x.float()

    def _image_tower(self, images: Tensor, prompts: Sequence[Tensor]) -> Tensor:
        """(B, d) of pixels (B, 3, H, W); prompts stand behind the patches."""
        visual = self.model.visual
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            x = visual.conv1(images).flatten(2).transpose(1, 2)
            x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1)
            x = x + visual.positional_embedding
            if prompts:
                x = torch.cat([x, prompts[0].expand(len(x), -1, -1)], dim=1)
            x = visual.ln_pre(x)
            for layer, block in enumerate(visual.transformer.resblocks):
                if 0 < layer < len(prompts):
                    x = _put(x, prompts[layer], x.shape[1] - len(prompts[layer]))
                x = block(x)
            x = visual.ln_post(x)[:, 0] @ visual.proj
        return x.float()


def _listed(tensors: Tensors, name: str) -> list[Tensor]:
    """``name.0``, ``name.1``, … as far as they go."""
    count = sum(key.startswith(f"{name}.") for key in tensors)
    return [tensors[f"{name}.{place}"] for place in range(count)]


def _put(x: Tensor, prompt: Tensor, start: int) -> Tensor:
    """``x`` (N, T, d) with ``prompt`` (n, d) over positions start..start+n−1."""
    x = x.clone()
    x[:, start : start + len(prompt)] = prompt.to(x.dtype)
    return x
