"""A step of DPC's second stage here against the plain one of `plain.py`, in one run.

    python benchmarks/steps.py                        # CoOp and PromptSRC on a ViT-B/16
    python benchmarks/steps.py --backbone coop --profile
    python benchmarks/steps.py --device cuda --precision bf16 --steps 20

Both sides have the same weights (random: speed does not depend on them), images, labels,
negatives and learning rates, and take the same steps in turns, so that a busy machine slows both;
the first step of each is not in the means. CPU s are those of all cores together: the ratio to look
at where other programs have the cores too. Ours is `finetune()` itself, with an epoch for every
step, which costs more than a step of a long epoch. It ranks the negatives of a view once: in as
many of the timed steps, in proportion, as an image has views (`--views`) in the 20 epochs of the
released run. Pixels are tensors at hand. Peak memory is that of a process for each side, beyond
what the CLIP and the images take before the first step.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from course import SEED, Course, class_names, now, prepare
from plain import Plain
from regions import print_regions

from dpc.backbones import resolve
from dpc.clip.load import load
from dpc.clip.sentences import sentence
from dpc.clip.spec import ClipSpec
from dpc.collaboration.finetune import finetune
from dpc.collaboration.recipe import Finetuning
from dpc.training import shuffled_batches, warmup_cosine

LR = 0.002
EPOCHS, SHOTS = 20, 16  # of the released run that the features are paid by
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Lap:
    """A step: seconds, those of all cores that worked, and losses by name."""

    seconds: float
    cpu: float
    losses: dict[str, float]


def race(course: Course, steps: int) -> tuple[list[Lap], list[Lap], float]:
    """The same ``steps`` of ours and of the plain side, in turns, after a first one, which is in
    the lists too; and the mean size of our extended batches."""
    other = plain_step(course, steps)
    laps: tuple[list[Lap], list[Lap]] = ([], [])
    begin = now(), time.process_time()

    def on_step(progress: Any) -> None:
        nonlocal begin
        losses = {name: values[-1] for name, values in progress.history.items()}
        laps[0].append(_lap(begin, {n: v for n, v in losses.items() if n != "pairs"}))
        begin = now(), time.process_time()
        laps[1].append(_lap(begin, other(len(laps[1]))))
        begin = now(), time.process_time()

    statistics = our_steps(course, steps, on_step)
    return *laps, statistics.pairs_per_step


def _lap(begin: tuple[float, float], losses: dict[str, float]) -> Lap:
    return Lap(now() - begin[0], time.process_time() - begin[1], losses)


def our_steps(course: Course, count: int, on_step: Callable[[Any], None] | None = None) -> Any:
    """``count`` steps after a first one, by `finetune()` with an epoch for each."""
    recipe = Finetuning(lr=LR, warmup_lr=LR, epochs=count + 1, batch=len(course.labels), k=course.k)
    arguments = course.task, course.tuned, course.bank, recipe, SEED
    return finetune(*arguments, on_epoch=on_step, pool=course.negatives)[1]


def plain_step(course: Course, steps: int) -> Callable[[int], dict[str, float]]:
    """A function of the step's number that takes the plain step on what ours saw in it."""
    clip, size = course.task.clip, len(course.labels)
    templates = [
        clip.tokenize([sentence(template, name) for name in course.task.classnames])
        for template in getattr(course.tuned, "templates", ())
    ]
    side = Plain(
        clip.model,
        course.name,
        course.tuned.state_dict(),
        course.task.tokens.to(clip.device),
        course.k,
        torch.stack(templates).to(clip.device) if templates else None,
        clip.precision,
    )
    order = shuffled_batches(size, size, SEED)
    rates = warmup_cosine(LR, steps + 1, LR)

    def step(number: int) -> dict[str, float]:
        (index,) = order(number)
        images = course.images[index, number % course.images.shape[1]]
        return side.step(images, course.labels[index], course.pool, rates[number])

    return step


def peak(course: Course, side: str) -> int:
    """Bytes that a step of a side takes beyond what is there before."""
    step = plain_step(course, 0) if side == "plain" else lambda _: our_steps(course, 0)
    cuda = course.task.clip.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _resident()
    step(0)
    return (torch.cuda.max_memory_allocated() if cuda else _resident()) - before


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def _peaks(name: str) -> dict[str, int]:
    """Of each side, in a process of its own."""
    found = {}
    for side in ("ours", "plain"):
        command = [sys.executable, __file__, *sys.argv[1:], "--backbone", name, "--peak", side]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[side] = json.loads(done.stdout.splitlines()[-1])
    return found


