"""Collect the mean loss of each checkpoint on each dataset.

Reads: every results/{sweep}/predictions/**/*.parquet, and the sampled tokens.
Writes: results/{sweep}/tables/losses.parquet.
"""

from idsweep.jobs import job
from idsweep.store import read_table, write_table
from idsweep.tables import PASS, identified
from idsweep.token_tables import mean_loss

with job(snakemake) as run:
    read = zip(run.settings["rows"], snakemake.input.predictions, snakemake.input.tokens, strict=True)
    rows = [
        (identity, mean_loss(read_table(predictions), read_table(tokens))) for identity, predictions, tokens in read
    ]
    write_table(snakemake.output[0], identified(rows, PASS), run.provenance())
