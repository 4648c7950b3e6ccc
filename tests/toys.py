"""Backbones of a few lines, and a bank that keeps pixels: what a user might bring."""

import torch
from torch import Tensor, nn

from dpc.backbones.base import Backbone, Prompts
from dpc.clip.views import Views


class Toy(Backbone):
    """Prompts of both towers, two layers deep."""

    def __init__(self, text: Tensor, image: Tensor):
        super().__init__()
        self.text = nn.ParameterList([text.clone(), 2 * text])
        self.image = nn.ParameterList([image.clone(), 2 * image])

    @classmethod
    def from_clip(cls, clip, params, generator):
        def noise(width):
            return 0.1 * torch.randn(2, width, generator=generator)

        return cls(noise(clip.text_width), noise(clip.image_width))

    def prompts(self):
        return Prompts(list(self.text), list(self.image))


class Projected(Backbone):
    """A projector with BatchNorm behind the frozen image features, and a text context."""

    def __init__(self, context: Tensor, width: int, generator: torch.Generator):
        super().__init__()
        self.context = nn.Parameter(context.clone())
        self.linear = nn.Linear(width, width, bias=False)
        self.linear.weight = nn.Parameter(
            torch.eye(width) + 0.1 * torch.randn(width, width, generator=generator)
        )
        self.norm = nn.BatchNorm1d(width)

    @classmethod
    def from_clip(cls, clip, params, generator):
        return cls(clip.embed_words("a photo of a"), clip.embed_dim, generator)

    def prompts(self):
        return Prompts([self.context])

    def image_features(self, clip, views):
        return self.norm(self.linear(views.frozen))

    def regularizers(self, task, views, images, texts, classes):
        return {"distance": (images - views.frozen).pow(2).mean()}

    def parallel_parameters(self):
        return ["context"]


class ImageBank:
    """A bank with pixels: (N, V, 3, H, W) images beside their (N, V, d) frozen features."""

    def __init__(self, features: Tensor, images: Tensor, labels: Tensor):
        self.features, self.images, self.labels = features, images, labels
        self.count = images.shape[1]

    def views(self, indices: Tensor, view: int) -> Views:
        place = view % self.images.shape[1]
        return Views(self.features[indices, place], self.images[indices, place])
