"""From the states of one step to their local dimension, exactly as the workflow's jobs go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.estimators import registry as estimators
from idsweep.estimators.layer import Cloud, estimate_layer
from idsweep.files.parquet import to_numpy
from idsweep.live.states import States
from idsweep.neighbors.clouds import cloud_of
from idsweep.neighbors.neighborhoods import whole_graph
from idsweep.neighbors.search import nearest_neighbors
from idsweep.neighbors.variants import DATA


class Summary(NamedTuple):
    """The local dimension of one representation at one step: over the points where it is defined."""

    mean: float
    median: float
    standard_error: float
    n_points: int
    n_undefined: int
    extrinsic_dimension: int


class Estimator:
    """A local estimate of the states of a representation.

    name, parameters: of a local estimator, as in `estimator_sets` of a sweep. n_neighbors: L, and k of the neighbour graph. cloud: keys
    of `points` of a sweep.

    Raises ValueError if there is no such local estimator, or it has no such parameter.
    """

    def __init__(self, name: str, n_neighbors: int, cloud: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        if isinstance(n_neighbors, bool) or not isinstance(n_neighbors, int) or n_neighbors < 2:
            raise ValueError(f"n_neighbors: {n_neighbors!r} is no number of neighbours; give a whole number from 2 on.")
        estimator = estimators.get(name)
        if "local" not in estimator.scopes:
            raise ValueError(
                f"estimator: {name} is not local; choose one that gives each point a value, as twonn or mle."
            )
        known = estimator.parameters("local")
        if unknown := sorted(parameters.keys() - known.keys()):
            raise ValueError(f"estimator: {name} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))}.")
        given = dict(parameters) | ({"n_neighbors": n_neighbors} if "n_neighbors" in known else {})
        self.name, self.given = name, given
        self._k = max(n_neighbors, estimator.neighbors_needed(known | given))
        self._cloud = dict(cloud)
        self._estimate = {"name": name, "estimator": name, "scope": "local", "parameters": known | given}

    def check(self, n_points: int) -> None:
        """Raises ValueError if so many points are too few for the neighbours."""
        if n_points <= self._k:
            raise ValueError(
                f"{min(n_points, self._cloud['number'])} points are too few for {self._k} neighbours: give more texts, more points, or "
                "a smaller n_neighbors."
            )

    def __call__(self, name: str, states: States) -> tuple[Summary, pa.Table]:
        """The summary, and columns of `columns.ESTIMATES`: the value of each point and their mean.

        Raises ValueError if too few points differ.
        """
        points = cloud_of(states.vectors, states.ids, self._cloud, states.tokens, name)
        if len(points.rows) <= self._k:
            raise ValueError(
                f"{name} has {len(points.rows)} different points, too few for {self._k} neighbours: give more texts, more points or a "
                "smaller n_neighbors, or measure another layer."
            )
        graph = whole_graph(points.vectors, nearest_neighbors(points.vectors, self._k))
        groups = to_numpy(states.tokens["sequence"])[points.rows]
        table = estimate_layer([Cloud(DATA, points.rows, groups, graph, points.vectors)], [self._estimate])
        mean = table.filter(pc.equal(table["scope"], "mean")).to_pylist()[0]
        values = to_numpy(table.filter(pc.equal(table["scope"], "local"))["value"])
        values = values[~np.isnan(values)]
        median = float(np.median(values)) if len(values) else float("nan")
        summary = Summary(
            mean["value"],
            median,
            mean["standard_error"],
            mean["n_points"],
            mean["n_undefined"],
            points.vectors.shape[1],
        )
        return summary, table
