"""Take rows of one checkpoint's embedding matrices: no text and no forward pass.

Reads: the sampled entries of the vocabulary, the checkpoint's weights (or a file of static word vectors).
Writes: results/{sweep}/embeddings/{model}/{checkpoint}/vocabulary.parquet.
"""

from functools import partial

from idsweep.files.parquet import read_table, to_numpy
from idsweep.files.vectors import EmbeddingsWriter
from idsweep.models.checkpoint_disk import measuring
from idsweep.models.folders import commit_of
from idsweep.models.vocabulary import load_matrices, take_rows
from idsweep.workflow.script import job

given, read = snakemake.resources, snakemake.input
with job(snakemake, reads=[read.tokens, *read.training]) as run, measuring(given.adapter or given.weights):
    tokens = read_table(read.tokens)
    points, ids = to_numpy(tokens["point"]), to_numpy(tokens["token_id"])
    matrices, n_parameters = load_matrices(run.settings, given.weights, given.adapter)
    commits = {"commit": commit_of(given.weights), "adapter_commit": commit_of(given.adapter)}
    provenance = partial(run.provenance, n_parameters=n_parameters, **commits)
    with EmbeddingsWriter(snakemake.output.embeddings, provenance, run.settings["storage"]) as file:
        for name, matrix in matrices.items():
            file.write(points, {name: take_rows(matrix, ids)})
