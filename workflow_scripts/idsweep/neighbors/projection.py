"""Vectors in the plane of their two first principal components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

COMPONENTS = 2


class Projection(NamedTuple):
    """Where vectors lie in the plane of most variance.

    coordinates: float32 (N, 2), in the units of the vectors, their mean at 0. shares: float64 (2,), the share of the variance that each of
    the two axes holds; NaN where there is no variance.
    """

    coordinates: np.ndarray
    shares: np.ndarray


def project(vectors: np.ndarray) -> Projection:
    """Project vectors, finite floats (N, D), to their two first principal components, in float64.

    The entry of largest size in each axis is positive, so that the same vectors lie the same way round each time. An axis that the
    vectors do not have (D = 1, N = 2) is 0.

    Raises ValueError if `vectors` is no matrix, has no rows or no columns, or is not finite.

    >>> project(np.array([[0.0, 0.0], [3.0, 0.0], [6.0, 0.0]])).coordinates[:, 0].tolist()
    [-3.0, 0.0, 3.0]
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"vectors have shape {vectors.shape}; expected (N, D), both at least 1.")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors hold values that are not finite; expected finite numbers.")
    exact = vectors.astype(np.float64)
    exact -= exact.mean(axis=0)  # scikit-learn subtracts means from sums of squares, where they would cost digits
    coordinates = np.zeros((len(exact), COMPONENTS), dtype=np.float32)
    shares = np.zeros(COMPONENTS)
    if not exact.any():
        return Projection(coordinates, np.full(COMPONENTS, np.nan))
    number = min(COMPONENTS, *exact.shape)
    solver = "covariance_eigh" if exact.shape[1] <= exact.shape[0] else "full"  # the smaller of two exact ways
    fitted = PCA(number, svd_solver=solver, copy=False)
    coordinates[:, :number] = fitted.fit_transform(exact)
    shares[:number] = fitted.explained_variance_ratio_
    return Projection(coordinates, shares)
