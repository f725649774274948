"""Tell which tokens have high or low local dimension, and how that goes with what the model makes of them.

Reads: the estimates of one set at all representations of a cloud, the sampled tokens and, of texts, their sequences and
what the model makes of them.
Writes: results/{sweep}/token_tables/{set}/{model}/{checkpoint}/{dataset}/{cloud}/: token_groups.parquet,
token_extremes.parquet and loss_correlations.parquet.
"""

from idsweep.files.parquet import write_table
from idsweep.tables.describe import describe_tokens
from idsweep.workflow.script import job

read = snakemake.input
with job(snakemake) as run:
    tables = describe_tokens(read.estimates, read.tokens, read.get("sequences"), read.get("predictions"))
    for name, table in tables.items():
        write_table(snakemake.output[name], table, run.provenance())
