"""Seeds of a cell trained in one forward pass (`run.together`) against one after the other.

    python benchmarks/together.py                                   # the embedded CLIP, one thread
    python benchmarks/together.py --model ViT-B-16-quickgelu --pretrained random:1 --threads 2
    python benchmarks/together.py --device cuda --precision bf16 --model ViT-B-16-quickgelu …

Stage two of CoOp and MaPLe on random images, 25 classes by default. Both sides take turns, an epoch
each, so that a busy machine slows both; the first epoch of each is not timed. What is printed is
seconds for a step of all seeds, their ratio, and the largest difference of the prompts.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from dpc.backbones import resolve
from dpc.backbones.base import Backbone, make_task
from dpc.clip.load import load
from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec
from dpc.clip.views import FrozenBank, Views
from dpc.collaboration.finetune import Pair, finetune_together
from dpc.collaboration.recipe import Finetuning

WORDS = ("house", "tree", "cloud", "sun", "moon", "car", "bus", "cat", "dog", "bird", "fish", "cup")


class Bank(FrozenBank):
    """Features, and pixels beside them."""

    def __init__(self, features: Tensor, labels: Tensor, images: Tensor):
        super().__init__(features[:, None], labels)
        self.images = images

    def views(self, indices: Tensor, view: int) -> Views:
        return super().views(indices, view)._replace(images=self.images[indices])


def pairs_of(clip: Clip, backbone: str, seeds: int, classes: int, images: int) -> list[Pair]:
    """A tuned prompt and a draw of its own for every seed."""
    kind = resolve(backbone)
    names = [f"{WORDS[n % len(WORDS)]} {WORDS[n // len(WORDS)]}" for n in range(classes)]
    found = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        tuned: Backbone = kind.from_clip(clip, kind.Params(**depth_of(kind, clip)), generator)
        task = make_task(clip, tuned.to(clip.device), names, "a photo of a {}.")
        pixels = torch.randn(images, 3, clip.image_size, clip.image_size, generator=generator)
        with torch.no_grad():
            features = clip.encode_image(pixels).cpu()
        found.append(
            Pair(task, tuned, Bank(features, torch.arange(images) % classes, pixels), seed)
        )
    return found


def depth_of(kind: type, clip: Clip) -> dict[str, int]:
    """The published depth, or as deep as the towers are."""
    fields = kind.Params.__dataclass_fields__
    return {"depth": min(9, clip.text_layers, clip.image_layers)} if "depth" in fields else {}


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="icons")
    parser.add_argument("--pretrained", default="embedded")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--backbones", default="coop,maple")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", type=int, default=25)
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clip = load(ClipSpec(options.model, options.pretrained, options.precision, options.device))
    print(
        f"{options.model} on {clip.device}, {options.precision}, {options.seeds} seeds, "
        f"{options.classes} classes, {options.threads} threads"
    )
    recipe = Finetuning(epochs=1, batch=4, k=8, warmup_lr=0.002)
    images = max(options.classes, 4 * options.steps)
    for backbone in options.backbones.split(","):
        pairs = pairs_of(clip, backbone, options.seeds, options.classes, images)
        compare(backbone, pairs, recipe, images // recipe.batch, options.rounds)


def compare(backbone: str, pairs: list[Pair], recipe: Finetuning, steps: int, rounds: int) -> None:
    """Print what one backbone takes both ways."""
    states: dict[str, list[dict[str, Tensor]]] = {}

    def run(name: str, groups: list[list[Pair]]) -> None:
        made = [one for group in groups for one in finetune_together(copy.copy(group), recipe)]
        states[name] = [parallel.state_dict() for parallel, _ in made]

    ways = {"apart": [[pair] for pair in pairs], "together": [pairs]}
    laps: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, groups in ways.items():
            laps[name].append(timed(lambda n=name, g=groups: run(n, g)) / steps)
    seconds = {name: statistics.median(values[1:]) for name, values in laps.items()}
    apart = max(
        float((one[key] - other[key]).abs().max())
        for one, other in zip(*states.values(), strict=True)
        for key in one
    )
    print(
        f"  {backbone}: apart {seconds['apart']:.4f} s a step of all seeds, together "
        f"{seconds['together']:.4f} s, ratio {seconds['apart'] / seconds['together']:.2f}; "
        f"largest difference {apart:.1e}"
    )


if __name__ == "__main__":
    main()
