"""Levina-Bickel maximum-likelihood dimension from the distances to the k nearest neighbours.

Levina & Bickel (2004), Maximum likelihood estimation of intrinsic dimension, NIPS 17, eq. 8;
MacKay & Ghahramani (2005), Comments on the former.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    _check({"n_neighbors": n_neighbors, "unbiased": unbiased})
    distances = graph.distances[:, :n_neighbors]
    defined = distances[:, 0] > 0
    ratios = distances[:, -1:] / np.where(defined[:, None], distances, 1.0)
    sums = np.log(ratios, out=np.zeros_like(ratios), where=defined[:, None] & np.isfinite(ratios)).sum(axis=1)
    factor = n_neighbors - 2 if unbiased else n_neighbors - 1
    return np.divide(factor, sums, out=np.full(len(sums), np.nan), where=sums > 0)


def global_(
    X: np.ndarray | None,
    graph: NeighborGraph,
    groups: np.ndarray | None = None,
    *,
    n_neighbors: int = 20,
    average: str = "mackay_ghahramani",
    unbiased: bool = False,
) -> Estimate:
    """Levina-Bickel estimate of the cloud: the local ones at k = n_neighbors, averaged over the points.

    average: "mackay_ghahramani", the inverse of the mean inverse (the maximum-likelihood answer when all
    points share one dimension); "arithmetic", the mean of Levina & Bickel; "median".

    standard_error: from the spread of the local values (of their inverses for the inverse mean), with the
    products of deviations summed over each point and its n_neighbors neighbours, whose neighbourhoods
    overlap. In simulations at k = 5 … 20 it is 0.9 to 1.5 times the true spread, and larger, on the safe side,
    when k is not small against N. None for the median.
    Points without a local estimate are left out and counted in n_undefined.
    """
    _check({"n_neighbors": n_neighbors, "unbiased": unbiased, "average": average})
    values = local(X, graph, n_neighbors=n_neighbors, unbiased=unbiased)
    defined = values[~np.isnan(values)]
    n_undefined = len(values) - len(defined)
    if not len(defined):
        return Estimate(np.nan, np.nan, len(values), n_undefined)
    standard_error = np.nan
    if average == "mackay_ghahramani":
        inverse = np.mean(1 / defined)
        value = 1 / inverse
        standard_error = _error_of_mean(1 / values, graph.indices[:, :n_neighbors]) / inverse**2
    elif average == "arithmetic":
        value = np.mean(defined)
        standard_error = _error_of_mean(values, graph.indices[:, :n_neighbors])
    else:
        value = np.median(defined)
    return Estimate(float(value), float(standard_error), len(values), n_undefined)


def _error_of_mean(values: np.ndarray, indices: np.ndarray) -> float:
    """Standard error of the mean of values (N,), NaN left out, that depend on each other between neighbours."""
    deviations = np.nan_to_num(values - np.nanmean(values))
    alone = deviations @ deviations
    together = alone + np.einsum("i,ij->", deviations, deviations[indices])
    defined = np.count_nonzero(~np.isnan(values))
    return float(np.sqrt(max(alone, together))) / defined if defined > 1 else np.nan


def _check(parameters: Mapping[str, Any]) -> None:
    least = 3 if parameters["unbiased"] else 2
    if parameters["n_neighbors"] < least:
        raise ValueError(
            f"n_neighbors = {parameters['n_neighbors']} is too small; at least {least} distances are needed."
        )
    if (average := parameters.get("average", AVERAGES[0])) not in AVERAGES:
        raise ValueError(f"average = {average!r} is not known; it must be one of {', '.join(AVERAGES)}.")


ESTIMATOR = Estimator(name="mle", local=local, global_=global_, check=_check)
