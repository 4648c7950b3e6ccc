# Parameters are read once, by dpc itself; rules see them as slices: one small JSON file for each
# kind of work, rewritten only when its content changes. So an edit reruns exactly what reads it,
# whichever engine built the tree.
import sys

from dpc import datasets, progress
from dpc.errors import DpcError
from dpc.params.backbones import traits
from dpc.params.load import load
from dpc.stages.cells import RUNGS, draws
from dpc.stages.layout import Layout
from dpc.stages.slice_files import sync

try:
    PARAMS = load()
    if workflow.is_main_process:
        progress.setup(0)  # a first look at large datasets takes a while
        sync(PARAMS, Layout())
except DpcError as problem:
    for line in str(problem).splitlines():
        print(f"dpc: {line}", file=sys.stderr)
    sys.exit(2)

DATASETS = PARAMS.run.datasets
TARGETS = PARAMS.run.targets
TESTED = PARAMS.tested
BACKBONES = PARAMS.run.backbones
BASELINES = PARAMS.run.baselines
DRAWS = [draw.name for draw in draws(PARAMS)]
BUDGET = PARAMS.run.budget
ABLATIONS = PARAMS.run.ablations
SWEEPS = PARAMS.run.sweeps
EMBEDDED = [name for name in TESTED if name in datasets.EMBEDDED]


wildcard_constraints:
    dataset="|".join(DATASETS),
    target="|".join(TARGETS) or "none",
    tested="|".join(TESTED),
    backbone="|".join(BACKBONES),
    baseline="|".join(BASELINES) or "none",
    sweep="|".join(SWEEPS) or "none",


def rows(wildcards):
    """Every evaluated row of the grid."""
    found = expand("results/evaluate/{dataset}/zero_shot/all.safetensors", dataset=TESTED)
    found += expand(
        "results/evaluate/{dataset}/{baseline}/{draw}.safetensors",
        dataset=DATASETS,
        baseline=BASELINES,
        draw=DRAWS,
    )
    kinds = {"": BACKBONES, "+dpc": BACKBONES, "+budget": BUDGET}
    for suffix, backbones in (kinds | {f"+{rung}": ABLATIONS for rung in RUNGS}).items():
        found += expand(
            "results/evaluate/{dataset}/{backbone}{suffix}/{draw}.safetensors",
            dataset=TESTED,
            backbone=backbones,
            suffix=suffix,
            draw=DRAWS,
        )
    return found
