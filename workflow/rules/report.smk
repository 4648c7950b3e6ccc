# The page and its numbers.


rule report:
    input:
        "results/.params/report.json",
        rows,
    output:
        "results/report/index.html",
        "results/metrics.json",
        "results/summary.json",
    log:
        "logs/report.log",
    shell:
        "dpc report 2> {log} || (cat {log} >&2; exit 1)"
