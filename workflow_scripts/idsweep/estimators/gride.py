"""GRIDE: dimension from the ratio of a farther to a nearer neighbour distance, at a scale of one's choice.

Denti, Doimo, Laio & Mira (2022), The generalized ratios intrinsic dimension estimator,
doi:10.1038/s41598-022-20991-1, with the conventions of DADApy and of scikit-dimension's GRIDE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from idsweep.estimators.ranges import Optional, Whole
from idsweep.estimators.ratios import log_ratios
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph
from idsweep.statistics.uncertainty import interval_error

# a ratio farther above the median than this many times the distance from there to the 95th percentile is left out
OUTLYING = 20


def global_(
    X: np.ndarray | None, graph: NeighborGraph, groups: np.ndarray | None = None, *, n1: int = 1, n2: int | None = None
) -> Estimate:
    """Maximum-likelihood dimension from mu = r_n2 / r_n1 at each point, the distances to its n2-th and n1-th neighbours.

    With m = n2 - n1 (n2 = 2 n1 if None), mu has the density d (mu^d - 1)^(m - 1) / (B(m, n1) mu^((n2 - 1) d + 1)) (eq.
    8); the root of the score is unbiased at n1 = 1, n2 = 2 since ln d counts N - 1 times: there it is the TwoNN of
    method "mle" without discarded ratios. Ratios above q50 + 20 (q95 - q50) are left out.

    standard_error: from the score of each point, those of points that are each other's nearest neighbour counted as
    dependent (`uncertainty.interval_error`). NaN but at n1 = 1, n2 = 2: for larger ones no way was found that is right.
    Points whose neighbours overlap are dependent, by how much hangs on the shape of the cloud, and clusters of about n2
    points come and go from sample to sample.

    Points with r_n1 = 0 or r_n1 = r_n2 have no ratio: they are left out and counted in n_undefined. The value is NaN
    if fewer than 2 ratios are left.

    There is no local scope: at n1 = 1 it is the local TwoNN of method "mle"; within a neighbourhood of L points
    larger n1 leave few independent ratios.
    """
    far = _farther({"n1": n1, "n2": n2})
    logs = log_ratios(graph.distances[:, n1 - 1], graph.distances[:, far - 1])
    logs[logs == 0] = np.nan
    n_undefined = int(np.count_nonzero(np.isnan(logs)))
    logs = _without_outliers(logs)
    x = logs[~np.isnan(logs)]
    if len(x) < 2:
        return Estimate(np.nan, np.nan, len(logs), n_undefined)
    value = _root(x, n1, far)
    if (n1, far) != (1, 2):
        return Estimate(float(value), np.nan, len(logs), n_undefined)
    with np.errstate(over="ignore"):
        information = len(x) / value**2 + (far - n1 - 1) * np.sum((x / (2 * np.sinh(value * x / 2))) ** 2)
    scores = 1 / value - (far - 1) * logs + (far - n1 - 1) * logs / -np.expm1(-value * logs)
    standard_error = interval_error(len(x) * scores / information, groups, graph.indices[:, :1])
    return Estimate(float(value), float(standard_error), len(logs), n_undefined)


def _without_outliers(logs: np.ndarray) -> np.ndarray:
    """NaN for log ratios whose ratios lie far above the others."""
    if np.isnan(logs).all():
        return logs
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.exp(logs)
        high, middle = np.nanpercentile(ratios, [95, 50])
        limit = OUTLYING * (high - middle) + middle
    # of ratios that are nearly all the same, as on a lattice, those at the limit are the usual ones
    return np.where(ratios <= limit, logs, np.nan) if np.isfinite(limit) else logs


def _root(x: np.ndarray, n1: int, n2: int) -> float:
    """The root of the score in d, which falls and is convex: Newton's steps from below never pass it."""
    number, between, total = len(x), n2 - n1 - 1, x.sum()
    value = (number - 1 + between * number) / ((n2 - 1) * total)
    for _ in range(100):
        decay = -np.expm1(-value * x)
        score = (number - 1) / value + between * np.sum(x / decay) - (n2 - 1) * total
        slope = -(number - 1) / value**2 - between * np.sum(x**2 * (1 - decay) / decay**2)
        step = -score / slope
        value += step
        if step <= 1e-13 * value:
            break
    return value


def _farther(parameters: Mapping[str, Any]) -> int:
    """n2, by default twice n1."""
    return 2 * parameters["n1"] if parameters["n2"] is None else parameters["n2"]


def _check(parameters: Mapping[str, Any]) -> None:
    n1, n2 = parameters["n1"], parameters["n2"]
    if n2 is not None and n2 <= n1:
        raise ValueError(f"n2 = {n2} must be above n1 = {n1}.")


def _coarser(parameters: Mapping[str, Any], k: int) -> dict[str, dict[str, Any]]:
    """Twice, four times … n1 and n2, as far as a graph of k neighbours reaches."""
    n1, n2 = parameters["n1"], _farther(parameters)
    factors = [2**power for power in range(1, max(1, k // n2).bit_length())]
    return {f"n1={n1 * factor}": {"n1": n1 * factor, "n2": n2 * factor} for factor in factors}


ESTIMATOR = Estimator(
    name="gride",
    global_=global_,
    neighbors=_farther,
    coarser=_coarser,
    ranges={"n1": Whole(1), "n2": Optional(Whole(2))},
    check=_check,
)
