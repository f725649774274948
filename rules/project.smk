"""The map of the explorer: sampled tokens in the plane of most variance, while their vectors are there."""


rule project_points:
    input:
        unpack(inputs_of("project_points")),
    output:
        **outputs_of("project_points"),
    log:
        "<logs>/project_points/{model}/{checkpoint}/{dataset}.log",
    benchmark:
        "<benchmarks>/project_points/{model}/{checkpoint}/{dataset}.tsv"
    priority: 11
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(memory_as_planned("project_points", 1000)),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("project_points"),
        signature=signature_of("project_points"),
    message:
        "map: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}"
    script:
        "../workflow_scripts/project_points.py"
