"""What a GPU makes of this: images encoded, a training step, one dataset's cells from end to end.

    python benchmarks/gpu.py                                  # a CUDA device
    python benchmarks/gpu.py --device cpu --precision fp32 --images 16 --classes 4 --epochs 1

Encoding is set against the rate at which the device multiplies large bf16 matrices. Cells run as
a user runs them, `dpc` by `dpc` in a folder of its own, on made-up images in the layout of DTD;
the clock of each command holds Python's start, the loading of the CLIP and the decoding. Without
a GPU it runs small, to show that it runs.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from course import now

from dpc.clip.features import encode_images
from dpc.clip.load import load
from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec

ROOT = Path(__file__).parents[1]
SIDE = {"cuda": 8192, "cpu": 1024}  # of the square matrices
ROUNDS = 5
TRAIN, SHOTS = 20, 16  # images of a class in the split, and of those drawn


def median_seconds(run: Callable[[], object]) -> float:
    """Of some rounds, after one to warm up."""
    seconds = []
    for _ in range(ROUNDS + 1):
        begin = now()
        run()
        seconds.append(now() - begin)
    return statistics.median(seconds[1:])


def matmul_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large bf16 product."""
    side = SIDE[device.type]
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    return 2 * side**3 / median_seconds(lambda: a @ b)


def image_work(clip: Clip) -> int:
    """Floating-point operations of a ViT on one image: its matrix products and its attention."""
    visual = clip.model.visual
    tokens, width = visual.positional_embedding.shape
    blocks = visual.transformer.resblocks
    matrices = sum(value.numel() for value in blocks.parameters() if value.ndim == 2)
    attention = 2 * len(blocks) * tokens * width  # a token's scores, and their sum
    products = tokens * (matrices + attention) + (tokens - 1) * visual.conv1.weight.numel()
    return 2 * (products + visual.proj.numel())


def print_encoding(clip: Clip, count: int) -> None:
    """Images a second, of pixels that lie on the device."""
    size = clip.image_size
    images = torch.randn(count, 3, size, size, device=clip.device)
    seconds = median_seconds(lambda: encode_images(clip, [images]))
    work, rate = image_work(clip), matmul_rate(clip.device)
    reached = count * work / seconds
    print(f"bf16 product: {rate / 1e12:.3g} TFLOP/s")
    print(
        f"encoding {count} images, {clip.precision}: {count / seconds:.1f} images/s, "
        f"{work / 1e9:.1f} GFLOP each: {reached / 1e12:.3g} TFLOP/s, {reached / rate:.0%} of it",
        flush=True,
    )


def print_cells(asked: argparse.Namespace) -> None:
    """Seconds of each command that a row of the report needs."""
    sys.path.append(str(ROOT / "tests"))
    from coop_layout import write

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "data", ["dtd"], classes=asked.classes, train=TRAIN)
        overrides = [
            "run.datasets=[dtd]",
            f"run.backbones=[{','.join(asked.backbone)}]",
            "run.seeds=[1]",
            f"run.shots=[{SHOTS}]",
            f"run.threads={asked.threads}",
            f"data.views.count={asked.epochs}",
            f"data.root={root / 'data'}",
            f"clip.model={asked.model}",
            "clip.pretrained='random:1'",
            f"clip.precision={asked.precision}",
            f"clip.device={asked.device}",
            f"dpc.epochs={asked.epochs}",
            *(f"backbones.{name}.epochs={asked.epochs}" for name in asked.backbone),
        ]
        preset = "params", "--preset", "paper-base-to-new", "--out", "params.yaml"
        _dpc(root, *preset, *overrides)
        total = 0.0
        for stage in ("prepare", "features"):
            total += _printed(root, stage, "--dataset", "dtd")
        for name in asked.backbone:
            for stage in ("tune", "finetune", "evaluate"):
                total += _printed(root, stage, "--dataset", "dtd", "--backbone", name)
        print(f"{'all':<22}{total:>9.1f} s")


def _printed(root: Path, stage: str, *arguments: str) -> float:
    begin = time.perf_counter()
    _dpc(root, stage, "--quiet", *arguments)
    seconds = time.perf_counter() - begin
    print(f"{stage + ' ' + arguments[-1]:<22}{seconds:>9.1f} s", flush=True)
    return seconds


def _dpc(root: Path, *arguments: str) -> None:
    store = {"DPC_STORE": str(root / "store")}  # an empty one
    command = [sys.executable, "-m", "dpc.cli", *arguments]
    subprocess.run(command, cwd=root, check=True, env=os.environ | store)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--model", default="ViT-B-16-quickgelu", help="random weights, a ViT")
    parser.add_argument("--images", type=int, default=256, help="of a batch that is encoded")
    parser.add_argument("--backbone", nargs="+", default=["coop", "promptsrc"])
    parser.add_argument("--classes", type=int, default=47)
    parser.add_argument("--epochs", type=int, default=20, help="of both stages; views, too")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clip = load(ClipSpec(asked.model, "random:1", asked.precision, asked.device))
    cuda = clip.device.type == "cuda"
    card = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    print(f"{card}, {asked.model}, {asked.precision}, {asked.threads} threads")
    print_encoding(clip, asked.images)
    base = (asked.classes + 1) // 2
    print(f"one dataset: {base} base classes, {SHOTS} shots, {asked.epochs} epochs, one seed")
    print_cells(asked)


if __name__ == "__main__":
    main()
