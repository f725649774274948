"""Collect the estimates of the whole sweep into one tidy table.

Reads: every results/{sweep}/estimates/**/layer_*.parquet.
Writes: results/{sweep}/tables/local.parquet (summaries of the pointwise estimates) or global.parquet.
"""

from idsweep.jobs import job
from idsweep.store import write_table
from idsweep.tables import global_estimates, local_summaries

with job(snakemake) as run:
    collect = {"local": local_summaries, "global": global_estimates}[run.settings["scope"]]
    write_table(snakemake.output[0], collect(snakemake.input), run.provenance())
