"""Intrinsic dimension of neighbouring layers: one light job for each block of them and part of a set of estimators."""


rule estimate_dimensions:
    input:
        unpack(inputs_of("estimate_dimensions")),
    output:
        **outputs_of("estimate_dimensions"),
    log:
        "<logs>/estimate_dimensions/{part}/{model}/{checkpoint}/{dataset}/{cloud}/{layers}.log",
    benchmark:
        "<benchmarks>/estimate_dimensions/{part}/{model}/{checkpoint}/{dataset}/{cloud}/{layers}.tsv"
    priority: 12
    group:
        submission_of if SERIAL else None
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
        serial=1,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("estimate_dimensions"),
        signature=signature_of("estimate_dimensions"),
    message:
        "{wildcards.part}: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}, {wildcards.cloud}, {wildcards.layers}"
    script:
        "../workflow_scripts/estimate_dimensions.py"
