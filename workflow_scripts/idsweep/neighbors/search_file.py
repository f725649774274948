"""The neighbours of every point cloud of an embeddings file, in the data and in the variants asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from idsweep.files.parquet import provenance, read_table
from idsweep.files.vectors import NeighborsWriter
from idsweep.machine.errors import about
from idsweep.machine.uncounted import uncounted
from idsweep.neighbors import clouds, variants
from idsweep.neighbors.neighborhoods import whole_graph
from idsweep.neighbors.search import nearest_neighbors

log = logging.getLogger(__name__)


def search_file(
    embeddings: str | Path,
    tokens: str | Path,
    output: str | Path,
    settings: Mapping[str, Any],
    provenance_of: Callable[..., dict[str, Any]],
    *,
    cloud: str,
    device: str,
    memory_share: float,
) -> None:
    """Find the exact nearest neighbours in each representation of an embeddings file, and write them.

    embeddings, tokens: Parquet files of vectors and of the sampled tokens behind them. settings: combinations, points,
    neighbors and variants, as the configuration has them. provenance_of: called with more facts: the device, and of each
    representation its extrinsic dimension and, of a noisy cloud, the Hausdorff distance to the clean one. cloud: its name. memory_share:
    of a GPU's memory.

    A representation with too few different points is left out; only estimates of it fail. Raises ValueError if that is so of
    all of them.
    """
    combinations, options, k = settings["combinations"], settings["points"], settings["neighbors"]["number"]
    sampled, n_parameters = read_table(tokens), provenance(embeddings)["n_parameters"]
    facts: dict[str, dict[str, Any]] = {}
    with NeighborsWriter(output, lambda: provenance_of(device=device, clouds=facts)) as file:
        for name in clouds.names(embeddings, combinations):
            with about(f"{embeddings}, {name}"):
                points = clouds.read_cloud(embeddings, name, combinations, options, sampled)
                if len(points.rows) <= k:
                    # Often nobody measures it: masked tokens, before they know their places, are all the same vector.
                    log.warning("%s is left out: %d points are too few for %d neighbours", name, len(points.rows), k)
                    continue
                facts[name] = {"extrinsic_dimension": points.vectors.shape[1], "n_parameters": n_parameters}
                if options["noise"]:
                    clean = clouds.read_cloud(embeddings, name, combinations, {**options, "noise": 0}, sampled)
                    distance = uncounted(
                        "idsweep.neighbors.hausdorff"
                    ).hausdorff_distance  # counts for noisy clouds alone
                    facts[name]["hausdorff"] = distance(clean.vectors, points.vectors, device)
                for variant in variants.of_cloud(points.vectors, neighbors=k, **settings["variants"]):
                    graph = nearest_neighbors(variant.vectors, k, device=device, memory_share=memory_share)
                    graph = whole_graph(variant.vectors, graph)
                    file.write(name, variant.name, points.rows[variant.rows], *graph, graph.fellows)
        if not facts:
            raise ValueError(
                f"{embeddings}: in the cloud {cloud!r} (points.tokens: {options['tokens']}) no representation has more than "
                f"{k} different points, too few for {k} neighbours. Raise points.number and tokens.number, choose other "
                "points.tokens, or lower neighbors.number."
            )
