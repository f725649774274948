"""Collect the training curves of all models that the sweep trains.

Reads: results/{sweep}/training/{model}/metrics.parquet.
Writes: results/{sweep}/tables/training.parquet.
"""

from idsweep.jobs import job
from idsweep.store import write_table
from idsweep.tables import training_curves

with job(snakemake) as run:
    write_table(snakemake.output[0], training_curves(snakemake.input), run.provenance())
