"""Collect the mean loss of each checkpoint on each dataset.

Reads: every results/{sweep}/predictions/**/*.parquet, and the sampled tokens.
Writes: results/{sweep}/tables/losses.parquet.
"""

from idsweep.files.columns import PASS
from idsweep.files.parquet import read_table, write_table
from idsweep.tables.collect import identified
from idsweep.tables.token_tables import LOSSES, mean_loss
from idsweep.workflow.script import job

with job(snakemake) as run:
    read = zip(run.settings["rows"], snakemake.input.predictions, snakemake.input.tokens, strict=True)
    rows = [
        (identity, mean_loss(read_table(predictions), read_table(tokens))) for identity, predictions, tokens in read
    ]
    none = [({}, LOSSES.empty_table())]  # of a sweep that predicts no tokens, whose figures read an empty table
    write_table(snakemake.output[0], identified(rows or none, PASS), run.provenance())
