"""Find the exact nearest neighbours of every point in each representation, in the data and in the variants asked for.

Reads: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet and the sampled tokens.
Writes: results/{sweep}/neighbors/{model}/{checkpoint}/{dataset}/{cloud}.parquet; its provenance tells of each
representation its extrinsic dimension and, of a noisy cloud, the Hausdorff distance to the clean one. A representation
with too few different points is left out; only estimates of it fail.
"""

import logging

from idsweep.files.parquet import provenance, read_table
from idsweep.files.vectors import NeighborsWriter
from idsweep.machine.devices import resolve
from idsweep.machine.uncounted import uncounted
from idsweep.neighbors import clouds, variants
from idsweep.neighbors.search import nearest_neighbors
from idsweep.workflow.script import about, job

log = logging.getLogger("idsweep.find_neighbors")

with job(snakemake, reads=[snakemake.input.embeddings]) as run:
    embeddings, k = snakemake.input.embeddings, run.settings["neighbors"]["number"]
    tokens, options = read_table(snakemake.input.tokens), run.settings["points"]
    device, share = resolve(snakemake.resources.device), snakemake.resources.gpu_memory
    n_parameters, facts = provenance(embeddings)["n_parameters"], {}
    with NeighborsWriter(snakemake.output[0], lambda: run.provenance(device=device, clouds=facts)) as file:
        for name in clouds.names(embeddings, combinations := run.settings["combinations"]):
            with about(f"{embeddings}, {name}"):
                points = clouds.read_cloud(embeddings, name, combinations, options, tokens)
                if len(points.rows) <= k:
                    # Often nobody measures it: masked tokens, before they know their places, are all the same vector.
                    log.warning("%s is left out: %d points are too few for %d neighbours", name, len(points.rows), k)
                    continue
                facts[name] = {"extrinsic_dimension": points.vectors.shape[1], "n_parameters": n_parameters}
                if options["noise"]:
                    # It counts for noisy clouds alone.
                    distance = uncounted("idsweep.neighbors.hausdorff").hausdorff_distance
                    clean = clouds.read_cloud(embeddings, name, combinations, {**options, "noise": 0}, tokens)
                    facts[name]["hausdorff"] = distance(clean.vectors, points.vectors, device)
                for variant in variants.of_cloud(points.vectors, neighbors=k, **run.settings["variants"]):
                    graph = nearest_neighbors(variant.vectors, k, device=device, memory_share=share)
                    file.write(name, variant.name, points.rows[variant.rows], graph.indices, graph.distances)
        if not facts:
            raise ValueError(
                f"{embeddings}: in the cloud {snakemake.wildcards.cloud!r} (points.tokens: {options['tokens']}) no "
                f"representation has more than {k} different points, too few for {k} neighbours. Raise points.number and "
                "tokens.number, choose other points.tokens, or lower neighbors.number."
            )
