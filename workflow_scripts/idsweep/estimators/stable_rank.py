"""Stable rank: the variance in units of the largest eigenvalue of the covariance.

Squared Frobenius norm over squared spectral norm of the (centred) matrix of the points, which is the sum of the
eigenvalues over the largest of them: at most the rank, and little moved by small eigenvalues. Rudelson & Vershynin
(2007), Sampling from large matrices: an approach through geometric functional analysis, doi:10.1145/1255443.1255449,
where it is called numerical rank. No standard error: the largest of several eigenvalues that differ by no more than
chance is a maximum that is not smooth, and errors to first order are up to twice too large.
"""

from __future__ import annotations

import numpy as np

from idsweep.estimators.spectra import spectral_estimator
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.neighborhoods import eigenvalues_of


def local(X: np.ndarray, graph: NeighborGraph, *, n_neighbors: int = 64, center: bool = True) -> np.ndarray:
    """Stable rank of each point's n_neighbors nearest other points, float64 (N,).

    center: subtract their mean first. NaN where they are all equal (all 0 with center=False).
    """
    eigenvalues, _ = eigenvalues_of(X, graph.indices[:, :n_neighbors], center=center)
    largest = eigenvalues[:, 0]
    return np.divide(eigenvalues.sum(axis=1), largest, out=np.full(len(largest), np.nan), where=largest > 0)


def _measure(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    largest, leading = eigenvalues[-1], vectors[:, -1]
    return 1 / largest, (np.eye(len(matrix)) - np.outer(leading, leading) / largest) / largest


ESTIMATOR = spectral_estimator("stable_rank", local, _measure, smooth=False)
