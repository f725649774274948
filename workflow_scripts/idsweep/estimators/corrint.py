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
from idsweep.statistics.uncertainty import linear_error

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

    standard_error: to first order, from what each point, or group of points, adds to the counts, and from how it
    moves r1 and r2; see `_error`. In simulations (100 to 1,500 points, also of uneven density or in groups) it is 1.0
    to 1.3 times the true spread, and 1.0 to 1.6 times for samples of a trained model's hidden states.
    """
    distances, number = graph.distances, len(graph.distances)
    r1, r2 = np.median(distances[:, [k1 - 1, k2 - 1]], axis=0)
    undefined = Estimate(np.nan, np.nan, number, 0)
    if not 0 < r1 < r2 * NEARER:
        return undefined
    radii = np.array([r1, np.sqrt(r1) * np.sqrt(r2), r2]) * NEARER
    labels = np.arange(number) if groups is None else groups
    near, together = _counts(X, graph, radii, labels)
    low, middle, high = near.sum(axis=0)
    if low == 0:
        return undefined
    span = np.log(r2 / r1)
    # how much steeper log C is in the upper half of the span, on log r, than in the lower half
    bend = np.log(high / middle * (low / middle)) / (span / 2)
    moves = sum(_move(graph, k, counts) for k, counts in ((k1, near[:, 0]), (k2, near[:, 2])))
    error = _error(near[:, ::2], together[:, ::2], bend * moves, groups) / span
    return Estimate(float(np.log(high / low) / span), float(error), number, 0)


def _error(near: np.ndarray, together: np.ndarray, moved: np.ndarray, groups: np.ndarray | None) -> float:
    """Standard error of log(C(r2) / C(r1)).

    near: int (N, 2), each point's neighbours within r1 and r2; together: those of its own group. moved: float64
    (N,), what each point adds by moving r1 and r2, times N.

    With both radii held, the logarithm is to first order a sum over pairs. Two pairs depend on each other if they
    share a point or a group: the squared sums of the pairs that touch each point count every such product once,
    but the square of a pair twice, and it is taken off once (Aronow, Samii & Assenova 2015, Cluster-robust variance
    estimation for dyadic data, arXiv:1312.3398). Without that the error is 1.4 times too large where density is even.
    Holding the radii makes it too small where density is uneven, down to 0.5 times. At least the error of independent
    pairs is given.
    """
    number = len(near)
    first, second = 2 / near.sum(axis=0)  # what one pair weighs in log C(r1) and in log C(r2)
    touching = near - together / 2  # pairs within a group touch it once, not from both ends
    influence = number * (touching @ [-first, second]) + moved
    within, beyond = np.diff((near - together).sum(axis=0) / 2, prepend=0)
    pairs = within * (second - first) ** 2 + beyond * second**2
    return float(np.sqrt(np.maximum(linear_error(influence, groups) ** 2 - pairs, pairs)))


def _move(graph: NeighborGraph, k: int, counts: np.ndarray) -> np.ndarray:
    """First-order change of log r by each point, times N, r the median of the distances to the k-th neighbour.

    float64 (N,). counts: int (N,), each point's neighbours within r. A point moves the median by its own place
    above or below it, and by bringing k neighbours within r to those that lack few of them (up to a third of k,
    averaged).
    """
    width = max(1, k // 3)
    lacking = np.flatnonzero((counts < k) & (counts >= k - width))
    present = np.arange(graph.indices.shape[1]) < counts[lacking, None]
    brought = np.bincount(graph.indices[lacking][present], minlength=len(counts)) / width
    low, median, high = np.quantile(graph.distances[:, k - 1], [0.4, 0.5, 0.6])
    return -((counts >= k) + brought) * (high - low) / (0.2 * median)


def _counts(
    X: np.ndarray, graph: NeighborGraph, radii: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many others are nearer to each point than each radius, and how many of them have its label.

    Two int64 (N, radii); the last radius is the largest.
    """
    same = labels[graph.indices] == labels[:, None]
    inside = [graph.distances < radius for radius in radii]
    near = np.stack([part.sum(axis=1) for part in inside], axis=1)
    together = np.stack([(part & same).sum(axis=1) for part in inside], axis=1)
    short = np.flatnonzero(inside[-1][:, -1])
    if len(short):
        near[short], together[short] = _counts_among_all(X, short, radii, labels)
    return near, together


def _counts_among_all(
    X: np.ndarray, points: np.ndarray, radii: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`_counts` for some points, by inner products of the centred cloud in float64, exact where these leave it open."""
    from idsweep.machine.compiled import in_threads, one_blas_thread
    from idsweep.neighbors import kernels

    mean, scale = center_and_scale(X)
    unit, slope = unit_and_slope(np.float64, X.shape[1])
    # three inner products, the centring and the exact distance, each in units of (|x| + |y|)² <= 2 (|x|² + |y|²)
    slack = 4 * slope + 16 * unit
    near, together = np.zeros((2, len(points), len(radii)), dtype=np.int64)

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
                kernels.count_near(X, points, *block, scale, slack, radii, labels, row0, end, near, together)

    with one_blas_thread():
        in_threads(count, len(points))
    return near, together


def _check(parameters: Mapping[str, Any]) -> None:
    k1, k2 = parameters["k1"], parameters["k2"]
    if k1 >= k2:
        raise ValueError(f"k1 = {k1} must be below k2 = {k2}.")


ESTIMATOR = Estimator(
    name="corrint",
    global_=global_,
    vectors=frozenset({"global"}),
    neighbors=lambda parameters: parameters["k2"],
    ranges={"k1": Whole(1), "k2": Whole(2)},
    check=_check,
)
