# Parameters are read once, by dpc itself; rules see them as slices: one small JSON file for each
# kind of work, rewritten only when its content changes. So an edit reruns exactly what reads it,
# whichever engine built the tree.
import sys

from dpc.errors import DpcError
from dpc.params.backbones import traits
from dpc.params.load import load
from dpc.stages.cells import RUNGS
from dpc.stages.layout import Layout
from dpc.stages.slices import sync

try:
    PARAMS = load()
    if workflow.is_main_process:
        sync(PARAMS, Layout())
except DpcError as problem:
    for line in str(problem).splitlines():
        print(f"dpc: {line}", file=sys.stderr)
    sys.exit(2)

DATASETS = PARAMS.run.datasets
BACKBONES = PARAMS.run.backbones
SEEDS = PARAMS.run.seeds
BUDGET = PARAMS.run.budget
ABLATIONS = PARAMS.run.ablations
EMBEDDED = [name for name in DATASETS if name not in PARAMS.data.on_disk]


wildcard_constraints:
    dataset="|".join(DATASETS),
    backbone="|".join(BACKBONES),


def rows(wildcards):
    """Every evaluated row of the grid."""
    found = expand("results/evaluate/{dataset}/zero_shot/all.safetensors", dataset=DATASETS)
    kinds = {"": BACKBONES, "+dpc": BACKBONES, "+budget": BUDGET}
    for suffix, backbones in (kinds | {f"+{rung}": ABLATIONS for rung in RUNGS}).items():
        found += expand(
            "results/evaluate/{dataset}/{backbone}{suffix}/seed{seed}.safetensors",
            dataset=DATASETS,
            backbone=backbones,
            suffix=suffix,
            seed=SEEDS,
        )
    return found
