"""Memory and time of a training step, estimated (`--dry-run`) and measured; Linux, on the CPU.

    python benchmarks/estimate.py

Every case runs in a process of its own: what is measured is how far the resident set grows beyond
that of the loaded CLIP in the first step, and the median time of the steps after it.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from dpc.backbones import resolve
from dpc.backbones.base import make_task
from dpc.backbones.recipe import Recipe
from dpc.clip.load import load
from dpc.clip.spec import ClipSpec
from dpc.clip.views import Views
from dpc.stages.estimate import tuning
from dpc.training import sgd

ICONS, VIT = ("icons", "embedded"), ("ViT-B-16-quickgelu", "random:1")
# weights, precision, backbone, images, classes
CASES = (
    (ICONS, "fp32", "coop", 32, 20),
    (ICONS, "fp32", "promptsrc", 4, 20),
    (ICONS, "fp32", "maple", 32, 20),
    (ICONS, "bf16", "maple", 32, 20),
    (VIT, "fp32", "coop", 4, 50),
    (VIT, "bf16", "coop", 4, 50),
    (VIT, "fp32", "maple", 1, 4),
    (VIT, "fp32", "maple", 4, 20),
    (VIT, "fp32", "promptsrc", 8, 4),
    (VIT, "bf16", "maple", 1, 4),
    (VIT, "bf16", "maple", 8, 4),
)
STEPS = 3


def measure(case: list) -> dict[str, float]:
    """Bytes and seconds of a step: (estimated, measured) each."""
    (model, weights), precision, name, images, classes = case
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    clip = load(ClipSpec(model, weights, precision, "cpu"))
    kind, generator = resolve(name), torch.Generator().manual_seed(0)
    deep = {"maple": {"depth": 3}, "promptsrc": {"text_depth": 3, "image_depth": 3}}
    shallow = deep.get(name, {}) if model == "icons" else {}
    backbone = kind.from_clip(clip, kind.Params(**shallow), generator)
    names = [f"thing number {number}" for number in range(classes)]
    task = make_task(clip, backbone, names, "a photo of a {}.")
    plan = tuning("", task, backbone, images, Recipe(epochs=1, batch=images), "")
    size = (images, 3, clip.image_size, clip.image_size)
    pixels = torch.randn(size, generator=generator) if backbone.needs_images else None
    views = Views(torch.randn(images, clip.embed_dim, generator=generator), pixels)
    labels = torch.arange(images) % classes
    optimizer = sgd(backbone.parameters())
    task.frozen_text_features(getattr(backbone, "templates", None))  # once a run, no step

    def step() -> float:
        begin = time.perf_counter()
        optimizer.zero_grad()
        sum(backbone.losses(task, views, labels).values()).backward()
        optimizer.step()
        return time.perf_counter() - begin

    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _peak()
    step()
    grown = _peak() - before
    seconds = statistics.median(step() for _ in range(STEPS))
    return {
        "bytes": grown,
        "bytes_estimated": plan.memory,
        "seconds": seconds,
        "seconds_estimated": plan.seconds,
    }


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def main() -> None:
    print(f"{'case':<44} {'MiB: est.':>10} {'measured':>9} {'s: est.':>9} {'measured':>9}")
    for case in CASES:
        done = subprocess.run(
            [sys.executable, __file__, json.dumps(case)], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        (model, _), precision, name, images, classes = case
        title = f"{model} {precision} {name}, {images} × {classes}"
        memory = [found[key] / 2**20 for key in ("bytes_estimated", "bytes")]
        print(
            f"{title:<44} {memory[0]:>10.0f} {memory[1]:>9.0f} "
            f"{found['seconds_estimated']:>9.3f} {found['seconds']:>9.3f}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(json.loads(sys.argv[1]))))
    else:
        main()
