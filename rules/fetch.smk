"""Weights, tokenizers and releases of datasets, fetched where there is a network."""

HUB_MODELS = [name for name, model in SWEEP.known.items() if model.source == "hub"]
HUB_TOKENIZERS = [name for name, tokenizer in SWEEP.tokenizers().items() if tokenizer.source == "hub"]


rule fetch_checkpoint:
    input:
        unpack(inputs_of("fetch_checkpoint")),
    output:
        temp(directory(outputs_of("fetch_checkpoint")["weights"])),
    log:
        "<logs>/fetch_checkpoint/{model}/{checkpoint}.log",
    benchmark:
        "<benchmarks>/fetch_checkpoint/{model}/{checkpoint}.tsv"
    wildcard_constraints:
        model=one_of(HUB_MODELS),
    localrule: True
    conda:
        "../envs/models.yaml"
    threads: 0 if DISK_BOUND else 1  # one that waits for room must not keep a core from those that make it
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
        downloads=1,
        checkpoint_disk_gb=disk_of,
        size_gb=size_of,
        disk_bound=disk_bound_of,
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("fetch_checkpoint"),
        signature=signature_of("fetch_checkpoint"),
    message:
        "fetching {wildcards.model} @ {wildcards.checkpoint}"
    script:
        "../workflow_scripts/fetch_checkpoint.py"


rule fetch_tokenizer:
    input:
        unpack(inputs_of("fetch_tokenizer")),
    output:
        directory(outputs_of("fetch_tokenizer")["tokenizer"]),
    log:
        "<logs>/fetch_tokenizer/{tokenizer}.log",
    benchmark:
        "<benchmarks>/fetch_tokenizer/{tokenizer}.tsv"
    wildcard_constraints:
        tokenizer=one_of(HUB_TOKENIZERS),
    localrule: True
    conda:
        "../envs/models.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("fetch_tokenizer"),
        signature=signature_of("fetch_tokenizer"),
    message:
        "fetching the tokenizer of {wildcards.tokenizer}"
    script:
        "../workflow_scripts/fetch_tokenizer.py"


rule convert_weights:
    input:
        unpack(inputs_of("convert_weights")),
    output:
        temp(directory(outputs_of("convert_weights")["weights"])),
    log:
        "<logs>/convert_weights/{model}/{checkpoint}.log",
    benchmark:
        "<benchmarks>/convert_weights/{model}/{checkpoint}.tsv"
    wildcard_constraints:
        model=one_of(name for name, model in SWEEP.known.items() if model.source == "gguf"),
    localrule: True  # where the hub can be reached
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("convert_weights"),
        mem_mb=growing(memory_as_planned("convert_weights", 2000)),
        runtime=growing(240),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("convert_weights"),
        signature=signature_of("convert_weights"),
    message:
        "weights of {wildcards.model}, from GGUF"
    script:
        "../workflow_scripts/convert_weights.py"


rule convert_tokenizer:
    input:
        unpack(inputs_of("convert_tokenizer")),
    output:
        directory(outputs_of("convert_tokenizer")["tokenizer"]),
    log:
        "<logs>/convert_tokenizer/{tokenizer}.log",
    benchmark:
        "<benchmarks>/convert_tokenizer/{tokenizer}.tsv"
    wildcard_constraints:
        tokenizer=one_of(name for name, tokenizer in SWEEP.tokenizers().items() if tokenizer.source == "gguf"),
    localrule: True
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("convert_tokenizer"),
        mem_mb=growing(3000),
        runtime=growing(240),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("convert_tokenizer"),
        signature=signature_of("convert_tokenizer"),
    message:
        "tokenizer of {wildcards.tokenizer}, from GGUF"
    script:
        "../workflow_scripts/convert_tokenizer.py"


rule prepare_dataset:
    input:
        unpack(inputs_of("prepare_dataset")),
    output:
        **outputs_of("prepare_dataset"),
    log:
        "<logs>/prepare_dataset/{release}.log",
    benchmark:
        "<benchmarks>/prepare_dataset/{release}.tsv"
    wildcard_constraints:
        release=one_of(SWEEP.releases()),
    localrule: True
    conda:
        "../envs/models.yaml"
    resources:
        **places_of("prepare_dataset"),
        mem_mb=growing(4000),
        runtime=growing(120),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("prepare_dataset"),
        signature=signature_of("prepare_dataset"),
    message:
        "texts of {wildcards.release}"
    script:
        "../workflow_scripts/prepare_dataset.py"
