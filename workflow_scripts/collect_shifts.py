"""Compare the local estimates of fine-tuned models with those of their bases, token by token.

Reads: the estimates of both, and the sampled tokens.
Writes: results/{sweep}/tables/shifts.parquet.
"""

from idsweep.files.parquet import write_table
from idsweep.tables.shifts import collect_shifts
from idsweep.workflow.script import job

with job(snakemake) as run:
    files = zip(snakemake.input.estimates, snakemake.input.tokens, strict=True)
    write_table(snakemake.output.shifts, collect_shifts(files, run.settings["compared"]), run.provenance())
