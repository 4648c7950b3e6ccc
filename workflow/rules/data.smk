# Datasets and the frozen CLIP's view of them.


rule prepare_embedded:
    input:
        "results/.params/prepare.{tested}.json",
    output:
        "results/prepare/{tested}/manifest.json",
        "results/prepare/{tested}/images.zip",
    wildcard_constraints:
        tested="|".join(EMBEDDED) or "none",
    log:
        "logs/prepare/{tested}.log",
    shell:
        "dpc prepare --dataset {wildcards.tested} 2> {log} || (cat {log} >&2; exit 1)"


rule prepare_on_disk:
    input:
        "results/.params/prepare.{tested}.json",
    output:
        "results/prepare/{tested}/manifest.json",
    wildcard_constraints:
        tested="|".join(set(TESTED) - set(EMBEDDED)) or "none",
    log:
        "logs/prepare/{tested}.log",
    threads: 8  # to hash and decode; fewer where there are fewer
    shell:
        "dpc prepare --dataset {wildcards.tested} 2> {log} || (cat {log} >&2; exit 1)"


rule features:
    input:
        "results/.params/features.json",
        "results/.params/shots.json",
        "results/prepare/{dataset}/manifest.json",
    output:
        "results/features/{dataset}/test.safetensors",
        expand("results/features/{{dataset}}/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/features/{dataset}.log",
    priority: 3
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc features --dataset {wildcards.dataset} 2> {log} || (cat {log} >&2; exit 1)"


rule features_target:
    input:
        "results/.params/features.json",
        "results/prepare/{target}/manifest.json",
    output:
        "results/features/{target}/test.safetensors",
    log:
        "logs/features/{target}.log",
    priority: 3
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc features --dataset {wildcards.target} 2> {log} || (cat {log} >&2; exit 1)"
