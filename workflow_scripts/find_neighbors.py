"""Find the exact nearest neighbours of every point, layer by layer, in the data and in the variants asked for.

Reads: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet.
Writes: results/{sweep}/neighbors/{model}/{checkpoint}/{dataset}.parquet.
"""

from idsweep import variants
from idsweep.devices import resolve
from idsweep.jobs import about, job
from idsweep.neighbors import nearest_neighbors
from idsweep.points import prepare_points
from idsweep.store import NeighborsWriter, layers, read_embeddings, read_points

with job(snakemake, reads=[snakemake.input.embeddings]) as run:
    embeddings, k = snakemake.input.embeddings, run.settings["neighbors"]["number"]
    device, share = resolve(snakemake.resources.device), snakemake.resources.gpu_memory
    with NeighborsWriter(snakemake.output[0], lambda: run.provenance(device=device)) as file:
        for layer in layers(embeddings):
            with about(f"{embeddings}, layer {layer}"):
                points = prepare_points(read_embeddings(embeddings, layer), **run.settings["points"])
                ids = read_points(embeddings, layer)[points.rows]
                for variant in variants.of_cloud(points.vectors, neighbors=k, **run.settings["variants"]):
                    graph = nearest_neighbors(variant.vectors, k, device=device, memory_share=share)
                    file.write(layer, variant.name, ids[variant.rows], graph.indices, graph.distances)
