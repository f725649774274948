"""Weights and tokenizers from the Hugging Face hub, fetched where there is a network."""

HUB_MODELS = [name for name, model in SWEEP.models.items() if model.source == "hub"]


localrules:
    fetch_checkpoint,
    fetch_tokenizer,


rule fetch_checkpoint:
    output:
        temp(directory(FETCHED)),
    log:
        "results/{sweep}/logs/fetch_checkpoint/{model}/{checkpoint}.log",
    benchmark:
        "results/{sweep}/benchmarks/fetch_checkpoint/{model}/{checkpoint}.tsv"
    wildcard_constraints:
        model=one_of(HUB_MODELS),
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=2000,
        runtime=240,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("fetch_checkpoint"),
        signature=signature_of("fetch_checkpoint"),
    message:
        "fetching {wildcards.model} @ {wildcards.checkpoint}"
    script:
        "../workflow_scripts/fetch_checkpoint.py"


rule fetch_tokenizer:
    output:
        directory(TOKENIZER),
    log:
        "results/{sweep}/logs/fetch_tokenizer/{model}.log",
    benchmark:
        "results/{sweep}/benchmarks/fetch_tokenizer/{model}.tsv"
    wildcard_constraints:
        model=one_of(HUB_MODELS),
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=2000,
        runtime=240,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("fetch_tokenizer"),
        signature=signature_of("fetch_tokenizer"),
    message:
        "fetching the tokenizer of {wildcards.model}"
    script:
        "../workflow_scripts/fetch_tokenizer.py"
