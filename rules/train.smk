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
        mem_mb=growing(4000),
        runtime=growing(30),
        corpus=place("corpus"),
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


rule train_language_model:
    input:
        unpack(inputs_of("train_language_model")),
    output:
        checkpoints=directory(outputs_of("train_language_model")["checkpoints"]),
        metrics=outputs_of("train_language_model")["metrics"],
    log:
        "<logs>/train_language_model/{model}.log",
    benchmark:
        "<benchmarks>/train_language_model/{model}.tsv"
    wildcard_constraints:
        model=made_by("train_language_model", SWEEP.known),
    conda:
        "../envs/models.yaml"
    threads: 2
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
        corpus=place("corpus"),
        tokenizer=place("tokenizer"),
        gpu=gpus_of,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("train_language_model"),
        signature=signature_of("train_language_model"),
    message:
        "training {wildcards.model}"
    script:
        "../workflow_scripts/train_language_model.py"


rule train_grokking:
    input:
        unpack(inputs_of("train_grokking")),
    output:
        checkpoints=directory(outputs_of("train_grokking")["checkpoints"]),
        metrics=outputs_of("train_grokking")["metrics"],
    log:
        "<logs>/train_grokking/{model}.log",
    benchmark:
        "<benchmarks>/train_grokking/{model}.tsv"
    wildcard_constraints:
        model=made_by("train_grokking", SWEEP.known),
    priority: 20  # long, so first: what is trained is measured beside the next training
    conda:
        "../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        tokenizer=place("tokenizer"),
        gpu=gpus_of,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("train_grokking"),
        signature=signature_of("train_grokking"),
    message:
        "training {wildcards.model}"
    script:
        "../workflow_scripts/train_grokking.py"


rule train_word_vectors:
    input:
        unpack(inputs_of("train_word_vectors")),
    output:
        checkpoints=directory(outputs_of("train_word_vectors")["checkpoints"]),
        metrics=outputs_of("train_word_vectors")["metrics"],
    log:
        "<logs>/train_word_vectors/{model}.log",
    benchmark:
        "<benchmarks>/train_word_vectors/{model}.tsv"
    wildcard_constraints:
        model=made_by("train_word_vectors", SWEEP.known),
    conda:
        "../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        corpus=place("corpus"),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("train_word_vectors"),
        signature=signature_of("train_word_vectors"),
    message:
        "training {wildcards.model}"
    script:
        "../workflow_scripts/train_word_vectors.py"


rule fine_tune_language_model:
    input:
        unpack(inputs_of("fine_tune_language_model")),
    output:
        checkpoints=directory(outputs_of("fine_tune_language_model")["checkpoints"]),
        metrics=outputs_of("fine_tune_language_model")["metrics"],
    log:
        "<logs>/fine_tune_language_model/{model}.log",
    benchmark:
        "<benchmarks>/fine_tune_language_model/{model}.tsv"
    wildcard_constraints:
        model=made_by("fine_tune_language_model", SWEEP.known),
    conda:
        "../envs/models.yaml"
    threads: 2
    resources:
        mem_mb=growing(memory_of_training),
        runtime=growing(720),
        corpora=place("corpora"),
        weights=place("start"),
        tokenizer=place("tokenizer"),
        gpu=gpus_of,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("fine_tune_language_model"),
        signature=signature_of("fine_tune_language_model"),
    message:
        "fine-tuning {wildcards.model}"
    script:
        "../workflow_scripts/fine_tune_language_model.py"


rule fine_tune_classifier:
    input:
        unpack(inputs_of("fine_tune_classifier")),
    output:
        checkpoints=directory(outputs_of("fine_tune_classifier")["checkpoints"]),
        metrics=outputs_of("fine_tune_classifier")["metrics"],
    log:
        "<logs>/fine_tune_classifier/{model}.log",
    benchmark:
        "<benchmarks>/fine_tune_classifier/{model}.tsv"
    wildcard_constraints:
        model=made_by("fine_tune_classifier", SWEEP.known),
    conda:
        "../envs/models.yaml"
    threads: 2
    resources:
        mem_mb=growing(memory_of_training),
        runtime=growing(720),
        corpora=place("corpora"),
        weights=place("start"),
        tokenizer=place("tokenizer"),
        gpu=gpus_of,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("fine_tune_classifier"),
        signature=signature_of("fine_tune_classifier"),
    message:
        "fine-tuning {wildcards.model}"
    script:
        "../workflow_scripts/fine_tune_classifier.py"


rule train_lora_embedding:
    input:
        unpack(inputs_of("train_lora_embedding")),
    output:
        checkpoints=directory(outputs_of("train_lora_embedding")["checkpoints"]),
        metrics=outputs_of("train_lora_embedding")["metrics"],
    log:
        "<logs>/train_lora_embedding/{model}.log",
    benchmark:
        "<benchmarks>/train_lora_embedding/{model}.tsv"
    wildcard_constraints:
        model=made_by("train_lora_embedding", SWEEP.known),
    conda:
        "../envs/models.yaml"
    threads: 2
    resources:
        mem_mb=growing(memory_of_training),
        runtime=growing(720),
        corpora=place("corpora"),
        weights=place("start"),
        tokenizer=place("tokenizer"),
        gpu=gpus_of,
        device=COMPUTE["device"],
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("train_lora_embedding"),
        signature=signature_of("train_lora_embedding"),
    message:
        "training {wildcards.model}"
    script:
        "../workflow_scripts/train_lora_embedding.py"
