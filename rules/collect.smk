"""Tidy tables: one row per estimate, with everything that identifies it, as Parquet and CSV."""


localrules:
    collect_estimates,
    collect_training,
    write_csv,


rule collect_estimates:
    message:
        "table: {wildcards.scope} estimates"
    input:
        ALL_ESTIMATES,
    output:
        TABLE.replace("{table}", "{scope}"),
    wildcard_constraints:
        scope="local|global",
    params:
        settings=settings_of("collect_estimates"),
        signature=signature_of("collect_estimates"),
    log:
        LOGS + "/collect_estimates/{scope}.log",
    benchmark:
        BENCHMARKS + "/collect_estimates/{scope}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/estimation.yaml"
    script:
        "../workflow_scripts/collect_estimates.py"


rule collect_training:
    message:
        "table: training curves"
    input:
        [METRICS.format(sweep=SWEEP.name, model=model) for model in TRAINED_MODELS],
    output:
        TABLE.replace("{table}", "training"),
    params:
        settings=settings_of("collect_training"),
        signature=signature_of("collect_training"),
    log:
        LOGS + "/collect_training.log",
    benchmark:
        BENCHMARKS + "/collect_training.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/estimation.yaml"
    script:
        "../workflow_scripts/collect_training.py"


rule write_csv:
    message:
        "table: {wildcards.table} as CSV"
    input:
        TABLE,
    output:
        report(
            CSV,
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
    params:
        settings=settings_of("write_csv"),
        signature=signature_of("write_csv"),
    log:
        LOGS + "/write_csv/{table}.log",
    benchmark:
        BENCHMARKS + "/write_csv/{table}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/estimation.yaml"
    script:
        "../workflow_scripts/write_csv.py"
