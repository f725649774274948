"""The exact neighbour graph of every layer: the only costly part of estimation, kept."""


rule find_neighbors:
    input:
        unpack(inputs_of("find_neighbors")),
    output:
        neighbors=kept_if_asked("find_neighbors", "neighbors"),
    log:
        "<logs>/find_neighbors/{model}/{checkpoint}/{dataset}/{cloud}.log",
    benchmark:
        "<benchmarks>/find_neighbors/{model}/{checkpoint}/{dataset}/{cloud}.tsv"
    priority: 11  # before further hidden states, so that few are on the disk at one time
    conda:
        "../envs/estimation.yaml"
    threads: THREADS
    resources:
        mem_mb=growing(memory_as_planned("find_neighbors", 4000)),
        runtime=growing(60),
        gpu=gpus_of,
        device=COMPUTE["device"],
        gpu_memory=COMPUTE["gpu_memory"],
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("find_neighbors"),
        signature=signature_of("find_neighbors"),
    message:
        "neighbours: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}, {wildcards.cloud}"
    script:
        "../workflow_scripts/find_neighbors.py"
