"""Intrinsic dimension of one layer: one light job for each layer and set of estimators."""


rule estimate_dimensions:
    message:
        "{wildcards.set}: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}, layer {wildcards.layer}"
    input:
        unpack(cloud_of),
    output:
        ESTIMATES,
    params:
        settings=settings_of("estimate_dimensions"),
        signature=signature_of("estimate_dimensions"),
    log:
        LOGS + "/estimate_dimensions/{set}/{model}/{checkpoint}/{dataset}/layer_{layer}.log",
    benchmark:
        BENCHMARKS + "/estimate_dimensions/{set}/{model}/{checkpoint}/{dataset}/layer_{layer}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/estimation.yaml"
    script:
        "../workflow_scripts/estimate_dimensions.py"
