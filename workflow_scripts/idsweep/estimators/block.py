"""The estimates of a block of representations, from the files of their neighbours and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from idsweep.estimators.layer import Cloud, estimate_layer
from idsweep.files.parquet import provenance, read_table, to_numpy
from idsweep.files.representations import layer_of
from idsweep.files.vectors import read_fellows, read_neighbors
from idsweep.files.vectors import variants as variants_in
from idsweep.machine.errors import about
from idsweep.neighbors import clouds, variants
from idsweep.neighbors.graph import Fellows, WholeGraph


def estimate_block(
    neighbors: str | Path, tokens: str | Path, embeddings: str | Path | None, settings: Mapping[str, Any]
) -> tuple[dict[str, pa.Table], dict[str, dict[str, Any]]]:
    """The estimates of each representation of a block, and what identifies it.

    neighbors, tokens, embeddings: Parquet files of neighbour graphs, of the sampled tokens behind the points, and of vectors; no
    embeddings where no estimator needs vectors. settings: representations, estimates, tolerance, identity, and what made the
    clouds (combinations, points, neighbors, variants).

    Returns representation -> columns of `columns.ESTIMATES`, and representation -> identity.
    Raises ValueError if the neighbours of a representation are missing, or an estimator cannot be computed.
    """
    names, facts = settings["representations"], provenance(neighbors)["clouds"]
    if missing := ", ".join(name for name in names if name not in facts):
        k = settings["neighbors"]["number"]
        raise ValueError(
            f"{neighbors}, {missing}: there are no more than {k} different points, too few for {k} neighbours. Leave "
            f"{missing} out of `layers`, raise points.number and tokens.number, or lower neighbors.number."
        )
    sampled = read_table(tokens)
    estimates = {}
    for name in names:
        with about(f"{neighbors}, {name}"):
            measured = _clouds(name, neighbors, sampled, embeddings, settings)
            estimates[name] = estimate_layer(measured, settings["estimates"], settings["tolerance"])
    return estimates, {name: settings["identity"] | {"layer": layer_of(name)} | facts[name] for name in names}


def _clouds(
    name: str, neighbors: str | Path, tokens: pa.Table, embeddings: str | Path | None, settings: Mapping[str, Any]
) -> Iterator[Cloud]:
    """The data of a representation and its variants, with their neighbour graphs; vectors are made anew where they are needed."""
    sequences, made_anew = to_numpy(tokens["sequence"]), None
    if embeddings is not None:
        points = clouds.read_cloud(embeddings, name, settings["combinations"], settings["points"], tokens)
        number = settings["neighbors"]["number"]
        made_anew = variants.of_cloud(points.vectors, neighbors=number, **settings["variants"])
    for variant in variants_in(neighbors, name):
        ids, *lists = read_neighbors(neighbors, name, variant)
        graph = WholeGraph(*lists, Fellows(*read_fellows(neighbors, name, variant)))
        groups = None if variants.is_null(variant) else sequences[ids]
        yield Cloud(variant, ids, groups, graph, next(made_anew).vectors if made_anew else None)
