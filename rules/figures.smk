"""Figures, the explorer, and the report that holds figures and tables with what made them."""


rule draw_figure:
    input:
        unpack(inputs_of("draw_figure")),
    output:
        pdf=outputs_of("draw_figure")["pdf"],
        png=report(
            outputs_of("draw_figure")["png"],
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        svg=outputs_of("draw_figure")["svg"],
    log:
        "<logs>/draw_figure/{figure}.log",
    benchmark:
        "<benchmarks>/draw_figure/{figure}.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("draw_figure"),
        signature=signature_of("draw_figure"),
    message:
        "figure: {wildcards.figure}"
    script:
        "../workflow_scripts/draw_figure.py"


rule describe_sweep:
    input:
        unpack(inputs_of("describe_sweep")),
    output:
        report(
            outputs_of("describe_sweep")["about"],
            category="Configuration",
            labels={"page": "configuration, versions, command"},
            caption="../report/about.rst",
        ),
    log:
        "<logs>/describe_sweep.log",
    benchmark:
        "<benchmarks>/describe_sweep.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("describe_sweep"),
        signature=signature_of("describe_sweep"),
    message:
        "what made this sweep"
    script:
        "../workflow_scripts/describe_sweep.py"


rule write_report:
    input:
        unpack(inputs_of("write_report")),
    output:
        **outputs_of("write_report"),
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("write_report"),
        signature=signature_of("write_report"),
    message:
        "report"
    script:
        "../workflow_scripts/write_report.py"


rule write_explorer:
    input:
        unpack(inputs_of("write_explorer")),
    output:
        **outputs_of("write_explorer"),
    log:
        "<logs>/write_explorer.log",
    benchmark:
        "<benchmarks>/write_explorer.tsv"
    localrule: True
    conda:
        "../envs/estimation.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        log_level=COMPUTE["log_level"],
    params:
        settings=settings_of("write_explorer"),
        signature=signature_of("write_explorer"),
    message:
        "explorer"
    script:
        "../workflow_scripts/write_explorer.py"
