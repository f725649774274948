"""Estimate the intrinsic dimension of one layer with every estimator of one set.

Reads: the neighbours file, the sampled tokens (for their sequences) and, for estimators that need vectors, the embeddings.
Writes: results/{sweep}/estimates/{set}/{model}/{checkpoint}/{dataset}/layer_{layer}.parquet.
"""

from idsweep import variants
from idsweep.estimation import Cloud, estimate_layer
from idsweep.jobs import about, job
from idsweep.neighbors import NeighborGraph
from idsweep.points import prepare_points
from idsweep.store import read_embeddings, read_neighbors, read_table, to_numpy, write_table
from idsweep.store import variants as held_variants

with job(snakemake, reads=[snakemake.input.neighbors]) as run:
    neighbors, layer = snakemake.input.neighbors, int(snakemake.wildcards.layer)
    sequences = to_numpy(read_table(snakemake.input.tokens)["sequence"])
    k = run.settings["neighbors"]["number"]

    def clouds():
        made = None
        if hasattr(snakemake.input, "embeddings"):
            vectors = prepare_points(
                read_embeddings(snakemake.input.embeddings, layer), **run.settings["points"]
            ).vectors
            made = variants.of_cloud(vectors, neighbors=k, **run.settings["variants"])
        for name in held_variants(neighbors, layer):
            ids, *graph = read_neighbors(neighbors, layer, name)
            groups = None if variants.is_null(name) else sequences[ids]
            yield Cloud(name, ids, groups, NeighborGraph(*graph), next(made).vectors if made else None)

    with about(f"{neighbors}, layer {layer}"):
        table = estimate_layer(clouds(), run.settings["estimates"], run.settings["tolerance"])
    identity = run.settings["identity"] | {"layer": layer}
    write_table(snakemake.output[0], table, run.provenance(identity=identity))
