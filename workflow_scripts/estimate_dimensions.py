"""Estimate the intrinsic dimension of one layer with every estimator of one set.

Reads: the neighbours file and, for estimators that need vectors, the embeddings file.
Writes: results/{sweep}/estimates/{set}/{model}/{checkpoint}/{dataset}/layer_{layer}.parquet.
"""

from idsweep.estimation import estimate_layer
from idsweep.jobs import job
from idsweep.neighbors import NeighborGraph
from idsweep.points import prepare_points
from idsweep.store import read_embeddings, read_neighbors, write_table

with job(snakemake, reads=[snakemake.input.neighbors]) as run:
    layer = int(snakemake.wildcards.layer)
    ids, indices, distances = read_neighbors(snakemake.input.neighbors, layer)
    vectors = None
    if hasattr(snakemake.input, "embeddings"):
        vectors = prepare_points(read_embeddings(snakemake.input.embeddings, layer), **run.settings["points"]).vectors
    table = estimate_layer(ids, NeighborGraph(indices, distances), vectors, run.settings["estimates"])
    identity = run.settings["identity"] | {"layer": layer}
    write_table(snakemake.output[0], table, run.provenance(identity=identity))
