"""Levina-Bickel maximum-likelihood dimension from the distances to the k nearest neighbours.

Levina & Bickel (2004), Maximum likelihood estimation of intrinsic dimension, NIPS 17, eq. 8;
MacKay & Ghahramani (2005), Comments on the former.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from idsweep.estimators.ranges import Choice, Flag, Optional, Whole
from idsweep.estimators.ratios import log_ratios
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph, growth
from idsweep.statistics.uncertainty import member_error

AVERAGES = ("mackay_ghahramani", "arithmetic", "median")

# a gap between neighbours is a step that constant density would give to any point of a cloud this often
CHANCE = 0.01


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

    standard_error: of "mackay_ghahramani", see `_standard_error`; NaN for the others, which depend on single points with
    large values or jump where regions of the cloud differ. The gamma law's d / sqrt(N (k - 1)) holds for neighbourhoods
    that share no points and is too small, by a factor of up to 1.5.
    Points without a local estimate are left out and counted in n_undefined.
    """
    estimates = list(_estimates(graph, n_neighbors, from_neighbors, unbiased))
    undefined = np.isnan(estimates[-1][1])
    value = np.mean([_averaged(values, average) for _, values in estimates])
    error = _standard_error(estimates, graph, groups) if average == "mackay_ghahramani" else np.nan
    return Estimate(float(value), error, len(undefined), int(np.count_nonzero(undefined)))


def _averaged(values: np.ndarray, average: str) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan
    if average == "mackay_ghahramani":
        return float(1 / np.mean(1 / known))
    return float(np.mean(known) if average == "arithmetic" else np.median(known))


def _standard_error(
    estimates: Sequence[tuple[int, np.ndarray]], graph: NeighborGraph, groups: np.ndarray | None
) -> float:
    """Standard error of the mean over k of 1 / mean(1 / values), for estimates (k, values).

    From what each point adds through its own neighbours and as a neighbour of others (`uncertainty.member_error`): a
    point among the k nearest of another brings the k-th distance in, by as much as distances grow with k just there.
    How far around k that is measured: the number of points in a ball varies by about sqrt(k).

    NaN where that cannot be known: for k below 16, where 2 sqrt(k) is more than half of k; where the graph holds fewer
    than k + 2 sqrt(k) neighbours; where clusters end near the k-th neighbour (`_clusters_end`), since they have a few
    points more in one sample and fewer in another, which moves many values at once; and where the points of a group
    come to a neighbourhood by more than sqrt(k) at a time, so that one more group moves the k-th neighbour farther than
    what is measured.
    """
    first, last = estimates[0][0], estimates[-1][0]
    if first < 4 * _width(first) or last + 2 * _width(last) > graph.indices.shape[1]:
        return np.nan
    members = graph.indices[:, :last]
    if any(np.isnan(values).all() for _, values in estimates) or _clusters_end(graph, first, last):
        return np.nan
    if groups is not None and _at_a_time(groups, members) > _width(last):
        return np.nan
    own, effects, pairs = np.zeros(len(members)), *np.zeros((2, *members.shape))
    for k, values in estimates:
        of_k = _influence(graph, k, values)
        own += of_k[0] / len(estimates)
        effects[:, : k - 1] += of_k[1] / len(estimates)
        pairs[:, : k - 1] += of_k[2] / len(estimates)
    return member_error(own, members, effects, pairs, groups)


def _width(k: int) -> int:
    """How far the number of points in a ball that holds k on average varies."""
    return round(np.sqrt(k))


def _clusters_end(graph: NeighborGraph, first: int, last: int) -> bool:
    """Whether any point has a gap in its distances within 2 sqrt(k) places of the k-th, for k from `first` to `last`.

    In constant density, j times the j-th step of the log distances, over the mean log(T_k / T_j) of the k nearer ones,
    is above x with probability (1 + x / (k - 1))^(1 - k), a ratio of exponential to gamma variables. A gap is a step that
    comes up with probability 0.01 among all steps of all points.
    """
    inner, outer = first - 2 * _width(first), last + 2 * _width(last)
    distances = graph.distances[graph.distances[:, 0] > 0, :outer]
    mean = np.log(distances[:, inner - 1 : inner] / distances[:, : inner - 1]).mean(axis=1, keepdims=True)
    steps = np.log(distances[:, inner:] / distances[:, inner - 1 : -1]) * np.arange(inner, outer)
    largest = np.max(np.divide(steps, mean, out=np.full(steps.shape, np.inf), where=mean > 0))
    return bool((1 - inner) * np.log1p(largest / (inner - 1)) < np.log(CHANCE / steps.size))


def _at_a_time(groups: np.ndarray, members: np.ndarray) -> float:
    """How many members of a neighbourhood are of the same group as one of them, on average over the members."""
    labels = np.unique(groups, return_inverse=True)[1]
    places = np.arange(len(members))[:, None] * (labels.max() + 1) + labels[members]
    numbers = np.unique(places, return_counts=True)[1]
    return float(numbers @ numbers / numbers.sum())


def _influence(graph: NeighborGraph, k: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each point adds to 1 / mean(1 / values), what members add through its value, and the part of each pair, times N.

    float64 (N,), (N, k - 1), (N, k - 1).
    """
    apart = ~np.isnan(values)
    mean = _averaged(values, "mackay_ghahramani")
    distances = graph.distances[apart, :k]
    logs = np.log(distances[:, k - 1 :] / distances[:, : k - 1])
    # value times mean log: 1, or (k - 2) / (k - 1) if unbiased
    times = np.median(values[apart] * logs.mean(axis=1))
    change = mean**2 / (k - 1) / times / apart.mean()
    own = np.where(apart, mean - mean**2 / values, 0) / apart.mean()
    effects, pairs = np.zeros((2, len(values), k - 1))
    effects[apart] = change * (growth(graph, k, _width(k))[apart, None] - logs)
    pairs[apart] = change * (logs.mean(axis=1, keepdims=True) - logs)
    return own, effects, pairs


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
    global_=global_,
    beyond=lambda needed: 2 * _width(needed),
    ranges={
        "n_neighbors": Whole(2),
        "from_neighbors": Optional(Whole(2)),
        "average": Choice(AVERAGES),
        "unbiased": Flag(),
    },
    check=_check,
)
