"""Ink maps -> model inputs, plain or strongly augmented, in tensor operations."""

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = 0.78  # of augmented icons, black on white; they belong to the model's preprocessing
STD = 0.36
_COLOURED = 0.15  # share of images in random colours
_INVERTED = 0.3  # share of those with light ink on dark paper


def plain(inks: Tensor, size: int) -> Tensor:
    """Black ink on white paper, normalised: (B, 64, 64) uint8 -> (B, 3, size, size) float32."""
    paper = 1 - inks.float().div(255).unsqueeze(1)
    small = F.interpolate(
        paper, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return ((small - MEAN) / STD).expand(-1, 3, -1, -1)


def augmented(inks: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Another hand's version of each icon: (B, 64, 64) uint8 -> (B, 3, size, size) float32.

    An eighth each is dilated, eroded, turned to edges, blurred; all are turned, scaled, sheared
    and shifted; some get random ink and paper colours.
    """
    ink = _stroke(inks.float().div(255).unsqueeze(1), generator)
    grid = F.affine_grid(
        _affine(len(ink), generator), [len(ink), 1, size, size], align_corners=False
    )
    ink = F.grid_sample(ink, grid, align_corners=False)
    return (_colour(ink, generator) - MEAN) / STD


def _stroke(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Change the strokes of four disjoint random eighths."""
    order = torch.randperm(len(ink), generator=generator)
    eighth = len(ink) // 8
    bold, thin, edge, soft = (order[i * eighth : (i + 1) * eighth] for i in range(4))
    ink[bold] = F.max_pool2d(ink[bold], 3, 1, 1)
    ink[thin] = 0.5 * ink[thin] - 0.5 * F.max_pool2d(-ink[thin], 3, 1, 1)
    ink[edge] = F.max_pool2d(ink[edge], 3, 1, 1) + F.max_pool2d(-ink[edge], 3, 1, 1)
    ink[soft] = F.avg_pool2d(ink[soft], 3, 1, 1)
    return ink


def _affine(n: int, generator: torch.Generator) -> Tensor:
    """(n, 2, 3): rotation ±11°, scale 0.77-1.18, aspect ±15 %, shear, shift ±7 %."""
    draws = torch.rand(6, n, generator=generator)
    angle = (draws[0] - 0.5) * 0.4
    scale = 0.85 + 0.45 * draws[1]
    aspect = 1 + (draws[2] - 0.5) * 0.3
    shear = (draws[3] - 0.5) * 0.3
    shift = (draws[4:] - 0.5) * 0.3
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([scale * aspect * cos, scale * (shear * cos - sin), shift[0]], -1)
    second = torch.stack([scale * sin / aspect, scale * (shear * sin + cos), shift[1]], -1)
    return torch.stack([first, second], 1)


def _colour(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Ink and paper, black on white for most: (B, 1, H, W) -> (B, 3, H, W) in [0, 1]."""
    n = len(ink)
    coloured = torch.rand(n, 1, generator=generator) < _COLOURED
    inverted = torch.rand(n, 1, generator=generator) < _INVERTED
    dark = torch.rand(n, 3, generator=generator) * 0.5
    light = 0.5 + torch.rand(n, 3, generator=generator) * 0.5
    paper = torch.where(coloured, torch.where(inverted, dark, light), torch.ones(n, 3))
    pen = torch.where(coloured, torch.where(inverted, light, dark), torch.zeros(n, 3))
    return paper[:, :, None, None] + ink * (pen - paper)[:, :, None, None]
