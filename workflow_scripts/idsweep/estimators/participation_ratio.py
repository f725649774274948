"""Participation ratio: the effective number of directions that share the variance.

(sum of eigenvalues)^2 / sum of squared eigenvalues of the covariance matrix: D if all D directions have the
same variance, 1 if one has all of it. As in Gao et al. (2017), A theory of multineuronal dimensionality,
dynamics and measurement, doi:10.1101/214262, and scikit-dimension's lPCA(ver="participation_ratio").
"""

from __future__ import annotations

import numpy as np

from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighborhoods import gram_matrices
from idsweep.neighbors import NeighborGraph

BLOCK = 4096


def local(X: np.ndarray, graph: NeighborGraph, *, n_neighbors: int = 64) -> np.ndarray:
    """Participation ratio of each point's n_neighbors nearest other points, float64 (N,); NaN if they are all equal."""
    from idsweep.compiled import in_threads, one_blas_thread

    indices = graph.indices[:, :n_neighbors]
    values = np.empty(len(X))

    def measure(start: int, stop: int) -> None:
        for part, gram in gram_matrices(X, indices[start:stop]):
            traces = np.trace(gram, axis1=1, axis2=2)
            values[start:stop][part] = _ratio(traces, np.einsum("bij,bij->b", gram, gram))

    with one_blas_thread():
        in_threads(measure, len(X))
    return values


def global_(X: np.ndarray, graph: NeighborGraph | None, groups: np.ndarray | None = None) -> Estimate:
    """Participation ratio of the cloud X (N, D); NaN if all points are equal. No standard error."""
    # relative to the first point, so that a cloud of equal points has exactly no variance
    origin = X[0].astype(np.float64)
    origin += (X - origin).mean(axis=0)
    if len(X) >= X.shape[1]:
        scatter = np.zeros((X.shape[1], X.shape[1]))
        for start in range(0, len(X), BLOCK):
            block = X[start : start + BLOCK] - origin
            scatter += block.T @ block
    else:
        scatter = (X - origin) @ (X - origin).T
    value = _ratio(np.trace(scatter)[None], np.einsum("ij,ij->", scatter, scatter)[None])[0]
    return Estimate(float(value), np.nan, len(X), 0)


def _ratio(sums: np.ndarray, sums_of_squares: np.ndarray) -> np.ndarray:
    """sums**2 / sums_of_squares where there is variance, NaN elsewhere."""
    return np.divide(sums**2, sums_of_squares, out=np.full(len(sums), np.nan), where=sums_of_squares > 0)


ESTIMATOR = Estimator(name="participation_ratio", local=local, global_=global_, vectors=frozenset({"local", "global"}))
