"""ZS-LP: a linear classifier that starts as zero-shot CLIP (Silva-Rodríguez et al., CVPR 2024)."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpc.baselines.base import Baseline, Facts, Shots
from dpc.clip.model import logits
from dpc.params.baselines import LinearProbeParams
from dpc.training import sgd, shuffled_batches, train, warmup_cosine


class LinearProbe(Baseline):
    """One prototype a class, compared with an image by cosine on CLIP's own scale.

    Prototypes start as the text features, at their own length: a step turns a longer one less.
    As released: SGD with momentum 0.9, no weight decay, cross-entropy alone. Ours: epoch e shows
    view e modulo the views there are, as to a backbone without image prompts; the released code
    shows as many images an epoch, drawn out of 20 views of each.
    """

    label = "Linear probe (ZS-LP)"

    def __init__(self, prototypes: Tensor, scale: Tensor, facts: Facts):
        self.prototypes, self.scale, self.facts = prototypes, scale, facts

    @classmethod
    def fit(cls, shots: Shots, params: LinearProbeParams) -> Self:
        """Train on the shots.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        learned = nn.ParameterDict({"prototypes": shots.texts.clone()})
        features, labels = F.normalize(shots.features, dim=-1), shots.labels.to(shots.texts.device)
        history: list[float] = []
        seen = steps = 0

        def loss(chosen: Tensor, view: int) -> dict[str, Tensor]:
            nonlocal seen, steps
            seen, steps = seen + len(chosen), steps + 1
            scores = logits(shots.scale, features[chosen, view], learned["prototypes"])
            return {"classification": F.cross_entropy(scores, labels[chosen])}

        batches = shuffled_batches(len(labels), params.batch, shots.seed)
        with torch.enable_grad():
            train(
                learned,
                lambda epoch: ((chosen, epoch % features.shape[1]) for chosen in batches(epoch)),
                loss,
                sgd(learned.parameters(), weight_decay=0.0),
                warmup_cosine(params.lr, params.epochs),
                lambda epoch, means: history.append(means["classification"]),
            )
        prototypes = learned["prototypes"].detach()
        shapes = {"prototypes": list(prototypes.shape)}
        return cls(prototypes, shots.scale, Facts(seen, steps, shapes, {"classification": history}))

    @classmethod
    def operations(cls, images: int, width: int, classes: int, params: LinearProbeParams) -> float:
        """Logits and the gradient of the prototypes, for every image of every epoch."""
        return 4.0 * params.epochs * images * width * classes

    def logits(self, images: Tensor) -> Tensor:
        return logits(self.scale, images, self.prototypes)
