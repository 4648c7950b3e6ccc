# Cells once more with some parameters changed. A sweep runs after the cells of the grid, so that what
# its points have in common with them comes out of the store.


def swept(wildcards):
    """The rows of every sweep."""
    return expand(
        "results/sweeps/{sweep}/{dataset}/{backbone}.safetensors",
        sweep=SWEEPS,
        dataset=DATASETS,
        backbone=BACKBONES,
    )


rule sweep:
    input:
        "results/.params/sweep.{sweep}.{backbone}.json",
        "results/features/{dataset}/test.safetensors",
        shots,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/finetune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/evaluate/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/evaluate/{{dataset}}/{{backbone}}+dpc/{draw}.safetensors", draw=DRAWS),
    output:
        "results/sweeps/{sweep}/{dataset}/{backbone}.safetensors",
    log:
        "logs/sweeps/{sweep}-{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc sweep --name {wildcards.sweep} --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"
