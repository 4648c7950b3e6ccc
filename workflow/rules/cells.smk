# One job a dataset and backbone: its draws (shots and seeds) share a process, and each has its own
# place in the store, so that an added seed trains that seed alone. What much waits for goes first
# (priority), so that no long chain is left for one core at the end.


def shots(wildcards):
    """Training views of every draw, and the images that they are views of."""
    found = expand("results/features/{dataset}/{draw}.safetensors", dataset=wildcards.dataset, draw=DRAWS)
    return found + images(wildcards)


def images(wildcards):
    """A prepared data set, whose pixels are read where a backbone changes image features."""
    return [f"results/prepare/{wildcards.dataset}/manifest.json"]


def taught(wildcards):
    """What a backbone that learns from a teacher reads of it."""
    if not traits(PARAMS, wildcards.backbone)["needs_teacher"]:
        return []
    return expand("results/teacher/{dataset}/{part}.safetensors", dataset=wildcards.dataset, part=["text", "images"])


rule teacher:
    input:
        "results/.params/teacher.json",
        images,
    output:
        "results/teacher/{dataset}/tuned.safetensors",
        "results/teacher/{dataset}/text.safetensors",
        "results/teacher/{dataset}/images.safetensors",
    log:
        "logs/teacher/{dataset}.log",
    priority: 2
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc teacher --dataset {wildcards.dataset} 2> {log} || (cat {log} >&2; exit 1)"


rule tune:
    input:
        "results/.params/tune.{backbone}.json",
        shots,
        taught,
    output:
        expand("results/tune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/tune/{dataset}-{backbone}.log",
    priority: 1
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc tune --part main --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule budget:
    input:
        "results/.params/budget.{backbone}.json",
        shots,
        taught,
    output:
        expand("results/budget/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/budget/{dataset}-{backbone}.log",
    priority: 1
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc tune --part budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule finetune:
    input:
        "results/.params/finetune.{backbone}.json",
        shots,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    output:
        expand("results/finetune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/finetune/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc finetune --part main --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule two_step:
    input:
        "results/.params/two_step.{backbone}.json",
        shots,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    output:
        expand("results/two_step/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/two_step/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc finetune --part ablation --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_zero_shot:
    input:
        "results/.params/evaluate.zero_shot.json",
        "results/features/{tested}/test.safetensors",
    output:
        "results/evaluate/{tested}/zero_shot/all.safetensors",
    log:
        "logs/evaluate/{tested}-zero_shot.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --dataset {wildcards.tested} --backbone zero_shot"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_baseline:
    input:
        "results/.params/evaluate.{baseline}.json",
        "results/features/{dataset}/test.safetensors",
        expand("results/features/{{dataset}}/{draw}.safetensors", draw=DRAWS),
    output:
        expand("results/evaluate/{{dataset}}/{{baseline}}/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/evaluate/{dataset}-{baseline}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --dataset {wildcards.dataset} --backbone {wildcards.baseline}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate:
    input:
        "results/.params/evaluate.{backbone}.json",
        "results/.params/evaluate.{backbone}+dpc.json",
        "results/features/{dataset}/test.safetensors",
        shots,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/finetune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/evaluate/{{dataset}}/{{backbone}}+dpc/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/evaluate/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part main --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_target:
    input:
        "results/.params/evaluate.{backbone}.json",
        "results/.params/evaluate.{backbone}+dpc.json",
        "results/features/{target}/test.safetensors",
        "results/prepare/{target}/manifest.json",
        expand("results/tune/{source}/{{backbone}}/{draw}.safetensors", source=DATASETS[:1], draw=DRAWS),
        expand("results/finetune/{source}/{{backbone}}/{draw}.safetensors", source=DATASETS[:1], draw=DRAWS),
    output:
        expand("results/evaluate/{{target}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/evaluate/{{target}}/{{backbone}}+dpc/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/evaluate/{target}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part main --dataset {wildcards.target} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_budget:
    input:
        "results/.params/evaluate.{backbone}+budget.json",
        "results/features/{dataset}/test.safetensors",
        images,
        taught,
        expand("results/budget/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}+budget/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/evaluate/{dataset}-{backbone}+budget.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_budget_target:
    input:
        "results/.params/evaluate.{backbone}+budget.json",
        "results/features/{target}/test.safetensors",
        "results/prepare/{target}/manifest.json",
        expand("results/budget/{source}/{{backbone}}/{draw}.safetensors", source=DATASETS[:1], draw=DRAWS),
    output:
        expand("results/evaluate/{{target}}/{{backbone}}+budget/{draw}.safetensors", draw=DRAWS),
    log:
        "logs/evaluate/{target}-{backbone}+budget.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part budget --dataset {wildcards.target} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_ablation:
    input:
        expand("results/.params/evaluate.{{backbone}}+{rung}.json", rung=RUNGS),
        "results/features/{dataset}/test.safetensors",
        images,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/finetune/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
        expand("results/two_step/{{dataset}}/{{backbone}}/{draw}.safetensors", draw=DRAWS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}+{rung}/{draw}.safetensors", rung=RUNGS, draw=DRAWS),
    log:
        "logs/evaluate/{dataset}-{backbone}+ablation.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part ablation --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"
