"""Persistent-homology dimension: how the length of minimum spanning trees grows with the number of points.

Schweinhart (2020), Fractal dimension and the persistent homology of random geometric complexes,
arXiv:1808.02196; Jaquette & Schweinhart (2020), Fractal dimension estimation with persistent homology,
doi:10.1016/j.cnsns.2019.105163; with the subsamples of scikit-dimension's PH.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from idsweep.estimators.ranges import SEED, Choice, Number, Whole
from idsweep.estimators.registry import Estimate, Estimator
from idsweep.neighbors.graph import NeighborGraph, unit_of

RANGE_TYPES = ("fraction", "num")


def global_(
    X: np.ndarray,
    graph: NeighborGraph | None,
    groups: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    n_range_min: float = 0.5,
    n_range_max: float = 1.0,
    range_type: str = "fraction",
    nsteps: int = 100,
    subsamples: int = 10,
    random_state: int = 0,
) -> Estimate:
    """Persistent-homology dimension of the cloud: alpha / (1 - slope), slope that of log E on log n.

    E: the sum of the edges, to the power alpha, of the minimum spanning tree of n random points (the total
    persistence of their connected components), for `subsamples` draws of each of `nsteps` sizes n that are evenly
    spaced from n_range_min to n_range_max, which are fractions of the points (range_type "fraction") or numbers of
    points ("num"). random_state: seed of the draws; they depend on the order of the points. Distances are exact in
    float64, and duplicates are joined by edges of length 0.

    Takes nsteps × subsamples × n² / 2 steps of about 4 ns, shared by the threads, after N² D / 2 for the distances,
    and 8 N² bytes for them: 32 MB for 2,000 points, 800 MB for 10,000.

    No standard error: the draws share most of their points, so that the regression's own is far too small (a sixth of
    the true spread over squares of 300 points).
    No local estimate: at seconds a cloud, neighbourhoods would take hours.
    The value is NaN where E does not grow as in a finite dimension: slope >= 1 (scikit-dimension gives a negative
    number or infinity) or draws without distinct points (it raises). Raises ValueError if the sizes do not fit the
    cloud.
    """
    number = len(X)
    low, high = n_range_min, n_range_max
    if range_type == "fraction":
        low, high = math.ceil(low * number), math.ceil(high * number)
    if not 2 <= low < high <= number:
        raise ValueError(
            f"subsamples of {low} to {high} points cannot be drawn from N = {number}; n_range_min and n_range_max must "
            f"lead to sizes that grow, from at least 2 to at most {number}."
        )
    sizes = np.repeat(np.ceil(np.linspace(low, high, nsteps)).astype(int), subsamples)
    logs = _log_tree_lengths(X, sizes, alpha, random_state)
    value = np.nan
    if np.isfinite(logs).all():
        x = np.log(sizes)
        x -= x.mean()
        slope = x @ logs / (x @ x)
        value = alpha / (1 - slope) if slope < 1 else np.nan
    return Estimate(float(value), np.nan, number, 0)


def _log_tree_lengths(X: np.ndarray, sizes: np.ndarray, alpha: float, seed: int) -> np.ndarray:
    """log E of a random subsample of each size, float64 (sizes,), but for a constant; -inf where its points are all the same."""
    from idsweep.machine.compiled import in_threads
    from idsweep.neighbors import kernels

    number = len(X)
    # lengths of tiny clouds, which float64 would round, in larger units
    X = X * max(1.0, unit_of(float(np.ptp(X, axis=0).max()))) if X.dtype == np.float64 else X
    distances = np.zeros((number, number))
    in_threads(lambda start, stop: kernels.measure_all(X, start, stop, distances), number)
    unit = unit_of(float(distances.max()))
    generator = np.random.RandomState(seed)  # as scikit-dimension draws
    drawn = [generator.choice(number, size=size, replace=False).astype(np.int32) for size in sizes]
    # every thread gets small and large ones
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(sizes))
    logs = np.empty(len(sizes))

    def measure(start: int, stop: int) -> None:
        for i in order[start:stop]:
            logs[i] = kernels.log_tree_length(distances, drawn[i], float(alpha), unit)

    in_threads(measure, len(sizes))
    return logs


def _check(parameters: Mapping[str, Any]) -> None:
    low, high, range_type = (parameters[key] for key in ("n_range_min", "n_range_max", "range_type"))
    given = f"n_range_min = {low} and n_range_max = {high}"
    if range_type == "fraction" and not low < high <= 1:
        raise ValueError(f"{given} must be fractions of the points with 0 < n_range_min < n_range_max <= 1.")
    if range_type == "num" and not (Whole(2).holds(low) and Whole(2).holds(high) and low < high):
        raise ValueError(f"{given} must be numbers of points with 2 <= n_range_min < n_range_max.")


ESTIMATOR = Estimator(
    name="persistent_homology",
    global_=global_,
    vectors=frozenset({"global"}),
    memory=lambda number, dimension: 8.5 * number**2,  # all distances
    ranges={
        "alpha": Number(above=0),
        "n_range_min": Number(above=0),
        "n_range_max": Number(above=0),
        "range_type": Choice(RANGE_TYPES),
        "nsteps": Whole(2),
        "subsamples": Whole(1),
        "random_state": SEED,
    },
    check=_check,
)
