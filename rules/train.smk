"""Models that the workflow trains itself, with their tokenizers and training curves."""


rule train_tokenizer:
    input:
        unpack(inputs_of("train_tokenizer")),
    output:
        directory(outputs_of("train_tokenizer")["tokenizer"]),
    log:
        "<logs>/train_tokenizer/{tokenizer}.log",
    benchmark:
        "<benchmarks>/train_tokenizer/{tokenizer}.tsv"
    wildcard_constraints:
        tokenizer=made_by("train_tokenizer", SWEEP.tokenizers()),
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("train_tokenizer"),
        mem_mb=growing(4000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("train_tokenizer"),
        signature=signature_of("train_tokenizer"),
    message:
        "training the tokenizer of {wildcards.tokenizer}"
    script:
        "../workflow_scripts/train_tokenizer.py"


rule write_tokenizer:
    input:
        unpack(inputs_of("write_tokenizer")),
    output:
        directory(outputs_of("write_tokenizer")["tokenizer"]),
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
            unpack(inputs_of(RULE)),
        output:
            checkpoints=directory(outputs_of(RULE)["checkpoints"]),
            metrics=outputs_of(RULE)["metrics"],
        log:
            f"<logs>/{RULE}/{{model}}.log",
        benchmark:
            f"<benchmarks>/{RULE}/{{model}}.tsv"
        wildcard_constraints:
            model=made_by(RULE, SWEEP.known),
        priority: 20  # long, so first: what is trained is measured beside the next training
        conda:
            "../envs/models.yaml"
        threads: threads_of(TRAINING)
        resources:
            **({"gpu": gpus_of} if TRAINING.gpu else {}) | places_of(RULE),
            mem_mb=growing(TRAINING.mem_mb or memory_of_training),
            runtime=growing(TRAINING.runtime),
            device=COMPUTE["device"] if TRAINING.gpu else "cpu",
            log_level=COMPUTE["log_level"],
        params:
            settings=settings_of(RULE),
            signature=signature_of(RULE),
        message:
            "training {wildcards.model}"
        script:
            "../workflow_scripts/train_model.py"
