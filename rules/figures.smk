"""Figures, and the report that holds them with the tables and what made them."""


localrules:
    describe_sweep,
    write_report,


rule draw_figure:
    input:
        unpack(tables_of_figure),
    output:
        pdf=FIGURE.replace("{ending}", "pdf"),
        png=report(
            FIGURE.replace("{ending}", "png"),
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        svg=FIGURE.replace("{ending}", "svg"),
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
        expand(TABLE, table=["local", "global"]),
    output:
        report(
            ABOUT,
            category="Configuration",
            labels={"page": "configuration, versions, command"},
            caption="../report/about.rst",
        ),
    log:
        "<logs>/describe_sweep.log",
    benchmark:
        "<benchmarks>/describe_sweep.tsv"
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
        FIGURE_FILES,
        TABLE_FILES,
        ABOUT,
    output:
        REPORT,
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
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
