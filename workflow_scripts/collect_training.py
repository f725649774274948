"""Collect the training curves of all models that the sweep trains, and metrics that come from elsewhere.

Reads: results/{sweep}/training/{model}/metrics.parquet, and the files that the sweep names.
Writes: results/{sweep}/tables/training.parquet.
"""

import json

from idsweep.files.parquet import read_table, write_table
from idsweep.tables.brought import read_metric
from idsweep.tables.collect import training_curves
from idsweep.workflow.script import job

with job(snakemake) as run:
    trained = zip(run.settings["trained"], map(read_table, snakemake.input.metrics), strict=True)
    files = zip(run.settings["brought"], json.loads(snakemake.resources.brought), strict=True)
    brought = [(whose, read_metric(file, whose["metric"])) for whose, file in files]
    write_table(snakemake.output[0], training_curves([*trained, *brought]), run.provenance())
