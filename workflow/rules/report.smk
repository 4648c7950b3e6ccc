# The page and its numbers.


rule report:
    input:
        "results/.params/report.json",
        rows,
        swept,
        expand("results/features/{dataset}/test.safetensors", dataset=TESTED),
        expand("results/features/{dataset}/{draw}.safetensors", dataset=DATASETS, draw=DRAWS),
    output:
        "results/report/index.html",
        "results/report/table.csv",
        "results/report/table.md",
        "results/report/table.tex",
        "results/report/ablations.csv",
        "results/report/calibration.csv",
        "results/report/curves.csv",
        "results/report/effects.csv",
        "results/report/losses.csv",
        "results/report/paper.csv",
        "results/report/provenance.csv",
        "results/report/sweeps.csv",
        directory("results/live"),
        "results/metrics.json",
        "results/summary.json",
    log:
        "logs/report.log",
    shell:
        "dpc report 2> {log} || (cat {log} >&2; exit 1)"
