# One job a dataset and backbone: its seeds share a process, and each seed has its own place in the
# store, so that an added seed trains that seed alone. What much waits for goes first (priority), so
# that no long chain is left for one core at the end.


def shots(wildcards):
    """Training views of every seed, and the images that they are views of."""
    found = expand("results/features/{dataset}/seed{seed}.safetensors", dataset=wildcards.dataset, seed=SEEDS)
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
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
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
        expand("results/budget/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
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
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/finetune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
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
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/two_step/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
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
        "results/features/{dataset}/test.safetensors",
    output:
        "results/evaluate/{dataset}/zero_shot/all.safetensors",
    log:
        "logs/evaluate/{dataset}-zero_shot.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --dataset {wildcards.dataset} --backbone zero_shot"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate:
    input:
        "results/.params/evaluate.{backbone}.json",
        "results/.params/evaluate.{backbone}+dpc.json",
        "results/features/{dataset}/test.safetensors",
        shots,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
        expand("results/finetune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
        expand("results/evaluate/{{dataset}}/{{backbone}}+dpc/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/evaluate/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part main --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_budget:
    input:
        "results/.params/evaluate.{backbone}+budget.json",
        "results/features/{dataset}/test.safetensors",
        images,
        taught,
        expand("results/budget/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}+budget/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/evaluate/{dataset}-{backbone}+budget.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_ablation:
    input:
        expand("results/.params/evaluate.{{backbone}}+{rung}.json", rung=RUNGS),
        "results/features/{dataset}/test.safetensors",
        images,
        taught,
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
        expand("results/finetune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
        expand("results/two_step/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}+{rung}/seed{seed}.safetensors", rung=RUNGS, seed=SEEDS),
    log:
        "logs/evaluate/{dataset}-{backbone}+ablation.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --part ablation --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"