def print_race(course: Course, views: int, steps: int) -> None:
    """Run and print it."""
    quick, slow, pairs = race(course, steps)
    peaks = _peaks(course.name)
    fast, long = (statistics.mean(lap.seconds for lap in laps[1:]) for laps in (quick, slow))
    few, many = (statistics.mean(lap.cpu for lap in laps[1:]) for laps in (quick, slow))
    classes, size = len(course.task.classnames), len(course.labels)
    print(f"\n{course.name}: {classes} classes, B {size}, K {course.k}, {pairs:.1f} pairs a step")
    lines = (
        ("plain", long, many, peaks["plain"] / MIB),
        ("ours", fast, few, peaks["ours"] / MIB),
        ("ratio", long / fast, many / few, peaks["plain"] / peaks["ours"]),
    )
    print(f"{'':<8}{'s a step':>10}{'CPU s':>10}{'peak, MiB':>12}")
    for title, seconds, cpu, memory in lines:
        print(f"{title:<8}{seconds:>10.2f}{cpu:>10.2f}{memory:>12.1f}")
    print(f"ours ranked negatives in {ranked(steps, views)} of the {steps} steps ({views} views)")
    each = ", ".join(f"{b.seconds / a.seconds:.1f}" for a, b in zip(quick, slow, strict=True))
    print(f"ratio of each step in seconds, the first one among them: {each}")
    run, images = EPOCHS * (classes * SHOTS // size), classes * SHOTS * views
    print(f"with frozen features of {images} images ({views} views) in a run of {run} steps:")
    for what, each, mine, others in (
        ("seconds", course.image_seconds[0], fast, long),
        ("CPU s", course.image_seconds[1], few, many),
    ):
        once = images * each
        paid, ratio = once / (others - mine), run * others / (run * mine + once)
        print(
            f"  {what}: {each:.2f} an image, {once:.0f} once, paid for by {paid:.0f} steps; "
            f"ratio {ratio:.1f}"
        )
    for number, (one, two) in enumerate(zip(quick, slow, strict=True)):
        both = ", ".join(f"{n} {v:.5f} and {two.losses[n]:.5f}" for n, v in one.losses.items())
        print(f"losses of step {number}, ours and plain: {both}")
    print(f"largest difference: {largest_difference(quick, slow):.1e}", flush=True)


def ranked(steps: int, views: int) -> int:
    """Of ``steps``, how many see a view for the first time, as of all epochs of a run."""
    return round(steps * min(views, EPOCHS) / EPOCHS)


def largest_difference(ours: Sequence[Lap], plain: Sequence[Lap]) -> float:
    """Of the losses, step by step."""
    pairs = zip(ours, plain, strict=True)
    return max(abs(v - two.losses[n]) for one, two in pairs for n, v in one.losses.items())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", nargs="+", default=["coop", "promptsrc"])
    parser.add_argument("--model", default="ViT-B-16-quickgelu", help="random weights, a ViT")
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each side")
    parser.add_argument("--views", type=int, default=8, help="views of an image, of 20 at most")
    parser.add_argument("--profile", action="store_true", help="where our time goes; no race")
    parser.add_argument("--peak", choices=("ours", "plain"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # as in dpc.stages.frozen
    clip = load(ClipSpec(asked.model, "random:1", asked.precision, asked.device))
    names = class_names(asked.classes)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(SEED))
    if asked.peak is None:
        print(f"{asked.model}, {asked.precision}, {clip.device}, {asked.threads} threads")
    for name in asked.backbone:
        kind: Any = resolve(name)
        inputs = clip, name, kind.Params(), names, order[: asked.batch], asked.k
        encode = asked.peak is None and not asked.profile
        course = prepare(*inputs, views=1 + ranked(asked.steps, asked.views), encode=encode)
        if asked.peak is not None:
            print(json.dumps(peak(course, asked.peak)))
        elif asked.profile:
            print_regions(name, partial(our_steps, course), asked.steps)
        else:
            print_race(course, asked.views, asked.steps)


if __name__ == "__main__":
    main()
