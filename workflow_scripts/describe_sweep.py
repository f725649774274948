"""Write down what made the sweep: configuration, versions, command.

Reads: the tables of local and global estimates.
Writes: results/{sweep}/about.html, a page of the report.
"""

import os

from idsweep.report.about import write_about
from idsweep.workflow.script import job, versions

with job(snakemake) as run:
    write_about(
        snakemake.output[0],
        config=run.settings["config"],
        versions=versions(),
        command=os.environ["IDSWEEP_COMMAND"],
        tables=snakemake.input.tables,
        missing=run.settings.get("missing", ()),
    )
