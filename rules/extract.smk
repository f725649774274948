"""Sampled tokens and their vectors: one forward pass gives all layers, embedding matrices need none."""


rule sample_tokens:
    input:
        unpack(inputs_of("sample_tokens")),
    output:
        **outputs_of("sample_tokens"),
    log:
        "<logs>/sample_tokens/{tokenizer}/{dataset}.log",
    benchmark:
        "<benchmarks>/sample_tokens/{tokenizer}/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(SWEEP.datasets),
    localrule: any(corpus.remote for corpus in SWEEP.corpora.values())  # texts from the hub: where there is a network
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("sample_tokens"),
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("sample_tokens"),
        signature=signature_of("sample_tokens"),
    message:
        "tokens: {wildcards.dataset} for {wildcards.tokenizer}"
    script:
        "../workflow_scripts/sample_tokens.py"


rule sample_vocabulary:
    input:
        unpack(inputs_of("sample_vocabulary")),
    output:
        **outputs_of("sample_vocabulary"),
    log:
        "<logs>/sample_vocabulary/{tokenizer}.log",
    benchmark:
        "<benchmarks>/sample_vocabulary/{tokenizer}.tsv"
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("sample_vocabulary"),
        mem_mb=growing(4000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("sample_vocabulary"),
        signature=signature_of("sample_vocabulary"),
    message:
        "tokens: the vocabulary of {wildcards.tokenizer}"
    script:
        "../workflow_scripts/sample_vocabulary.py"


rule extract_embeddings:
    input:
        unpack(inputs_of("extract_embeddings")),
    output:
        **outputs_of("extract_embeddings") | {"embeddings": kept_if_asked("extract_embeddings", "embeddings")},
    log:
        "<logs>/extract_embeddings/{model}/{checkpoint}/{dataset}.log",
    benchmark:
        "<benchmarks>/extract_embeddings/{model}/{checkpoint}/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(SWEEP.datasets),
    priority: 10  # before further fetches: what is on disk is measured and deleted first
    conda:
        "../envs/models.yaml"
    threads: THREADS
    resources:
        **places_of("extract_embeddings"),
        mem_mb=growing(memory_of),
        runtime=growing(120),
        gpu=gpus_of,
        device=COMPUTE["device"],
        batch_tokens=COMPUTE["batch_tokens"],
        padding_side=beside("padding_side"),
        passes=beside("passes"),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("extract_embeddings"),
        signature=signature_of("extract_embeddings"),
    message:
        "hidden states: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}"
    script:
        "../workflow_scripts/extract_embeddings.py"


rule extract_vocabulary:
    input:
        unpack(inputs_of("extract_vocabulary")),
    output:
        embeddings=kept_if_asked("extract_vocabulary", "embeddings"),
    log:
        "<logs>/extract_vocabulary/{model}/{checkpoint}.log",
    benchmark:
        "<benchmarks>/extract_vocabulary/{model}/{checkpoint}.tsv"
    priority: 10
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("extract_vocabulary"),
        mem_mb=growing(memory_of),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("extract_vocabulary"),
        signature=signature_of("extract_vocabulary"),
    message:
        "embedding matrices: {wildcards.model} @ {wildcards.checkpoint}"
    script:
        "../workflow_scripts/extract_vocabulary.py"
