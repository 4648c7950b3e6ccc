# Datasets and the frozen CLIP's view of them.


rule prepare_embedded:
    input:
        "results/.params/prepare.{dataset}.json",
    output:
        "results/prepare/{dataset}/manifest.json",
        "results/prepare/{dataset}/images.zip",
    wildcard_constraints:
        dataset="|".join(EMBEDDED) or "none",
    log:
        "logs/prepare/{dataset}.log",
    shell:
        "dpc prepare --dataset {wildcards.dataset} 2> {log} || (cat {log} >&2; exit 1)"


rule prepare_on_disk:
    input:
        "results/.params/prepare.{dataset}.json",
    output:
        "results/prepare/{dataset}/manifest.json",
    wildcard_constraints:
        dataset="|".join(set(DATASETS) - set(EMBEDDED)) or "none",
    log:
        "logs/prepare/{dataset}.log",
    shell:
        "dpc prepare --dataset {wildcards.dataset} 2> {log} || (cat {log} >&2; exit 1)"


rule features:
    input:
        "results/.params/features.json",
        "results/.params/shots.json",
        "results/prepare/{dataset}/manifest.json",
    output:
        "results/features/{dataset}/test.safetensors",
        expand("results/features/{{dataset}}/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/features/{dataset}.log",
    priority: 3
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc features --dataset {wildcards.dataset} 2> {log} || (cat {log} >&2; exit 1)"
