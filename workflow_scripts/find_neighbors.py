"""Find the exact nearest neighbours of every point, layer by layer.

Reads: results/{sweep}/embeddings/{model}/{checkpoint}/{dataset}.parquet.
Writes: results/{sweep}/neighbors/{model}/{checkpoint}/{dataset}.parquet.
"""

from idsweep.devices import resolve
from idsweep.jobs import job
from idsweep.neighbors import nearest_neighbors
from idsweep.points import prepare_points
from idsweep.store import NeighborsWriter, layers, read_embeddings, read_points

with job(snakemake, reads=[snakemake.input.embeddings]) as run:
    device = resolve(snakemake.resources.device)
    with NeighborsWriter(snakemake.output[0], lambda: run.provenance(device=device)) as file:
        for layer in layers(snakemake.input.embeddings):
            points = prepare_points(read_embeddings(snakemake.input.embeddings, layer), **run.settings["points"])
            graph = nearest_neighbors(points.vectors, run.settings["neighbors"]["number"], device=device)
            ids = read_points(snakemake.input.embeddings, layer)[points.rows]
            file.write(layer, ids, graph.indices, graph.distances)
