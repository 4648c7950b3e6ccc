"""Phase 2: the text tower learns captions against cached features of the frozen image tower."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dpc.pretrain.captions import Caption, all_texts, draw_caption
from dpc.pretrain.corpus import Corpus
from dpc.pretrain.images import augmented, plain
from dpc.pretrain.optimize import Checkpoint, adamw, chunk_schedule
from dpc.pretrain.recipe import CaptionPhase
from dpc.training import epoch_generator, train

START_SCALE = 20.0
RARE = 0.5  # images are drawn in proportion to (images of their head) ** -RARE
ALIGN = 1.0  # weight of the pull of captions of a head alone towards the word table
_IGNORED = -1e4  # logit of a pair that is neither positive nor negative
_CHECKPOINT_EVERY = 10  # chunks

Progress = Callable[[int, int, dict[str, float]], None]


class CaptionTower(nn.Module):
    """The text side of a CLIP model, with an embedding of the R used tokens alone.

    Attributes:
        rows: (R,) int64, the token ids that some caption can hold, ascending.
    """

    def __init__(self, model: CLIP, texts: Sequence[str]):
        super().__init__()
        self._tokenizer = SimpleTokenizer(context_length=model.context_length)
        self.rows = self._tokenizer(texts).unique()
        width = model.token_embedding.weight.shape[1]
        self.embedding = nn.Embedding(len(self.rows), width)
        with torch.no_grad():
            self.embedding.weight.copy_(model.token_embedding.weight[self.rows])
        self.positional = model.positional_embedding
        self.transformer = model.transformer
        self.ln_final = model.ln_final
        self.projection = model.text_projection
        self.logit_scale = model.logit_scale
        self._mask: Tensor = model.attn_mask

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Normalised features (C, embed) of the texts; the context ends at the longest one."""
        tokens = self._tokenizer(texts)
        ends = tokens.argmax(-1)
        length = int(ends.max()) + 1
        rows = torch.searchsorted(self.rows, tokens[:, :length].contiguous())
        hidden = self.embedding(rows) + self.positional[:length]
        # for texts this short the plain attention is twice as fast as the fused one on a CPU
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            hidden = self.transformer(hidden, attn_mask=self._mask[:length, :length])
        hidden = self.ln_final(hidden.float())
        return F.normalize(hidden[torch.arange(len(texts)), ends] @ self.projection, dim=-1)


@torch.no_grad()
def image_features(
    model: CLIP, corpus: Corpus, size: int, views: int, seed: int, batch: int = 256
) -> Tensor:
    """(N, views, embed) normalised features: the plain image first, then augmented ones."""
    model.visual.eval()
    parts = []
    for view in range(views):
        generator = epoch_generator(seed, view)
        for inks in corpus.inks.split(batch):
            images = augmented(inks, size, generator) if view else plain(inks, size)
            with torch.autocast("cpu", torch.bfloat16):
                features = model.encode_image(images)
            parts.append(F.normalize(features.float(), dim=-1))
    return torch.cat(parts).unflatten(0, (views, len(corpus.inks))).transpose(0, 1).contiguous()


