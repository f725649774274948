"""All estimates of one layer, as one tidy table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from idsweep.estimators import registry as estimators
from idsweep.estimators.registry import Estimate
from idsweep.files.columns import ESTIMATES
from idsweep.files.parquet import constant, to_arrow
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.variants import DATA, is_null

logger = logging.getLogger(__name__)

# A value is compared with those at up to this many times coarser scales: N / 4, or GRIDE's 4 n1.
COARSER = 4


class Cloud(NamedTuple):
    """One variant of a layer.

    variant: its name, "data" for the data themselves. ids: int32 (N,), the sampled token behind each point. groups:
    int (N,), the sequence of that token, or None where points are independent. graph: of N points. vectors:
    (N, D), or None if no estimator needs them.
    """

    variant: str
    ids: np.ndarray
    groups: np.ndarray | None
    graph: NeighborGraph
    vectors: np.ndarray | None


@dataclass
class _Row:
    """One row of the table, but for local values: those of a whole cloud."""

    name: str
    scope: str
    variant: str
    coarser: int  # than the estimate asked for, as a factor in the number of points; 0 if not comparable
    estimate: Estimate
    n_neighbors: int | None
    scale: float
    points: np.ndarray | None = None
    values: np.ndarray | None = None
    errors: np.ndarray | None = None
    stable: bool | None = None


def estimate_layer(clouds: Iterable[Cloud], estimates: Sequence[Mapping[str, Any]], tolerance: float = 0.1) -> pa.Table:
    """Every estimate that is asked for, on every cloud, in the columns of `columns.ESTIMATES`.

    estimates: mappings with name, estimator, scope and parameters. A local estimate has a row for each point (scope
    "local") and one for their mean ("mean"); an estimator with scales of its own (GRIDE) has further rows on the data,
    whose variant names the scale.

    `n_undefined` counts the points at which an estimator is undefined: NaN values of a local one, points that a global
    one had to leave out. `scale` is the mean distance to the farthest neighbour that the estimate looks at. On the data,
    `scale_stable` tells whether the mean or global value differs by at most `tolerance` (a share of it) from every value
    at up to four times coarser scales: on half and a quarter of the points, and at twice and four times GRIDE's n1; it is
    null where none of them was measured, and for local values and other variants.

    Raises ValueError if an estimator cannot be computed on one of the clouds.
    """
    rows = [row for cloud in clouds for estimate in estimates for row in _rows(cloud, estimate)]
    for row in rows:
        if row.variant == DATA:
            row.stable = _stable(row, rows, tolerance)
        if row.estimate.n_undefined:
            logger.warning(
                "%s (%s, %s) is undefined at %d of %d points",
                *(row.name, row.scope, row.variant, row.estimate.n_undefined, row.estimate.n_points),
            )
    return pa.concat_tables([table for row in rows for table in _tables(row)])


def _rows(cloud: Cloud, asked_estimate: Mapping[str, Any]) -> Iterator[_Row]:
    """The rows of one estimate on one cloud: a single one, or one for each of the estimator's own scales."""
    name, scope, parameters = asked_estimate["name"], asked_estimate["scope"], asked_estimate["parameters"]
    estimator = estimators.get(asked_estimate["estimator"])
    times = int(cloud.variant.removeprefix(f"{DATA}/")) if cloud.variant.startswith(f"{DATA}/") else 1
    scales = {cloud.variant: (0 if is_null(cloud.variant) else times, parameters)}
    if cloud.variant == DATA and estimator.coarser is not None:
        coarser = estimator.coarser(parameters, cloud.graph.indices.shape[1])
        scales |= {label: (2**power, coarse) for power, (label, coarse) in enumerate(coarser.items(), 1)}
    for variant, (factor, used) in scales.items():
        needed = estimator.neighbors_needed(used)
        scale = float(cloud.graph.distances[:, needed - 1].mean()) if needed else np.nan
        row = {"name": name, "variant": variant, "coarser": factor, "scale": scale}
        row["n_neighbors"] = needed or None
        try:
            if scope == "global":
                estimate = estimators.estimate_global(
                    cloud.vectors, estimator.name, graph=cloud.graph, groups=cloud.groups, **used
                )
                yield _Row(scope="global", estimate=estimate, **row)
            else:
                values, mean = estimators.estimate_local_and_mean(
                    cloud.vectors, estimator.name, graph=cloud.graph, groups=cloud.groups, **used
                )
                local = {"values": values, "errors": estimator.errors_of(values, used)}
                local["points"] = None if is_null(cloud.variant) else cloud.ids
                yield _Row(scope="mean", estimate=mean, **row, **local)
        except ValueError as error:
            raise ValueError(f"{name} ({scope}) on {variant}, {len(cloud.ids)} points: {error}") from error


def _stable(row: _Row, rows: Sequence[_Row], tolerance: float) -> bool | None:
    compared = [
        other.estimate.value
        for other in rows
        if (other.name, other.scope) == (row.name, row.scope) and 1 < other.coarser <= COARSER
    ]
    value = row.estimate.value
    if not compared or np.isnan(value):
        return None
    return all(abs(other - value) <= tolerance * value for other in compared)


def _tables(row: _Row) -> Iterator[pa.Table]:
    if row.values is not None:
        yield _table(row, "local", row.points, row.values, row.errors, None)
    estimate = row.estimate
    yield _table(row, row.scope, None, np.array([estimate.value]), np.array([estimate.standard_error]), row.stable)


def _table(
    row: _Row, scope: str, points: np.ndarray | None, values: np.ndarray, errors: np.ndarray, stable: bool | None
) -> pa.Table:
    same = {
        "estimator": row.name,
        "scope": scope,
        "variant": row.variant,
        "n_points": row.estimate.n_points,
        "n_undefined": row.estimate.n_undefined,
        "n_neighbors": row.n_neighbors,
        "scale": row.scale,
        "scale_stable": stable,
    }
    columns = {
        field.name: constant(same[field.name], field.type, len(values)) for field in ESTIMATES if field.name in same
    }
    columns["point"] = constant(None, pa.int32(), len(values)) if points is None else to_arrow(points, pa.int32())
    columns["value"] = to_arrow(values, pa.float64())
    columns["standard_error"] = to_arrow(errors, pa.float64())
    return pa.Table.from_arrays([columns[field.name] for field in ESTIMATES], schema=ESTIMATES)
