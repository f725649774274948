"""Dimensions that are read off the eigenvalues of a cloud's covariance, and their standard errors.

The eigenvalues come from the D × D covariance or, with fewer points than coordinates, from the N × N matrix of inner
products, which has the same ones but for zeros. Either is divided by its trace: what is read off it must not depend
on the scale of the cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from idsweep.estimators.ranges import Flag, Whole
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph, center_and_scale, unit_of
from idsweep.statistics.uncertainty import random_signs, second_order_error

BATCH_BYTES = 32 * 2**20
SHIFT = 0.5  # of the weights of points; half of what drawing the points anew does, so that none loses all weight

Rule = Callable[[np.ndarray], tuple[float, np.ndarray]]


def spectral_estimator(name: str, local: Callable[..., np.ndarray], rule: Rule, *, smooth: bool = True) -> Estimator:
    """An estimator of both scopes that is read off eigenvalues.

    local: (X, graph, *, n_neighbors, center) -> float64 (N,), the dimension of each point's neighbours. rule: as in
    `value_and_error`. Its global scope takes `center` (subtract the mean first) and is NaN where all points are equal, or all 0 with
    center=False. smooth: whether the rule has a second derivative everywhere; otherwise there is no standard error.
    """

    def global_(
        X: np.ndarray, graph: NeighborGraph | None, groups: np.ndarray | None = None, *, center: bool = True
    ) -> Estimate:
        return Estimate(*value_and_error(X, groups, rule, center=center, smooth=smooth), len(X), 0)

    return Estimator(
        name=name,
        local=local,
        global_=global_,
        vectors=frozenset({"local", "global"}),
        memory=lambda number, dimension: 48.0 * min(number, dimension) ** 2,  # six float64 matrices
        ranges={"n_neighbors": Whole(2), "center": Flag()},
    )


def value_and_error(
    X: np.ndarray,
    groups: np.ndarray | None,
    rule: Rule,
    *,
    center: bool,
    smooth: bool = True,
) -> tuple[float, float]:
    """A spectral dimension of the cloud X, float (N, D), and its standard error; NaN, NaN if there is no variance.

    rule: symmetric matrix of trace 1, float64 (m, m), m = min(N, D) -> the dimension, a function of the eigenvalues
    that keeps its value when all are multiplied by a number, and its derivative by the matrix, float64 (m, m).
    center: eigenvalues of the covariance; False: of the mean of x x^T over the points x as they are.
    groups: int (N,) or None, as in `uncertainty`.

    The standard error is the infinitesimal jackknife's, corrected to second order. More weight on a point x moves the
    covariance C towards (x - mean)(x - mean)^T (the mean moves as well, without effect to first order), hence the
    dimension by (x - mean)^T W (x - mean) - tr(W C), W the derivative; tr(W C) = 0, as scale is of no effect. At a
    maximum, where all directions have one variance, W is 0 but for sampling, and that alone would make the error √2
    times too large. How much W changes by sampling is seen at points that are weighted at random; see
    `uncertainty.second_order_error`. smooth: False for rules without a second derivative; the error is NaN.
    """
    value, influence = _influence(X, rule, np.ones(len(X)), center)
    if np.isnan(value):
        return np.nan, np.nan
    if not smooth:
        return value, np.nan
    signs = random_signs(influence, 2, groups)
    changes = [(_influence(X, rule, 1 + SHIFT * each, center)[1] - influence) / SHIFT for each in signs]
    return value, second_order_error(influence, np.stack(changes), signs, groups)


def _influence(X: np.ndarray, rule: Rule, weights: np.ndarray, center: bool) -> tuple[float, np.ndarray]:
    """The dimension of weighted points, and N times its derivative by the weight of each, float64 (N,)."""
    number, dimension = X.shape
    origin = _mean(X, weights) if center else np.zeros(dimension)
    unit = center_and_scale(X)[1] if center else unit_of(float(np.abs(X).max()))
    # through inner products where these are fewer; blocks of float64, since X may be a large float32 matrix
    if by_products := number < dimension:
        matrix = np.zeros((number, number))
        for columns in _parts(dimension, number):
            block = (X[:, columns] - origin[columns]) * unit
            matrix += block @ block.T
        roots = np.sqrt(weights)
        matrix *= roots[:, None] * roots
    else:
        matrix = np.zeros((dimension, dimension))
        for rows in _parts(number, dimension):
            block = (X[rows] - origin) * unit
            matrix += (block.T * weights[rows]) @ block
    total = np.trace(matrix)
    if not total > 0:
        return np.nan, np.full(number, np.nan)
    matrix /= total
    value, derivative = rule(matrix)
    if by_products:
        return float(value), number * np.einsum("ij,ij->i", matrix, derivative) / weights
    influence = np.empty(number)
    for rows in _parts(number, dimension):
        block = (X[rows] - origin) * unit
        influence[rows] = number / total * np.einsum("ij,ij->i", block @ derivative, block)
    return float(value), influence


def _mean(X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the points, float64 (D,): summed relative to the first, so that equal points have exactly no variance."""
    first = X[0].astype(np.float64)
    return first + sum(weights[rows] @ (X[rows] - first) for rows in _parts(*X.shape)) / weights.sum()


def _parts(number: int, width: int) -> Iterator[slice]:
    """Consecutive parts of range(number), such that float64 (part, width) takes about 32 MiB."""
    size = max(1, BATCH_BYTES // (8 * width))
    for start in range(0, number, size):
        yield slice(start, min(start + size, number))
