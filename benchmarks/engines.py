"""How long both engines think about the paper's grid: 11 datasets, 9 rows, 3 seeds.

    python benchmarks/engines.py FOLDER            # snakemake -n on it, nothing built
    python benchmarks/engines.py FOLDER --build    # also builds it (minutes), then looks again

FOLDER is made and kept: a copy of the project with tiny made-up images in the published layout, the
preset paper-base-to-new, and for --build the embedded CLIP and one epoch everywhere.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from coop_layout import write  # noqa: E402
from tree import Tree  # noqa: E402

from dpc.datasets.catalog import CATALOG  # noqa: E402

ELEVEN = [name for name, published in CATALOG.items() if not published.test_only]
BACKBONES = ("coop", "maple", "promptsrc", "promptkd")
SMALL = [
    "clip.model=icons",
    "clip.pretrained=embedded",
    "teacher.model=icons-large",
    "teacher.pretrained=embedded",
    "teacher.settings.epochs=1",
    "teacher.settings.batch=32",
    "data.views.count=1",
    "dpc.epochs=1",
    "dpc.batch=32",
    *(f"backbones.{name}.{key}" for name in BACKBONES for key in ("epochs=1", "batch=64")),
    "backbones.maple.depth=2",
    "backbones.promptkd.depth=2",
    *(f"backbones.promptsrc.{tower}_depth=2" for tower in ("text", "image")),
    *(f"teacher.settings.{tower}_depth=2" for tower in ("text", "image")),
]


def timed(tree: Tree, what: str, *command: str) -> None:
    """Print the shortest of three runs."""
    seconds = []
    for _ in range(3):
        begin = time.monotonic()
        tree.run(*command, timeout=3600)
        seconds.append(time.monotonic() - begin)
    print(f"{what:<40} {min(seconds):6.2f} s", flush=True)


def main() -> None:
    """Make the tree, and time what the engines do without any work to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", action="store_true")
    asked = parser.parse_args()
    tree = Tree(asked.folder / "tree")
    write(tree.root / "data", sets=ELEVEN)
    small = SMALL if asked.build else []
    tree.run("dpc", "params", "--preset", "paper-base-to-new", *small, "--out", "params.yaml")
    plan = ("snakemake", "-n", "all", "--cores", "1")
    timed(tree, "snakemake -n, nothing built", *plan)
    if asked.build:
        tree.snakemake()
        tree.run("dvc", "commit", "-f", timeout=3600)
        timed(tree, "snakemake -n, all built", *plan)
        timed(tree, "dvc repro, all built", "dvc", "repro")


if __name__ == "__main__":
    main()
