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
from idsweep.neighbors.neighborhoods import gram_matrices
from idsweep.statistics.uncertainty import linear_error

BATCH_BYTES = 32 * 2**20

Rule = Callable[[np.ndarray], tuple[float, np.ndarray]]


def spectral_estimator(name: str, local: Callable[..., np.ndarray], rule: Rule) -> Estimator:
    """An estimator of both scopes that is read off eigenvalues.

    local: (X, graph, *, n_neighbors, center) -> float64 (N,), the dimension of each point's neighbours. rule: as in
    `value_and_error`. Its global scope takes `center` (subtract the mean first) and is NaN where all points are equal, or all 0 with
    center=False; its standard error is the infinitesimal jackknife's, over points or groups.
    """

    def member_effects_of(
        X: np.ndarray, graph: NeighborGraph, values: np.ndarray, *, n_neighbors: int, center: bool
    ) -> np.ndarray:
        return member_effects(X, graph.indices[:, :n_neighbors], rule, center=center)

    def global_(
        X: np.ndarray, graph: NeighborGraph | None, groups: np.ndarray | None = None, *, center: bool = True
    ) -> Estimate:
        return Estimate(*value_and_error(X, groups, rule, center=center), len(X), 0)

    return Estimator(
        name=name,
        local=local,
        member_effects=member_effects_of,
        global_=global_,
        vectors=frozenset({"local", "global"}),
        ranges={"n_neighbors": Whole(2), "center": Flag()},
    )


def value_and_error(
    X: np.ndarray,
    groups: np.ndarray | None,
    rule: Rule,
    *,
    center: bool,
) -> tuple[float, float]:
    """A spectral dimension of the cloud X, float (N, D), and its standard error; NaN, NaN if there is no variance.

    rule: symmetric matrix of trace 1, float64 (m, m), m = min(N, D) -> the dimension, a function of the eigenvalues
    that keeps its value when all are multiplied by a number, and its derivative by the matrix, float64 (m, m).
    center: eigenvalues of the covariance; False: of the mean of x x^T over the points x as they are.
    groups: int (N,) or None, as in `uncertainty`.

    The standard error is the infinitesimal jackknife's. More weight on a point x moves the covariance C towards
    (x - mean)(x - mean)^T (the mean moves as well, without effect to first order), hence the dimension by
    (x - mean)^T W (x - mean) - tr(W C), W the derivative; tr(W C) = 0, as scale is of no effect.
    """
    number, dimension = X.shape
    origin = _mean(X) if center else np.zeros(dimension)
    unit = center_and_scale(X)[1] if center else unit_of(float(np.abs(X).max()))
    # through inner products where these are fewer; blocks of float64, since X may be a large float32 matrix
    if by_products := number < dimension:
        matrix = np.zeros((number, number))
        for columns in _parts(dimension, number):
            block = (X[:, columns] - origin[columns]) * unit
            matrix += block @ block.T
    else:
        matrix = np.zeros((dimension, dimension))
        for rows in _parts(number, dimension):
            block = (X[rows] - origin) * unit
            matrix += block.T @ block
    total = np.trace(matrix)
    if not total > 0:
        return np.nan, np.nan
    matrix /= total
    value, derivative = rule(matrix)
    if by_products:
        influence = number * np.einsum("ij,ij->i", matrix, derivative)
    else:
        influence = np.empty(number)
        for rows in _parts(number, dimension):
            block = (X[rows] - origin) * unit
            influence[rows] = number / total * np.einsum("ij,ij->i", block @ derivative, block)
    return float(value), linear_error(influence, groups)


def member_effects(X: np.ndarray, indices: np.ndarray, rule: Rule, *, center: bool) -> np.ndarray:
    """What each point adds, as a member of neighbourhoods, to the mean of their spectral dimensions, times N.

    X: float (N, D). indices: int (N, L), the neighbourhoods. rule: as in `value_and_error`. Returns float64 (N,).
    """
    from idsweep.machine.compiled import in_threads, one_blas_thread

    effects = np.empty(indices.shape)

    def measure(start: int, stop: int) -> None:
        for part, grams, units in gram_matrices(X, indices[start:stop], center=center):
            for i, (gram, unit) in enumerate(zip(grams, units, strict=True), start + part.start):
                total = np.trace(gram)
                if not total > 0:
                    effects[i] = 0
                    continue
                derivative = rule(gram / total)[1]
                if len(gram) == indices.shape[1]:
                    effects[i] = np.einsum("ij,ij->i", gram, derivative) / total
                else:
                    members = X[indices[i]].astype(np.float64)
                    members = (members - (_mean(members) if center else 0)) * unit
                    effects[i] = np.einsum("ij,ij->i", members @ derivative, members) / total

    with one_blas_thread():
        in_threads(measure, len(indices))
    return np.bincount(indices.ravel(), effects.ravel(), minlength=len(X))


def _mean(X: np.ndarray) -> np.ndarray:
    """Mean of the points, float64 (D,): summed relative to the first, so that equal points have exactly no variance."""
    first = X[0].astype(np.float64)
    return first + sum((X[rows] - first).sum(axis=0) for rows in _parts(*X.shape)) / len(X)


def _parts(number: int, width: int) -> Iterator[slice]:
    """Consecutive parts of range(number), such that float64 (part, width) takes about 32 MiB."""
    size = max(1, BATCH_BYTES // (8 * width))
    for start in range(0, number, size):
        yield slice(start, min(start + size, number))
