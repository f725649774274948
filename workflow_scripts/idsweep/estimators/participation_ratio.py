"""Participation ratio: the effective number of directions that share the variance.

(sum of eigenvalues)^2 / sum of squared eigenvalues of the covariance matrix: D if all D directions have the
same variance, 1 if one has all of it. As in Gao et al. (2017), A theory of multineuronal dimensionality,
dynamics and measurement, doi:10.1101/214262, and scikit-dimension's lPCA(ver="participation_ratio").
"""

from __future__ import annotations

import numpy as np

from idsweep.estimators.spectra import spectral_estimator
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.neighborhoods import gram_matrices


def local(X: np.ndarray, graph: NeighborGraph, *, n_neighbors: int = 64, center: bool = True) -> np.ndarray:
    """Participation ratio of each point's n_neighbors nearest other points, float64 (N,).

    center: subtract their mean first. NaN where they are all equal (all 0 with center=False).
    """
    from idsweep.machine.compiled import in_threads, one_blas_thread

    indices = graph.indices[:, :n_neighbors]
    values = np.empty(len(X))

    def measure(start: int, stop: int) -> None:
        for part, gram, _ in gram_matrices(X, indices[start:stop], center=center):
            sums = np.trace(gram, axis1=1, axis2=2)
            squares = np.einsum("bij,bij->b", gram, gram)
            ratios = np.divide(sums**2, squares, out=np.full(len(sums), np.nan), where=squares > 0)
            values[start:stop][part] = ratios

    with one_blas_thread():
        in_threads(measure, len(X))
    return values


def _measure(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    squares = np.einsum("ij,ij->", matrix, matrix)
    return 1 / squares, 2 / squares * (np.eye(len(matrix)) - matrix / squares)


ESTIMATOR = spectral_estimator("participation_ratio", local, _measure)
