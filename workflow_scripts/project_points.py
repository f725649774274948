"""Project the hidden states of each measured representation to their two first principal components.

Reads: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet.
Writes: results/{sweep}/maps/{model}/{checkpoint}/{dataset}.parquet.
"""

from idsweep.neighbors.project_file import project_file
from idsweep.workflow.script import job

read = snakemake.input
with job(snakemake, reads=[read.embeddings]) as run:
    project_file(read.embeddings, snakemake.output.map, run.settings, run.provenance)
