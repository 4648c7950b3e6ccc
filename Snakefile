# The stages, in order; the whole grid: snakemake --cores all all
from snakemake.utils import min_version

min_version("9.18")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        "results/report/index.html",
        "results/metrics.json",
        "results/summary.json",
