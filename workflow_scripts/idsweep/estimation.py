"""All estimates of one layer, as one tidy table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from idsweep.estimators import estimate_global, estimate_local
from idsweep.neighbors import NeighborGraph
from idsweep.store import ESTIMATES

logger = logging.getLogger(__name__)


def estimate_layer(
    ids: np.ndarray, graph: NeighborGraph, vectors: np.ndarray | None, estimates: Sequence[Mapping[str, Any]]
) -> pa.Table:
    """Every estimate that is asked for, in the columns of `store.ESTIMATES`.

    ids: int32 (N,), the sampled token behind each point. graph: of N points. vectors: (N, D), or None
    if no estimator needs them. estimates: mappings with name, estimator, scope and parameters.
    `n_undefined` counts the points at which an estimator is undefined: NaN values of a local one, points
    that a global one had to leave out.

    Raises ValueError if an estimator cannot be computed on this cloud.
    """
    parts = []
    for wanted in estimates:
        estimator, parameters = wanted["estimator"], wanted["parameters"]
        n_neighbors = parameters.get("n_neighbors")
        if wanted["scope"] == "local":
            values = estimate_local(vectors, estimator, graph=graph, **parameters)
            errors, points, n_points = np.full(len(values), np.nan), ids, len(values)
            n_undefined = int(np.isnan(values).sum())
        else:
            estimate = estimate_global(vectors, estimator, graph=graph, **parameters)
            values, errors, points = [estimate.value], [estimate.standard_error], [None]
            n_points, n_undefined = estimate.n_points, estimate.n_undefined
        if n_undefined:
            logger.warning(
                "%s (%s) is undefined at %d of %d points", wanted["name"], wanted["scope"], n_undefined, n_points
            )
        rows = len(values)
        columns = [
            [wanted["name"]] * rows,
            [wanted["scope"]] * rows,
            points,
            values,
            errors,
            [n_points] * rows,
            [n_undefined] * rows,
            [n_neighbors] * rows,
        ]
        parts.append(
            pa.Table.from_arrays(
                [pa.array(column, field.type) for column, field in zip(columns, ESTIMATES, strict=True)],
                schema=ESTIMATES,
            )
        )
    return pa.concat_tables(parts)
