"""Tidy tables: one row per estimate, with everything that identifies it, as Parquet and CSV."""


rule describe_tokens:
    input:
        unpack(inputs_of("describe_tokens")),
    output:
        **outputs_of("describe_tokens"),
    log:
        "<logs>/describe_tokens/{set}/{model}/{checkpoint}/{dataset}/{cloud}.log",
    benchmark:
        "<benchmarks>/describe_tokens/{set}/{model}/{checkpoint}/{dataset}/{cloud}.tsv"
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("describe_tokens"),
        signature=signature_of("describe_tokens"),
    message:
        "tokens, {wildcards.set}: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}, {wildcards.cloud}"
    script:
        "../workflow_scripts/describe_tokens.py"


rule collect_estimates:
    input:
        unpack(inputs_of("collect_estimates")),
    output:
        **outputs_of("collect_estimates"),
    log:
        "<logs>/collect_estimates.log",
    benchmark:
        "<benchmarks>/collect_estimates.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_estimates"),
        signature=signature_of("collect_estimates"),
    message:
        "tables: local and global estimates"
    script:
        "../workflow_scripts/collect_estimates.py"


rule collect_training:
    input:
        unpack(inputs_of("collect_training")),
    output:
        **outputs_of("collect_training"),
    log:
        "<logs>/collect_training.log",
    benchmark:
        "<benchmarks>/collect_training.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        **places_of("collect_training"),
        mem_mb=growing(2000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_training"),
        signature=signature_of("collect_training"),
    message:
        "table: training curves"
    script:
        "../workflow_scripts/collect_training.py"


rule collect_reference:
    input:
        unpack(inputs_of("collect_reference")),
    output:
        **outputs_of("collect_reference"),
    log:
        "<logs>/collect_reference.log",
    benchmark:
        "<benchmarks>/collect_reference.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        **places_of("collect_reference"),
        mem_mb=growing(2000),
        runtime=growing(10),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_reference"),
        signature=signature_of("collect_reference"),
    message:
        "table: published values"
    script:
        "../workflow_scripts/collect_reference.py"


rule collect_losses:
    input:
        unpack(inputs_of("collect_losses")),
    output:
        **outputs_of("collect_losses"),
    log:
        "<logs>/collect_losses.log",
    benchmark:
        "<benchmarks>/collect_losses.tsv"
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_losses"),
        signature=signature_of("collect_losses"),
    message:
        "table: losses"
    script:
        "../workflow_scripts/collect_losses.py"


rule collect_shifts:
    input:
        unpack(inputs_of("collect_shifts")),
    output:
        **outputs_of("collect_shifts"),
    log:
        "<logs>/collect_shifts.log",
    benchmark:
        "<benchmarks>/collect_shifts.tsv"
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_shifts"),
        signature=signature_of("collect_shifts"),
    message:
        "table: fine-tuned models against their bases"
    script:
        "../workflow_scripts/collect_shifts.py"


rule collect_contrasts:
    input:
        unpack(inputs_of("collect_contrasts")),
    output:
        **outputs_of("collect_contrasts"),
    log:
        "<logs>/collect_contrasts.log",
    benchmark:
        "<benchmarks>/collect_contrasts.tsv"
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_contrasts"),
        signature=signature_of("collect_contrasts"),
    message:
        "table: checkpoints and layers against each other"
    script:
        "../workflow_scripts/collect_contrasts.py"


rule collect_tokens:
    input:
        unpack(inputs_of("collect_tokens")),
    output:
        **outputs_of("collect_tokens"),
    log:
        "<logs>/collect_tokens.log",
    benchmark:
        "<benchmarks>/collect_tokens.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("collect_tokens"),
        signature=signature_of("collect_tokens"),
    message:
        "tables: tokens"
    script:
        "../workflow_scripts/collect_tokens.py"


rule detect_events:
    input:
        unpack(inputs_of("detect_events")),
    output:
        **outputs_of("detect_events"),
    log:
        "<logs>/detect_events.log",
    benchmark:
        "<benchmarks>/detect_events.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("detect_events"),
        signature=signature_of("detect_events"),
    message:
        "events over training"
    script:
        "../workflow_scripts/detect_events.py"


rule write_csv:
    input:
        unpack(inputs_of("write_csv")),
    output:
        report(
            outputs_of("write_csv")["csv"],
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
    log:
        "<logs>/write_csv/{table}.log",
    benchmark:
        "<benchmarks>/write_csv/{table}.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("write_csv"),
        signature=signature_of("write_csv"),
    message:
        "table: {wildcards.table} as CSV"
    script:
        "../workflow_scripts/write_csv.py"
