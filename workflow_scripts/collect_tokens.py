"""Collect the tables about single tokens of the whole sweep.

Reads: every results/{sweep}/token_tables/**/*.parquet.
Writes: results/{sweep}/tables/token_groups.parquet, token_extremes.parquet and loss_correlations.parquet.
"""

import pyarrow as pa
from idsweep.files.parquet import read_table, write_table
from idsweep.workflow.script import job

with job(snakemake) as run:
    for name in ("token_groups", "token_extremes", "loss_correlations"):
        # Entries of a vocabulary have no measures: nulls in the columns of those of texts.
        table = pa.concat_tables(map(read_table, snakemake.input[name]), promote_options="default")
        write_table(snakemake.output[name], table, run.provenance())
