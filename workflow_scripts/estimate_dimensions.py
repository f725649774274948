"""Estimate the intrinsic dimension of one block of representations with every estimator of one set.

Reads: the neighbours file, the sampled tokens (for their sequences) and, for estimators that need vectors, the embeddings.
Writes: results/{sweep}/estimates/{set}/{model}/{checkpoint}/{dataset}/{cloud}/{layers}.parquet.
"""

from idsweep.estimators.block import estimate_block
from idsweep.files.vectors import write_estimates
from idsweep.workflow.script import job

read = snakemake.input
with job(snakemake, reads=[read.neighbors]) as run:
    estimates, identities = estimate_block(read.neighbors, read.tokens, read.get("embeddings"), run.settings)
    write_estimates(snakemake.output.estimates, estimates, identities, run.provenance())
