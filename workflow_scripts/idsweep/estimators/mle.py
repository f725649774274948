"""Levina-Bickel maximum-likelihood dimension from the distances to the k nearest neighbours.

Levina & Bickel (2004), Maximum likelihood estimation of intrinsic dimension, NIPS 17, eq. 8;
MacKay & Ghahramani (2005), Comments on the former.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from idsweep.estimators.ranges import Choice, Flag, Optional, Whole
from idsweep.estimators.ratios import log_ratios
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph
from idsweep.statistics.uncertainty import bootstrap_error, linear_error

AVERAGES = ("mackay_ghahramani", "arithmetic", "median")


def local(
    X: np.ndarray | None,
    graph: NeighborGraph,
    *,
    n_neighbors: int = 20,
    from_neighbors: int | None = None,
    unbiased: bool = False,
) -> np.ndarray:
    """Levina-Bickel estimate at each point, float64 (N,).

    (k - 1) / sum over j < k of log(T_k / T_j), T_j the distance to the j-th nearest other point and k =
    n_neighbors; k - 2 in the numerator if `unbiased`. from_neighbors: the mean of the estimates at k =
    from_neighbors … n_neighbors (Levina & Bickel, section 3). NaN where T_1 = 0 (a duplicate; scikit-dimension
    gives 0) and where all k distances are equal (it gives infinity).
    """
    return np.mean([values for _, values in _estimates(graph, n_neighbors, from_neighbors, unbiased)], axis=0)


def local_errors(values: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    """Standard error of each local value, float64 (N,): value / sqrt(k - 3).

    In a ball of constant density the sum of logs follows a gamma law of shape k - 1, so that the relative standard
    deviation of its inverse is 1 / sqrt(k - 3). NaN for k <= 3, and for means over several k.
    """
    k = parameters["n_neighbors"]
    if k <= 3 or parameters["from_neighbors"] not in (None, k):
        return np.full(len(values), np.nan)
    return values / np.sqrt(k - 3)


def global_(
    X: np.ndarray | None,
    graph: NeighborGraph,
    groups: np.ndarray | None = None,
    *,
    n_neighbors: int = 20,
    from_neighbors: int | None = None,
    average: str = "mackay_ghahramani",
    unbiased: bool = False,
) -> Estimate:
    """Levina-Bickel estimate of the cloud: the local ones at k = n_neighbors, averaged over the points.

    average: "mackay_ghahramani", the inverse of the mean inverse (the maximum-likelihood answer when all
    points share one dimension); "arithmetic", the mean of Levina & Bickel; "median". from_neighbors: the mean of
    those answers over k = from_neighbors … n_neighbors.

    standard_error: from what each point adds to the answer through its own neighbours and as a neighbour of others
    (`uncertainty.linear_error`); 1.1 to 1.4 times the true spread in simulations. The gamma law's d / sqrt(N (k - 1))
    holds for neighbourhoods that share no points and is too small, by a factor of up to 1.5. For the median, the
    bootstrap of the local values, which does not know that neighbourhoods overlap.
    Points without a local estimate are left out and counted in n_undefined.
    """
    answers, influences = [], []
    for k, values in _estimates(graph, n_neighbors, from_neighbors, unbiased):
        defined = ~np.isnan(values)
        known = values[defined]
        if not len(known):
            answers.append(np.nan)
        elif average == "median":
            answers.append(np.median(known))
        elif average == "arithmetic":
            answers.append(np.mean(known))
            influences.append(values - answers[-1] + _effects(graph, values, values**2 / np.mean(defined), k))
        else:
            answers.append(1 / np.mean(1 / known))
            own = answers[-1] - answers[-1] ** 2 / values
            influences.append(
                own + _effects(graph, values, np.where(defined, answers[-1] ** 2 / np.mean(defined), np.nan), k)
            )
    n_undefined = int(np.count_nonzero(~defined))
    value = float(np.mean(answers))
    if average == "median":
        standard_error = bootstrap_error(lambda counts: _medians(known, counts[:, defined]), len(values), groups)
    else:
        standard_error = linear_error(np.mean(influences, axis=0), groups) if influences else np.nan
    return Estimate(value, standard_error, len(values), n_undefined)


def member_effects(
    X: np.ndarray | None,
    graph: NeighborGraph,
    values: np.ndarray,
    *,
    n_neighbors: int,
    from_neighbors: int | None,
    unbiased: bool,
) -> np.ndarray:
    """What each point adds, as a member of neighbourhoods, to the mean of the local values, times N; float64 (N,)."""
    each = _estimates(graph, n_neighbors, from_neighbors, unbiased)
    return np.mean([_effects(graph, values, values**2, k) for k, values in each], axis=0)


def _effects(graph: NeighborGraph, values: np.ndarray, slopes: np.ndarray, k: int) -> np.ndarray:
    """Sum over the neighbourhoods of each point of slope times (1 / value - log(T_k / T_j)) / (k - 1); float64 (N,)."""
    apart = ~np.isnan(values)
    distances = graph.distances[apart, : k - 1]
    logs = np.log(graph.distances[apart, k - 1 : k] / distances)
    changes = slopes[apart, None] * (1 / values[apart, None] - logs) / (k - 1)
    return np.bincount(graph.indices[apart, : k - 1].ravel(), changes.ravel(), minlength=len(values))


def _medians(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Medians of resampled values (n,), drawn counts (B, n) times each; float64 (B,)."""
    order = np.argsort(values)
    reached = np.cumsum(counts[:, order], axis=1)
    total = reached[:, -1:]
    low, high = ((reached >= half).argmax(axis=1) for half in ((total + 1) // 2, total // 2 + 1))
    return (values[order][low] + values[order][high]) / 2


def _estimates(
    graph: NeighborGraph, n_neighbors: int, from_neighbors: int | None, unbiased: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """The local estimates at each number of neighbours k asked for: k, float64 (N,).

    The sum over j < k of log(T_k / T_j) is that of j log(T_{j+1} / T_j): no large logarithms are subtracted.
    """
    distances = graph.distances[:, :n_neighbors]
    sums = np.cumsum(np.arange(1, n_neighbors) * log_ratios(distances[:, :-1], distances[:, 1:]), axis=1)
    for k in range(from_neighbors or n_neighbors, n_neighbors + 1):
        total = sums[:, k - 2]
        yield k, np.divide(k - 2 if unbiased else k - 1, total, out=np.full(len(total), np.nan), where=total > 0)


def _check(parameters: Mapping[str, Any]) -> None:
    last, first = parameters["n_neighbors"], parameters["from_neighbors"]
    if parameters["unbiased"] and min(last, last if first is None else first) < 3:
        name = "n_neighbors" if first is None else "from_neighbors"
        raise ValueError(f"{name} = {parameters[name]} is too small; at least 3 distances are needed if unbiased.")
    if first is not None and first > last:
        raise ValueError(f"from_neighbors = {first} is above n_neighbors = {last}; it must be the smaller of the two.")


ESTIMATOR = Estimator(
    name="mle",
    local=local,
    local_errors=local_errors,
    member_effects=member_effects,
    global_=global_,
    ranges={
        "n_neighbors": Whole(2),
        "from_neighbors": Optional(Whole(2)),
        "average": Choice(AVERAGES),
        "unbiased": Flag(),
    },
    check=_check,
)
