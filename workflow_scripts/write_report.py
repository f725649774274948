"""Write the page that a sweep ends with: its results, and what made them.

Reads: figures, tables, the page about the sweep, and what Snakemake wrote down of its jobs.
Writes: results/{sweep}/report.html.
"""

from pathlib import Path

from idsweep.report.report import write_report
from idsweep.workflow.script import job

with job(snakemake) as run:
    settings, page = run.settings, Path(snakemake.output[0])
    pictures = [file for file in snakemake.input.figures if file.endswith(".png")]
    write_report(
        page,
        title=settings["title"],
        tables={Path(file).stem: file for file in snakemake.input.tables if file.endswith(".parquet")},
        figures={Path(file).stem: file for file in pictures},
        captions=settings["captions"],
        about=snakemake.input.about,
        results=page.parent,
        labels=settings.get("labels"),
        has_explorer=settings["explorer"],
    )
