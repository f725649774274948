"""Find the exact nearest neighbours of every point in each representation, in the data and in the variants asked for.

Reads: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet and the sampled tokens.
Writes: results/{sweep}/neighbors/{model}/{checkpoint}/{dataset}/{cloud}.parquet.
"""

from idsweep.machine.devices import resolve
from idsweep.neighbors.search_file import search_file
from idsweep.workflow.script import job

read, given = snakemake.input, snakemake.resources
with job(snakemake, reads=[read.embeddings]) as run:
    search_file(
        read.embeddings,
        read.tokens,
        snakemake.output.neighbors,
        run.settings,
        run.provenance,
        cloud=snakemake.wildcards.cloud,
        device=resolve(given.device),
        memory_share=given.gpu_memory,
    )
