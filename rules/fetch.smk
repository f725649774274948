"""Weights and tokenizers from the Hugging Face hub, fetched where there is a network."""

HUB_MODELS = [name for name, model in SWEEP.models.items() if model.source == "hub"]


localrules:
    fetch_checkpoint,
    fetch_tokenizer,


rule fetch_checkpoint:
    message:
        "fetching {wildcards.model} @ {wildcards.checkpoint}"
    output:
        temp(directory(FETCHED)),
    wildcard_constraints:
        model=one_of(HUB_MODELS),
    params:
        settings=settings_of("fetch_checkpoint"),
        signature=signature_of("fetch_checkpoint"),
    log:
        LOGS + "/fetch_checkpoint/{model}/{checkpoint}.log",
    benchmark:
        BENCHMARKS + "/fetch_checkpoint/{model}/{checkpoint}.tsv"
    resources:
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/models.yaml"
    script:
        "../workflow_scripts/fetch_checkpoint.py"


rule fetch_tokenizer:
    message:
        "fetching the tokenizer of {wildcards.model}"
    output:
        directory(TOKENIZER),
    wildcard_constraints:
        model=one_of(HUB_MODELS),
    params:
        settings=settings_of("fetch_tokenizer"),
        signature=signature_of("fetch_tokenizer"),
    log:
        LOGS + "/fetch_tokenizer/{model}.log",
    benchmark:
        BENCHMARKS + "/fetch_tokenizer/{model}.tsv"
    resources:
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/models.yaml"
    script:
        "../workflow_scripts/fetch_tokenizer.py"
