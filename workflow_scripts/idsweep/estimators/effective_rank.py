"""Effective rank: exponential of the entropy of the singular values.

The singular values of the (centred) matrix of the points, divided by their sum, are taken as a distribution: the
rank if all nonzero ones are equal, 1 if one has all. Roy & Vetterli (2007), The effective rank: a measure of effective
dimensionality, EUSIPCO, define it for the matrix as it is (center=False); so does RankMe (Garrido et al. 2023,
RankMe: assessing the downstream performance of pretrained self-supervised representations by their rank, ICML). Singular
values below 1e-6 of the largest are taken as zero.
"""

from __future__ import annotations

import numpy as np

from idsweep.estimators.spectra import spectral_estimator
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.neighborhoods import eigenvalues_of

# Eigenvalues are exact to about 1e-15 of the largest, and a zero among them is only as small as that. Its root, a
# singular value of 3e-8, would count, and the derivative of the entropy is infinite at zero.
NEGLIGIBLE = 1e-12


def local(X: np.ndarray, graph: NeighborGraph, *, n_neighbors: int = 64, center: bool = True) -> np.ndarray:
    """Effective rank of each point's n_neighbors nearest other points, float64 (N,).

    center: subtract their mean first. Singular values below 1e-6 of the largest are taken as zero. NaN where the
    points are all equal (all 0 with center=False).
    """
    eigenvalues, _ = eigenvalues_of(X, graph.indices[:, :n_neighbors], center=center)
    varied = eigenvalues[:, 0] > 0
    eigenvalues = eigenvalues[varied]
    roots = np.sqrt(np.where(eigenvalues > NEGLIGIBLE * eigenvalues[:, :1], eigenvalues, 0.0))
    shares = roots / roots.sum(axis=1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    values = np.full(len(varied), np.nan)
    values[varied] = np.exp(-(shares * logs).sum(axis=1))
    return values


def _measure(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    kept = eigenvalues > NEGLIGIBLE * eigenvalues[-1]
    roots, vectors = np.sqrt(eigenvalues[kept]), vectors[:, kept]
    logs = np.log(roots / roots.sum())
    entropy = -(roots @ logs) / roots.sum()
    value = np.exp(entropy)
    slopes = -value * (logs + entropy) / (2 * roots.sum() * roots)
    return value, (vectors * slopes) @ vectors.T


ESTIMATOR = spectral_estimator("effective_rank", local, _measure)
