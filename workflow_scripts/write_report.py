"""Write the report: Snakemake's own, with all figures and tables of the sweep but those that are too long for a page.

Writes: results/{sweep}/report.html.
"""

import os
from pathlib import Path

from idsweep.tables.captions import BESIDE_REPORT
from idsweep.workflow.report import write_report
from idsweep.workflow.script import job

with job(snakemake):
    tables = [file for file in snakemake.input.tables if Path(file).stem not in BESIDE_REPORT]
    write_report(
        snakemake.output[0],
        python=os.environ["IDSWEEP_PYTHON"],
        snakefile=Path(snakemake.scriptdir).parent / "Snakefile",
        config={key: value for key, value in snakemake.config.items() if key not in ("captions", "heading")},
        contents=[*snakemake.input.figures, *tables, snakemake.input.about],
    )
