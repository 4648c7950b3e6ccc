# One job a dataset and backbone: its seeds share a process, and each seed has its own place in the
# store, so that an added seed trains that seed alone.


rule tune:
    input:
        "results/.params/tune.{backbone}.json",
        expand("results/features/{{dataset}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/tune/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc tune --no-budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule budget:
    input:
        "results/.params/budget.{backbone}.json",
        expand("results/features/{{dataset}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/budget/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/budget/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc tune --budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule finetune:
    input:
        "results/.params/finetune.{backbone}.json",
        expand("results/features/{{dataset}}/seed{seed}.safetensors", seed=SEEDS),
        expand("results/tune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/finetune/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/finetune/{dataset}-{backbone}.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc finetune --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
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
        expand("results/features/{{dataset}}/seed{seed}.safetensors", seed=SEEDS),
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
        "dpc evaluate --no-budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"


rule evaluate_budget:
    input:
        "results/.params/evaluate.{backbone}+budget.json",
        "results/features/{dataset}/test.safetensors",
        expand("results/budget/{{dataset}}/{{backbone}}/seed{seed}.safetensors", seed=SEEDS),
    output:
        expand("results/evaluate/{{dataset}}/{{backbone}}+budget/seed{seed}.safetensors", seed=SEEDS),
    log:
        "logs/evaluate/{dataset}-{backbone}+budget.log",
    threads: PARAMS.run.threads
    resources:
        gpu=1,
    shell:
        "dpc evaluate --budget --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " 2> {log} || (cat {log} >&2; exit 1)"
