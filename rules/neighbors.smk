"""The exact neighbour graph of every layer: the only costly part of estimation, kept."""


rule find_neighbors:
    message:
        "neighbours: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}"
    input:
        embeddings=EMBEDDINGS,
    output:
        NEIGHBORS,
    params:
        settings=settings_of("find_neighbors"),
        signature=signature_of("find_neighbors"),
    log:
        LOGS + "/find_neighbors/{model}/{checkpoint}/{dataset}.log",
    benchmark:
        BENCHMARKS + "/find_neighbors/{model}/{checkpoint}/{dataset}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=GPUS,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/estimation.yaml"
    script:
        "../workflow_scripts/find_neighbors.py"
