"""Figures, and the report that holds them with the tables and what made them."""


localrules:
    describe_sweep,
    write_report,


rule draw_figure:
    message:
        "figure: {wildcards.figure}"
    input:
        unpack(tables_of_figure),
    output:
        pdf=FIGURE + ".pdf",
        png=report(
            FIGURE + ".png",
            category="Figures",
            labels={"figure": "{figure}"},
            caption="../report/figure.rst",
        ),
        svg=FIGURE + ".svg",
    params:
        settings=settings_of("draw_figure"),
        signature=signature_of("draw_figure"),
    log:
        LOGS + "/draw_figure/{figure}.log",
    benchmark:
        BENCHMARKS + "/draw_figure/{figure}.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/figures.yaml"
    script:
        "../workflow_scripts/draw_figure.py"


rule describe_sweep:
    message:
        "what made this sweep"
    input:
        expand(TABLE, sweep=SWEEP.name, table=TABLES),
    output:
        report(
            ABOUT,
            category="About",
            labels={"page": "configuration, versions, command"},
            caption="../report/about.rst",
        ),
    params:
        settings=settings_of("describe_sweep"),
        signature=signature_of("describe_sweep"),
    log:
        LOGS + "/describe_sweep.log",
    benchmark:
        BENCHMARKS + "/describe_sweep.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/estimation.yaml"
    script:
        "../workflow_scripts/describe_sweep.py"


rule write_report:
    message:
        "report"
    input:
        FIGURE_FILES,
        TABLE_FILES,
        ABOUT,
    output:
        REPORT,
    params:
        settings=settings_of("write_report"),
        signature=signature_of("write_report"),
    log:
        LOGS + "/write_report.log",
    benchmark:
        BENCHMARKS + "/write_report.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
        log_level=COMPUTE["log_level"],
    conda:
        "../envs/report.yaml"
    script:
        "../workflow_scripts/write_report.py"
