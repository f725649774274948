"""Sampled tokens and their hidden states: one forward pass gives all layers."""


rule sample_tokens:
    input:
        tokenizer=tokenizer_of,
    output:
        tokens=TOKENS,
        sequences=SEQUENCES,
    log:
        "results/{sweep}/logs/sample_tokens/{model}/{dataset}.log",
    benchmark:
        "results/{sweep}/benchmarks/sample_tokens/{model}/{dataset}.tsv"
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
        corpus=corpus_of,
        tokenizer=tokenizer_folder,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("sample_tokens"),
        signature=signature_of("sample_tokens"),
    message:
        "tokens: {wildcards.dataset} for {wildcards.model}"
    script:
        "../workflow_scripts/sample_tokens.py"


rule extract_embeddings:
    input:
        tokens=TOKENS,
        sequences=SEQUENCES,
        weights=weights_of,
        training=training_of,
    output:
        kept_if_asked(EMBEDDINGS),
    log:
        "results/{sweep}/logs/extract_embeddings/{model}/{checkpoint}/{dataset}.log",
    benchmark:
        "results/{sweep}/benchmarks/extract_embeddings/{model}/{checkpoint}/{dataset}.tsv"
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=GPUS,
        device=COMPUTE["device"],
        batch_tokens=COMPUTE["batch_tokens"],
        weights=weights_folder,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("extract_embeddings"),
        signature=signature_of("extract_embeddings"),
    message:
        "hidden states: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}"
    script:
        "../workflow_scripts/extract_embeddings.py"
