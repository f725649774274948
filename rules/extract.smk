"""Sampled tokens and their hidden states: one forward pass gives all layers."""


rule sample_tokens:
    message:
        "tokens: {wildcards.dataset} for {wildcards.model}"
    input:
        tokenizer=tokenizer_of,
    output:
        tokens=TOKENS,
        sequences=SEQUENCES,
    params:
        tokenizer=tokenizer_folder,
        settings=settings_of("sample_tokens"),
        signature=signature_of("sample_tokens"),
    log:
        LOGS + "/sample_tokens/{model}/{dataset}.log",
    benchmark:
        BENCHMARKS + "/sample_tokens/{model}/{dataset}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/models.yaml"
    script:
        "../workflow_scripts/sample_tokens.py"


rule extract_embeddings:
    message:
        "hidden states: {wildcards.model} @ {wildcards.checkpoint} on {wildcards.dataset}"
    input:
        tokens=TOKENS,
        sequences=SEQUENCES,
        weights=weights_of,
    output:
        kept_if_asked(EMBEDDINGS),
    params:
        settings=settings_of("extract_embeddings"),
        signature=signature_of("extract_embeddings"),
    log:
        LOGS + "/extract_embeddings/{model}/{checkpoint}/{dataset}.log",
    benchmark:
        BENCHMARKS + "/extract_embeddings/{model}/{checkpoint}/{dataset}.tsv"
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=GPUS,
        device=COMPUTE["device"],
        batch_tokens=COMPUTE["batch_tokens"],
        weights=weights_folder,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/models.yaml"
    script:
        "../workflow_scripts/extract_embeddings.py"
