"""Write the report: Snakemake's own, with all figures and tables of the sweep.

Writes: results/{sweep}/report.html.
"""

import os
from pathlib import Path

from idsweep.workflow.report import write_report
from idsweep.workflow.script import job

with job(snakemake):
    write_report(
        snakemake.output[0],
        python=os.environ["IDSWEEP_PYTHON"],
        snakefile=Path(snakemake.scriptdir).parent / "Snakefile",
        config={key: value for key, value in snakemake.config.items() if key not in ("captions", "heading")},
        contents=snakemake.input,
    )
