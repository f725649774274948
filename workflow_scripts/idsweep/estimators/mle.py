"""Levina-Bickel maximum-likelihood dimension from the distances to the k nearest neighbours.

Levina & Bickel (2004), Maximum likelihood estimation of intrinsic dimension, NIPS 17, eq. 8;
MacKay & Ghahramani (2005), Comments on the former.
"""

from __future__ import annotations

import numpy as np

from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors import NeighborGraph

AVERAGES = ("mackay_ghahramani", "arithmetic", "median")


def local(X: np.ndarray | None, graph: NeighborGraph, *, n_neighbors: int = 20, unbiased: bool = False) -> np.ndarray:
    """Levina-Bickel estimate at each point, float64 (N,).

    (k - 1) / sum over j < k of log(T_k / T_j), T_j the distance to the j-th nearest other point and k =
    n_neighbors; k - 2 in the numerator if `unbiased`. NaN where T_1 = 0 (a duplicate; scikit-dimension
    gives 0) and where all k distances are equal (it gives infinity).
    """
    if n_neighbors < 2 or (unbiased and n_neighbors < 3):
        raise ValueError(
            f"n_neighbors = {n_neighbors} is too small; at least {3 if unbiased else 2} distances are needed."
        )
    distances = graph.distances[:, :n_neighbors]
    defined = distances[:, 0] > 0
    ratios = distances[:, -1:] / np.where(defined[:, None], distances, 1.0)
    sums = np.log(ratios, out=np.zeros_like(ratios), where=defined[:, None] & np.isfinite(ratios)).sum(axis=1)
    factor = n_neighbors - 2 if unbiased else n_neighbors - 1
    return np.divide(factor, sums, out=np.full(len(sums), np.nan), where=sums > 0)


def global_(
    X: np.ndarray | None,
    graph: NeighborGraph,
    *,
    n_neighbors: int = 20,
    average: str = "mackay_ghahramani",
    unbiased: bool = False,
) -> Estimate:
    """Levina-Bickel estimate of the cloud: the local ones at k = n_neighbors, averaged over the points.

    average: "mackay_ghahramani", the inverse of the mean inverse (the maximum-likelihood answer when all
    points share one dimension); "arithmetic", the mean of Levina & Bickel; "median".

    standard_error: the N overlapping neighbourhoods hold about N / k disjoint ones. By the gamma law of
    one neighbourhood's sum of k - 1 log ratios, that of the inverse mean is value / sqrt(N (k - 1) / k);
    that of the mean is the spread of the local values over sqrt(N / k); none for the median.
    Points without a local estimate are left out and counted in n_undefined.
    """
    if average not in AVERAGES:
        raise ValueError(f"average = {average!r} is not known; it must be one of {', '.join(AVERAGES)}.")
    values = local(X, graph, n_neighbors=n_neighbors, unbiased=unbiased)
    defined = values[~np.isnan(values)]
    n_undefined = len(values) - len(defined)
    if not len(defined):
        return Estimate(np.nan, np.nan, len(values), n_undefined)
    disjoint = len(defined) / n_neighbors
    standard_error = np.nan
    if average == "mackay_ghahramani":
        value = 1 / np.mean(1 / defined)
        standard_error = value / np.sqrt(disjoint * (n_neighbors - 1))
    elif average == "arithmetic":
        value = np.mean(defined)
        standard_error = np.std(defined, ddof=1) / np.sqrt(disjoint) if len(defined) > 1 else np.nan
    else:
        value = np.median(defined)
    return Estimate(float(value), float(standard_error), len(values), n_undefined)


ESTIMATOR = Estimator(name="mle", local=local, global_=global_)
