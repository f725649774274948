"""Tidy tables: one row per estimate, with everything that identifies it, as Parquet and CSV."""


localrules:
    collect_estimates,
    collect_training,
    write_csv,


rule collect_estimates:
    input:
        ALL_ESTIMATES,
    output:
        TABLE.replace("{table}", "{scope}"),
    log:
        "results/{sweep}/logs/collect_estimates/{scope}.log",
    benchmark:
        "results/{sweep}/benchmarks/collect_estimates/{scope}.tsv"
    wildcard_constraints:
        scope="local|global",
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_estimates"),
        signature=signature_of("collect_estimates"),
    message:
        "table: {wildcards.scope} estimates"
    script:
        "../workflow_scripts/collect_estimates.py"


rule collect_training:
    input:
        [METRICS.format(sweep=SWEEP.name, model=model) for model in TRAINED_MODELS],
    output:
        TABLE.replace("{table}", "training"),
    log:
        "results/{sweep}/logs/collect_training.log",
    benchmark:
        "results/{sweep}/benchmarks/collect_training.tsv"
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_training"),
        signature=signature_of("collect_training"),
    message:
        "table: training curves"
    script:
        "../workflow_scripts/collect_training.py"


rule write_csv:
    input:
        TABLE,
    output:
        report(
            CSV,
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
    log:
        "results/{sweep}/logs/write_csv/{table}.log",
    benchmark:
        "results/{sweep}/benchmarks/write_csv/{table}.tsv"
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("write_csv"),
        signature=signature_of("write_csv"),
    message:
        "table: {wildcards.table} as CSV"
    script:
        "../workflow_scripts/write_csv.py"