class CaptionTask:
    """Draws batches of captions and images, and scores them.

    A caption's positives are the images that carry all its words, for a one-word caption those
    whose head it is (a caption that says "with a": all that carry the word), and whose style and
    family are those it names. An image that merely carries the word, or whose style is not known,
    is neither positive nor negative.
    """

    def __init__(self, corpus: Corpus, features: Tensor, table: Tensor, phase: CaptionPhase):
        self._corpus, self._features, self._phase = corpus, features, phase
        self._table = F.normalize(table, dim=-1)
        self._carried = corpus.carried()
        self._heads = corpus.heads()
        counts = torch.bincount(self._heads, minlength=len(corpus.vocabulary)).float()
        self._weights = counts[self._heads] ** -RARE

    def batches(self, chunk: int, seed: int) -> Iterator[tuple[list[Caption], Tensor, Tensor]]:
        """(captions, image rows (I,), features (I, embed)); captions belong to the first rows."""
        generator = epoch_generator(seed, chunk)
        rng = random.Random(f"captions {seed} {chunk}")
        phase, corpus = self._phase, self._corpus
        for _ in range(phase.chunk):
            rows = torch.multinomial(self._weights, phase.images, generator=generator)
            view = torch.randint(phase.views, (len(rows),), generator=generator)
            captions = [
                draw_caption(
                    corpus.words[row], int(corpus.styles[row]), int(corpus.families[row]), rng
                )
                for row in rows[: phase.captions].tolist()
            ]
            yield captions, rows, self._features[rows, view]

    def pairs(self, captions: Sequence[Caption], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Which image-caption pairs are positive, and which are ignored: both (I, C) bool."""
        said = torch.zeros(len(captions), self._carried.shape[1])
        for row, caption in enumerate(captions):
            said[row, [self._corpus.vocabulary[word] for word in caption.words]] = 1
        count = said.sum(1)
        carries = self._carried[rows] @ said.T >= count - 0.5
        head = (count == 1) & ~torch.tensor([caption.within for caption in captions])
        shows = said.T[self._heads[rows]] > 0.5
        style = torch.tensor([caption.style for caption in captions])
        styles = self._corpus.styles[rows][:, None]
        family = torch.tensor([caption.family for caption in captions])
        right_family = (family < 0) | (family == self._corpus.families[rows][:, None])
        right_style = (style < 0) | (style == styles)
        positive = carries & (~head | shows) & right_style & right_family
        own = torch.arange(len(captions))
        positive[own, own] = True
        other_style = (style >= 0) & (styles >= 0) & (style != styles)
        return positive, carries & ~positive & ~other_style & right_family

    def losses(
        self, tower: CaptionTower, captions: list[Caption], rows: Tensor, images: Tensor
    ) -> dict[str, Tensor]:
        """Symmetric soft cross-entropy, and the pull of heads to the word table."""
        texts = tower([caption.text for caption in captions])
        positive, ignored = self.pairs(captions, rows)
        scale = tower.logit_scale.exp().clamp(max=100.0)
        logits = (scale * images @ texts.T).masked_fill(ignored, _IGNORED)
        share = positive.float()
        per_image = share.sum(1)
        hit = per_image > 0
        to_text = -(share * F.log_softmax(logits, 1)).sum(1)[hit] / per_image[hit]
        to_image = -(share * F.log_softmax(logits, 0)).sum(0) / share.sum(0)
        losses = {"contrastive": (to_text.mean() + to_image.mean()) / 2}
        single = [
            (row, self._corpus.vocabulary[caption.words[0]])
            for row, caption in enumerate(captions)
            if len(caption.words) == 1 and caption.main
        ]
        if single and ALIGN:
            own, word = torch.tensor(single).T
            losses["align"] = ALIGN * (1 - (texts[own] * self._table[word]).sum(1)).mean()
        return losses


def learn_captions(
    model: CLIP,
    corpus: Corpus,
    table: Tensor,
    phase: CaptionPhase,
    size: int,
    seed: int,
    checkpoint: Path | None,
    key: str,
    progress: Progress,
) -> Tensor:
    """Train the text tower of ``model`` in place; the token ids (R,) whose rows were trained.

    The other rows of the token embedding become 0.
    """
    features = image_features(model, corpus, size, phase.views, seed)
    model.visual.requires_grad_(False)
    words = {word for words in corpus.words for word in words}
    tower = CaptionTower(model, all_texts(words))
    with torch.no_grad():
        tower.logit_scale.fill_(math.log(START_SCALE))
    task = CaptionTask(corpus, features, table[: len(corpus.vocabulary)], phase)
    optimizer = adamw(
        tower, lambda name, p: p.ndim < 2 or name in ("embedding.weight", "positional")
    )
    state = Checkpoint(checkpoint, key, tower, optimizer)
    chunks = phase.steps // phase.chunk

    def on_chunk(chunk: int, losses: dict[str, float]) -> None:
        progress(chunk + 1, chunks, losses)
        if (chunk + 1) % _CHECKPOINT_EVERY == 0:
            state.save(chunk + 1)

    train(
        tower,
        lambda chunk: task.batches(chunk, seed),
        lambda *batch: task.losses(tower, *batch),
        optimizer,
        chunk_schedule(phase.lr, chunks, warmup=max(1, 100 // phase.chunk)),
        on_chunk,
        state.restore(phase.chunk),
    )
    with torch.no_grad():
        model.token_embedding.weight.zero_()
        model.token_embedding.weight[tower.rows] = tower.embedding.weight
    return tower.rows
