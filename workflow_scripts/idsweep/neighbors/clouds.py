"""From an embeddings file to the point cloud of one representation."""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.data.pieces import parts
from idsweep.files import parquet
from idsweep.files.representations import Combination, combine, of_layer
from idsweep.files.vectors import read_embeddings, read_points, representations
from idsweep.neighbors.points import Points, prepare_points

log = logging.getLogger(__name__)

TOKENS = re.compile(r"count(>=|<|=)(\d+)")  # those values of `points: tokens:` that count
COMPARE = {">=": operator.ge, "<": operator.lt, "=": operator.eq}


def names(path: str | Path, combinations: Sequence[str]) -> list[str]:
    """The representations of an embeddings file: those it holds, and combinations of its layers."""
    return [*representations(path), *combinations]


def read_cloud(
    path: str | Path,
    name: str,
    combinations: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    tokens: pa.Table,
) -> Points:
    """The prepared point cloud of one representation; `rows` are ids of sampled tokens (`point`).

    combinations: name -> layers and by, as of `Combination`. options: those of `prepare_points`, and tokens and sequences,
    as of `chosen`, which are applied first. tokens: columns of `columns.POINTS`.

    Raises ValueError as `prepare_points` and `chosen` do, or if the file does not hold the representation.
    """
    read = partial(read_embeddings, path)
    if name in combinations:
        combination = Combination(**combinations[name])
        vectors, stored_name = combine(combination, read), of_layer(combination.layers[0])
    else:
        vectors, stored_name = read(name), name
    return cloud_of(vectors, read_points(path, stored_name), options, tokens, name)


def cloud_of(
    vectors: np.ndarray, ids: np.ndarray, options: Mapping[str, Any], tokens: pa.Table, name: str = "the states"
) -> Points:
    """The prepared point cloud of vectors (M, D) of the sampled tokens `ids`, int32 (M,); see `read_cloud`."""
    options = dict(options)
    selected = chosen(tokens, options.pop("tokens"), options.pop("sequences"), options["seed"])
    if not selected.all():
        kept = selected[ids]
        ids, vectors = ids[kept], vectors[kept]
    points = prepare_points(vectors, order=parquet.to_numpy(tokens["drawn"])[ids], what=f"vectors of {name}", **options)
    return points._replace(rows=ids[points.rows])


def chosen(tokens: pa.Table, which: str, sequences: int | None, seed: int) -> np.ndarray:
    """Which of the sampled tokens a cloud may be drawn from, bool (M,).

    which: all; text or special; word_start or continuation, by the form of the piece (`pieces.parts`); or `count>=n`,
    `count<n`, `count=n`, by how often the token comes in the texts; a token without a count is in none of these. sequences: of that many, drawn by PCG64([seed, 1]);
    more sequences hold all of fewer.

    Raises ValueError if no token is left, or tokens were not counted.
    """
    selected = np.ones(len(tokens), dtype=bool)
    if match := TOKENS.fullmatch(which) if which.startswith("count") else None:
        if tokens["count"].null_count == len(tokens):
            raise ValueError(f"points.tokens: {which!r} needs counts; name a dataset in vocabulary.counted_in.")
        count = parquet.to_numpy(pc.fill_null(tokens["count"], -1))
        selected = (count >= 0) & COMPARE[match[1]](count, int(match[2]))
    elif which != "all":
        part = parts(tokens)
        selected = part != "special" if which == "text" else part == which
    if sequences is not None:
        of_point = parquet.to_numpy(tokens["sequence"])
        sequences_of_points = np.unique(of_point)
        if sequences > len(sequences_of_points):
            log.warning(
                "points.sequences = %d, but only %d sequences were sampled: all are used",
                sequences,
                len(sequences_of_points),
            )
        drawn = np.random.Generator(np.random.PCG64([seed, 1])).permutation(sequences_of_points)[:sequences]
        selected = selected & np.isin(of_point, drawn)
    if not selected.any():
        raise ValueError(f"points.tokens: none of the {len(tokens)} sampled tokens is of {which!r}.")
    return selected
