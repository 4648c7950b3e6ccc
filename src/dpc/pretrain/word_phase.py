"""Phase 1: the image tower learns words, as a classifier over a table of canonical words."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpc.pretrain.corpus import STYLE_NAMES, Corpus
from dpc.pretrain.images import augmented
from dpc.pretrain.optimize import Average, Checkpoint, adamw, chunk_schedule
from dpc.pretrain.recipe import WordPhase
from dpc.training import epoch_generator, train

HEAD_SHARE = 0.8  # of the target; the rest is spread over all words of the name
STYLE_SHARE = 0.1  # taken from both where the style is known
RARE = 0.25  # images are drawn in proportion to (images of their head) ** -RARE
CHECKPOINT_EVERY = 10  # chunks

Progress = Callable[[int, int, dict[str, float]], None]


class WordTower(nn.Module):
    """An image tower and a table with one row a word, then one a style: (V + 4, embed)."""

    def __init__(self, visual: nn.Module, table: Tensor, scale: float):
        super().__init__()
        self.visual = visual
        self.table = nn.Parameter(table)
        self._scale = scale

    def losses(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Soft cross-entropy of (B, 3, H, W) images to (B, V + 4) target shares."""
        with torch.autocast("cpu", torch.bfloat16):
            features = self.visual(images)
        cosines = F.normalize(features.float(), dim=-1) @ F.normalize(self.table, dim=-1).T
        return {"words": -(targets * F.log_softmax(self._scale * cosines, 1)).sum(1).mean()}


def word_targets(corpus: Corpus) -> Tensor:
    """(N, V + 4): what an image shows, most of it on the head; each row sums to 1."""
    carried = corpus.carried()
    heads = F.one_hot(corpus.heads(), len(corpus.vocabulary))
    words = HEAD_SHARE * heads + (1 - HEAD_SHARE) * carried / carried.sum(1, keepdim=True)
    known = (corpus.styles >= 0).float()[:, None]
    styles = F.one_hot(corpus.styles.clamp(min=0), len(STYLE_NAMES)) * known
    return torch.cat([words * (1 - STYLE_SHARE * known), STYLE_SHARE * styles], 1)


def learn_words(
    visual: nn.Module,
    corpus: Corpus,
    phase: WordPhase,
    embed: int,
    size: int,
    seed: int,
    checkpoint: Path | None,
    key: str,
    progress: Progress,
) -> Tensor:
    """Train ``visual`` in place (its averaged weights); the averaged table (V + 4, embed).

    ``seed`` fixes the table's start, every batch and every augmentation.
    """
    targets = word_targets(corpus)
    whiten_patches(
        visual.get_parameter("conv1.weight"), corpus.inks, size, epoch_generator(seed, -1)
    )
    table = torch.randn(targets.shape[1], embed, generator=epoch_generator(seed, -2)) * 0.1
    tower = WordTower(visual, table, phase.scale)
    optimizer = adamw(tower, lambda name, p: p.ndim < 2 or "embedding" in name or name == "table")
    average = Average(tower, optimizer)
    state = Checkpoint(checkpoint, key, tower, optimizer, average)
    chunks = phase.steps // phase.chunk
    counts = torch.bincount(corpus.heads(), minlength=len(corpus.vocabulary)).float()
    weights = counts[corpus.heads()] ** -RARE

    def batches(chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = epoch_generator(seed, chunk)
        for _ in range(phase.chunk):
            rows = torch.multinomial(weights, phase.batch, replacement=True, generator=generator)
            yield augmented(corpus.inks[rows], size, generator), targets[rows]

    def on_chunk(chunk: int, losses: dict[str, float]) -> None:
        progress(chunk + 1, chunks, losses)
        if (chunk + 1) % CHECKPOINT_EVERY == 0:
            state.save(chunk + 1)

    schedule = chunk_schedule(phase.lr, chunks, warmup=max(1, 100 // phase.chunk))
    start = state.restore(phase.chunk)
    train(tower, batches, tower.losses, optimizer, schedule, on_chunk, start)
    average.apply()
    return tower.table.detach()


@torch.no_grad()
def whiten_patches(
    weight: Tensor, inks: Tensor, size: int, generator: torch.Generator, images: int = 3000
) -> None:
    """Start the patch embedding (width, 3, p, p) as a damped, randomly turned whitening.

    Icons' patches are strongly correlated; from a random start the tower needs far longer to
    leave the first plateau. Grey: the three channels get the same filters.
    """
    width, _, patch, _ = weight.shape
    rows = torch.randperm(len(inks), generator=generator)[:images]
    grey = augmented(inks[rows], size, generator).mean(1, keepdim=True)
    patches = F.unfold(grey, patch, stride=patch).transpose(1, 2).reshape(-1, patch * patch)
    centred = patches - patches.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values.flip(0), vectors.flip(1)
    kept = min(width, patch * patch)
    filters = (vectors[:, :kept] / (values[:kept] + 0.02 * values[0]).sqrt()).T / 3
    full = torch.randn(width, 3, patch, patch, generator=generator) * 1e-3
    full[:kept] += filters.reshape(kept, 1, patch, patch).expand(-1, 3, -1, -1)
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    weight.copy_((turn @ full.flatten(1)).view_as(weight))
