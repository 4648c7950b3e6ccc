"""Contrastive loss of DPC's Dynamic Hard Negative Optimizer (CVPR 2025)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dpc.clip.model import logits


def contrastive_loss(
    image_features: Tensor, text_features: Tensor, rows: Tensor, scale: Tensor
) -> Tensor:
    """L_CL, the mean of the image→text and the text→image cross-entropy over n pairs.

    Image→text: each image against the U classes of the extended batch. Text→image: each class
    against the n images, its target spread evenly over the images of that class. With one image
    a class this is ½·(CE(S, diag) + CE(Sᵀ, diag)), as published; where two images share a class
    the released code counts the class as a negative of itself, this does not.

    Args:
        image_features: (n, d), not normalised.
        text_features: (U, d) of the unique classes, not normalised.
        rows: (n,) the row of ``text_features`` that is each image's class; every row occurs.
        scale: exp(logit_scale), a scalar.
    """
    scores = logits(scale, image_features, text_features)  # (n, U)
    image_to_text = F.cross_entropy(scores, rows)
    log_images = scores.log_softmax(dim=0).gather(1, rows[:, None]).squeeze(1)  # (n,)
    count = torch.bincount(rows, minlength=len(text_features))[rows]  # (n,) images of the class
    text_to_image = -(log_images / count).sum() / len(text_features)
    return (image_to_text + text_to_image) / 2
