"""Compare the local estimates of checkpoints and of layers with each other, token by token.

Reads: the local estimates, and the sampled tokens.
Writes: results/{sweep}/tables/contrasts.parquet.
"""

from idsweep.files.parquet import write_table
from idsweep.tables.contrasts import collect_contrasts
from idsweep.workflow.script import job

with job(snakemake) as run:
    files = [*zip(snakemake.input.estimates, snakemake.input.tokens, strict=True)]
    write_table(snakemake.output.contrasts, collect_contrasts(files, run.settings["ends"]), run.provenance())
