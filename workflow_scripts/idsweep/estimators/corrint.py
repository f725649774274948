"""Correlation dimension: how the share of near pairs grows with the distance that counts as near.

Grassberger & Procaccia (1983), Measuring the strangeness of strange attractors, doi:10.1016/0167-2789(83)90298-1;
between the radii of scikit-dimension's CorrInt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from idsweep.estimators.ranges import Whole
from idsweep.estimators.ratios import TIED
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph, center_and_scale, unit_and_slope

BLOCK = 512
# A pair at distance r is not nearer than r.
NEARER = 1 - TIED


def global_(
    X: np.ndarray,
    graph: NeighborGraph,
    groups: np.ndarray | None = None,
    *,
    k1: int = 10,
    k2: int = 20,
) -> Estimate:
    """Correlation dimension of the cloud: log(C(r2) / C(r1)) / log(r2 / r1), with C(r) the share of pairs nearer than r.

    r1, r2: the medians of the distances to the k1-th and k2-th neighbour. Duplicates are near pairs. The value is
    NaN if r1 = 0 or r1 = r2, or if no pair is nearer than r1. Pairs are counted in the graph; a point has near ones
    beyond it only if its last neighbour is nearer than r2, and only such points are compared with all others: with
    k2 neighbours in the graph about half of them, fewer with more.

    No standard error: r1 and r2 are medians, which jump where half of the points lie in denser regions, or in regions of
    another dimension, than the others; in mixtures of two dimensions and in clusters, errors that hold in clouds of one
    dimension are less than half of the true ones.
    """
    distances, number = graph.distances, len(graph.distances)
    r1, r2 = np.median(distances[:, [k1 - 1, k2 - 1]], axis=0)
    undefined = Estimate(np.nan, np.nan, number, 0)
    if not 0 < r1 < r2 * NEARER:
        return undefined
    low, high = _counts(X, graph, np.array([r1, r2]) * NEARER).sum(axis=0)
    if low == 0:
        return undefined
    return Estimate(float(np.log(high / low) / np.log(r2 / r1)), np.nan, number, 0)


def _counts(X: np.ndarray, graph: NeighborGraph, radii: np.ndarray) -> np.ndarray:
    """How many others are nearer to each point than each radius, the last of which is the largest; int64 (N, radii)."""
    inside = [graph.distances < radius for radius in radii]
    near = np.stack([part.sum(axis=1) for part in inside], axis=1)
    short = np.flatnonzero(inside[-1][:, -1])
    if len(short):
        near[short] = _counts_among_all(X, short, radii)
    return near


def _counts_among_all(X: np.ndarray, points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """`_counts` for some points, by inner products of the centred cloud in float64, exact where these leave it open."""
    from idsweep.machine.compiled import in_threads, one_blas_thread
    from idsweep.neighbors import kernels

    mean, scale = center_and_scale(X)
    unit, slope = unit_and_slope(np.float64, X.shape[1])
    # three inner products, the centring and the exact distance, each in units of (|x| + |y|)² <= 2 (|x|² + |y|²)
    slack = 4 * slope + 16 * unit
    near = np.zeros((len(points), len(radii)), dtype=np.int64)

    def centred(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = (part - mean) * scale
        return part, np.einsum("ij,ij->i", part, part)

    def count(start: int, stop: int) -> None:
        for row0 in range(start, stop, BLOCK):
            end = min(row0 + BLOCK, stop)
            rows, own = centred(X[points[row0:end]])
            for column0 in range(0, len(X), BLOCK):
                columns, others = centred(X[column0 : column0 + BLOCK])
                block = (column0, rows @ columns.T, own, others)
                kernels.count_near(X, points, *block, scale, slack, radii, row0, end, near)

    with one_blas_thread():
        in_threads(count, len(points))
    return near


def _check(parameters: Mapping[str, Any]) -> None:
    k1, k2 = parameters["k1"], parameters["k2"]
    if k1 >= k2:
        raise ValueError(f"k1 = {k1} must be below k2 = {k2}.")


ESTIMATOR = Estimator(
    name="corrint",
    global_=global_,
    vectors=frozenset({"global"}),
    memory=lambda number, dimension: 8.0 * BLOCK * (3 * min(BLOCK, number) + 6 * dimension),
    neighbors=lambda parameters: parameters["k2"],
    ranges={"k1": Whole(1), "k2": Whole(2)},
    check=_check,
)
