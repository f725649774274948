"""Models that the workflow trains itself, with their tokenizers and training curves."""

TRAINED_MODELS = [model.name for model in SWEEP.trained()]


rule train_tokenizer:
    message:
        "training the tokenizer of {wildcards.model}"
    output:
        directory(TOKENIZER),
    wildcard_constraints:
        model=one_of(TRAINED_MODELS),
    params:
        settings=settings_of("train_tokenizer"),
        signature=signature_of("train_tokenizer"),
    log:
        LOGS + "/train_tokenizer/{model}.log",
    benchmark:
        BENCHMARKS + "/train_tokenizer/{model}.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/models.yaml"
    script:
        "../workflow_scripts/train_tokenizer.py"


rule train_language_model:
    message:
        "training {wildcards.model}"
    input:
        tokenizer=TOKENIZER,
    output:
        checkpoints=directory(TRAINED),
        metrics=METRICS,
    wildcard_constraints:
        model=one_of(TRAINED_MODELS),
    params:
        settings=settings_of("train_language_model"),
        signature=signature_of("train_language_model"),
    log:
        LOGS + "/train_language_model/{model}.log",
    benchmark:
        BENCHMARKS + "/train_language_model/{model}.tsv"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=GPUS,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/models.yaml"
    script:
        "../workflow_scripts/train_language_model.py"
