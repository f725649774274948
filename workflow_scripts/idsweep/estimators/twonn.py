"""TwoNN: dimension from the ratio of second to first neighbour distance.

Facco, d'Errico, Rodriguez & Laio (2017), Estimating the intrinsic dimension of datasets by a minimal
neighborhood information, doi:10.1038/s41598-017-11873-y.
"""

from __future__ import annotations

import numpy as np

from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighborhoods import nearest_two_within
from idsweep.neighbors import NeighborGraph

METHODS = ("linear", "mle")


def local(
    X: np.ndarray,
    graph: NeighborGraph,
    *,
    n_neighbors: int = 64,
    method: str = "linear",
    discard_fraction: float = 0.1,
) -> np.ndarray:
    """TwoNN of each point's neighbourhood, float64 (N,).

    The global estimator on the n_neighbors nearest other points, whose first and second neighbours are
    searched among themselves: scikit-dimension's TwoNN().fit_pw. NaN where fewer than 2 ratios are left,
    where scikit-dimension raises, and where all kept ratios are 1, where it gives 0 or infinity.
    """
    _check(method, discard_fraction)
    first, second = nearest_two_within(X, graph.indices, graph.distances, n_neighbors)
    return _dimensions(_log_ratios(first, second), method, discard_fraction)[0]


def global_(
    X: np.ndarray | None,
    graph: NeighborGraph,
    groups: np.ndarray | None = None,
    *,
    method: str = "linear",
    discard_fraction: float = 0.1,
) -> Estimate:
    """TwoNN of the cloud, from each point's two nearest neighbour distances.

    method "linear": slope through the origin of -log(1 - F(mu)) on log(mu), mu = r2 / r1, after dropping
    the largest `discard_fraction` of the mu (Facco et al. 2017). No standard error.
    method "mle": log(mu) is exponential with rate d; with the k smallest of n ratios kept, d = (k - 1)
    / (sum of the k + (n - k) times the largest of them), unbiased, with standard error d / sqrt(k - 2)
    for independent ratios.

    Points with r1 = 0 have no mu: they are left out and counted in n_undefined. The value is NaN if
    fewer than 2 ratios are kept or all of them are 1.
    """
    _check(method, discard_fraction)
    logs = _log_ratios(graph.distances[:, 0], graph.distances[:, 1])
    values, kept = _dimensions(logs[None, :], method, discard_fraction)
    value, k = float(values[0]), int(kept[0])
    standard_error = value / np.sqrt(k - 2) if method == "mle" and k > 2 else np.nan
    return Estimate(value, float(standard_error), len(logs), int(np.isnan(logs).sum()))


def _check(method: str, discard_fraction: float) -> None:
    if method not in METHODS:
        raise ValueError(f"method = {method!r} is not known; it must be one of {', '.join(METHODS)}.")
    if not 0 <= discard_fraction < 1:
        raise ValueError(f"discard_fraction = {discard_fraction} must be at least 0 and below 1.")
    if method == "linear" and 1 - discard_fraction == 1:
        raise ValueError(
            "discard_fraction = 0 leaves method 'linear' with a point at infinity (F = 1); give a positive "
            "fraction or method='mle'."
        )


def _log_ratios(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = second / first
    return np.log(np.where(np.isfinite(ratios), ratios, np.nan))


def _dimensions(logs: np.ndarray, method: str, discard_fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Row-wise dimension of log ratios (M, n), NaN = undefined; and how many ratios were kept (M,)."""
    logs = np.sort(logs, axis=1)  # NaN last
    defined = np.count_nonzero(~np.isnan(logs), axis=1)
    values = np.full(len(logs), np.nan)
    kept = np.zeros(len(logs), dtype=np.int64)
    for n in np.unique(defined):
        rows = np.flatnonzero(defined == n)
        k = int(n * (1 - discard_fraction))
        kept[rows] = k
        if k < 2:
            continue
        x = logs[rows, :k]
        if method == "mle":
            numerator, denominator = np.full(len(rows), k - 1.0), x.sum(axis=1) + (n - k) * x[:, -1]
        else:
            numerator, denominator = x @ -np.log1p(-np.arange(1, k + 1) / n), np.einsum("ij,ij->i", x, x)
        values[rows] = np.divide(numerator, denominator, out=np.full(len(rows), np.nan), where=denominator > 0)
    return values, kept


ESTIMATOR = Estimator(
    name="twonn",
    local=local,
    global_=global_,
    vectors=frozenset({"local"}),
    neighbors=lambda parameters: 2,
    check=lambda parameters: _check(parameters["method"], parameters["discard_fraction"]),
)
