"""Estimate the intrinsic dimension of one block of representations with every estimator of one set.

Reads: the neighbours file, the sampled tokens (for their sequences) and, for estimators that need vectors, the embeddings.
Writes: results/{sweep}/estimates/{set}/{model}/{checkpoint}/{dataset}/{cloud}/{layers}.parquet.
"""

from idsweep.estimators.layer import Cloud, estimate_layer
from idsweep.files.parquet import provenance, read_table, to_numpy
from idsweep.files.representations import layer_of
from idsweep.files.vectors import read_neighbors, write_estimates
from idsweep.files.vectors import variants as held_variants
from idsweep.machine.errors import about
from idsweep.neighbors import clouds, variants
from idsweep.neighbors.graph import NeighborGraph
from idsweep.workflow.script import job

with job(snakemake, reads=[snakemake.input.neighbors]) as run:
    neighbors, names = snakemake.input.neighbors, run.settings["representations"]
    tokens = read_table(snakemake.input.tokens)
    sequences = to_numpy(tokens["sequence"])
    k = run.settings["neighbors"]["number"]

    def measured(name):
        copies = None
        if hasattr(snakemake.input, "embeddings"):
            points = clouds.read_cloud(
                snakemake.input.embeddings, name, run.settings["combinations"], run.settings["points"], tokens
            )
            copies = variants.of_cloud(points.vectors, neighbors=k, **run.settings["variants"])
        for variant in held_variants(neighbors, name):
            ids, *graph = read_neighbors(neighbors, name, variant)
            groups = None if variants.is_null(variant) else sequences[ids]
            yield Cloud(variant, ids, groups, NeighborGraph(*graph), next(copies).vectors if copies else None)

    facts = provenance(neighbors)["clouds"]
    if missing := ", ".join(name for name in names if name not in facts):
        raise ValueError(
            f"{neighbors}, {missing}: there are no more than {k} different points, too few for {k} neighbours. Leave "
            f"{missing} out of `layers`, raise points.number and tokens.number, or lower neighbors.number."
        )
    estimates = {}
    for name in names:
        with about(f"{neighbors}, {name}"):
            estimates[name] = estimate_layer(measured(name), run.settings["estimates"], run.settings["tolerance"])
    identities = {name: run.settings["identity"] | {"layer": layer_of(name)} | facts[name] for name in names}
    write_estimates(snakemake.output[0], estimates, identities, run.provenance())
