"""Models that the workflow trains itself, with their tokenizers and training curves."""

TRAINED_MODELS = [model.name for model in SWEEP.trained()]


rule train_tokenizer:
    input:
        prepared=prepared_of,
    output:
        directory(TOKENIZER),
    log:
        "<logs>/train_tokenizer/{tokenizer}.log",
    benchmark:
        "<benchmarks>/train_tokenizer/{tokenizer}.tsv"
    wildcard_constraints:
        tokenizer=made_by("train_tokenizer", SWEEP.tokenizers()),
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
        corpus=corpus_of,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("train_tokenizer"),
        signature=signature_of("train_tokenizer"),
    message:
        "training the tokenizer of {wildcards.tokenizer}"
    script:
        "../workflow_scripts/train_tokenizer.py"


rule write_tokenizer:
    output:
        directory(TOKENIZER),
    log:
        "<logs>/write_tokenizer/{tokenizer}.log",
    benchmark:
        "<benchmarks>/write_tokenizer/{tokenizer}.tsv"
    wildcard_constraints:
        tokenizer=made_by("write_tokenizer", SWEEP.tokenizers()),
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("write_tokenizer"),
        signature=signature_of("write_tokenizer"),
    message:
        "writing the tokenizer of {wildcards.tokenizer}"
    script:
        "../workflow_scripts/write_tokenizer.py"


# One rule for each training: they differ in name and in what they ask of a machine, which stands in the training's module.
for RULE, TRAINING in trainings.by_rule().items():

    rule:
        name:
            RULE
        input:
            tokenizer=training_tokenizer_of,
            weights=start_of,
            prepared=training_prepared_of,
        output:
            checkpoints=directory(TRAINED),
            metrics=METRICS,
        log:
            f"<logs>/{RULE}/{{model}}.log",
        benchmark:
            f"<benchmarks>/{RULE}/{{model}}.tsv"
        wildcard_constraints:
            model=made_by(RULE, SWEEP.known),
        priority: TRAINING.priority
        conda:
            "../envs/models.yaml"
        threads: TRAINING.threads
        resources:
            **({"gpu": gpus_of} if TRAINING.gpu else {}),
            mem_mb=growing(TRAINING.mem_mb or memory_of_training),
            runtime=growing(TRAINING.runtime),
            corpora=training_corpora_files,
            weights=start_folder,
            tokenizer=training_tokenizer_folder,
            device=COMPUTE["device"] if TRAINING.gpu else "cpu",
            log_level=COMPUTE["log_level"],
        params:
            settings=settings_of(RULE),
            signature=signature_of(RULE),
        message:
            "training {wildcards.model}"
        script:
            "../workflow_scripts/train_model.py"
