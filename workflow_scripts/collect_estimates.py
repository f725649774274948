"""Collect the estimates of the whole sweep into tidy tables.

Reads: every results/{sweep}/estimates/**/*.parquet.
Writes: results/{sweep}/tables/local.parquet (summaries of the pointwise estimates) and global.parquet.
"""

from idsweep.files.parquet import write_table
from idsweep.tables.collect import collect_estimates
from idsweep.workflow.script import job

with job(snakemake) as run:
    tables = collect_estimates(snakemake.input.estimates)
    write_table(snakemake.output.local, tables.local, run.provenance())
    write_table(snakemake.output["global"], tables.global_, run.provenance())
