"""Intrinsic dimension of one representation: one light job for each layer and set of estimators."""


rule estimate_dimensions:
    input:
        unpack(cloud_of),
    output:
        ESTIMATES,
    log:
        "<logs>/estimate_dimensions/{set}/{model}/{checkpoint}/{dataset}/{cloud}/{representation}.log",
    benchmark:
        "<benchmarks>/estimate_dimensions/{set}/{model}/{checkpoint}/{dataset}/{cloud}/{representation}.tsv"
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
        "{wildcards.set}: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}, {wildcards.cloud}, {wildcards.representation}"
    script:
        "../workflow_scripts/estimate_dimensions.py"


rule describe_tokens:
    input:
        unpack(described_of),
    output:
        token_groups=f"{DESCRIBED}/token_groups.parquet",
        token_extremes=f"{DESCRIBED}/token_extremes.parquet",
        loss_correlations=f"{DESCRIBED}/loss_correlations.parquet",
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
