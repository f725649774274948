"""What a neighbour graph is, and what searches on a CPU and on a GPU share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLOCK = 2048
DENSE_BYTES = 128 * 2**20
# A centred copy of the cloud up to this size is kept; of a larger one, blocks are made when they are needed.
KEPT_BYTES = 384 * 2**20


class NeighborGraph(NamedTuple):
    """The k nearest other points of each of N points, sorted by distance, ties by index.

    indices: int32 (N, k). distances: float64 (N, k).
    """

    indices: np.ndarray
    distances: np.ndarray


def check_cloud(X: np.ndarray, name: str = "X") -> np.ndarray:
    """X as a C-contiguous float32 or float64 matrix (N, D), without a copy where possible.

    float16 becomes float32 and integers float64. Raises ValueError if X is not 2-D, not numeric, empty, or
    holds NaN or infinite values; the message counts the rows concerned and names the first.
    """
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"{name} has shape {X.shape}; a matrix (points, coordinates) is needed.")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {X.dtype}; real numbers are needed (float16, float32 or float64).")
    if 0 in X.shape:
        raise ValueError(f"{name} has shape {X.shape}; at least one point and one coordinate are needed.")
    if X.dtype == np.float16:
        X = X.astype(np.float32)
    X = np.ascontiguousarray(X, dtype=np.float32 if X.dtype == np.float32 else np.float64)
    finite = np.isfinite(X).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"{name} has NaN or infinite values in {len(bad)} of {len(X)} rows, the first of them row {bad[0]}; "
            "leave these points out or mend what made them."
        )
    return X


def candidates_kept(k: int, number: int) -> int:
    """How many candidates a point keeps for the exact ranking of its k nearest among `number` others."""
    return min(number, k + max(32, k // 4))


def unit_and_slope(dtype: type, dimension: int) -> tuple[float, float]:
    """Unit roundoff of `dtype` and the bound on the relative error of an inner product of that length.

    Whatever the order of summation, an inner product of vectors of `dimension` coordinates is off by at
    most n u / (1 - n u) times the product of their lengths (Higham 2002, Accuracy and Stability of
    Numerical Algorithms, eq. 3.5, with the Cauchy-Schwarz inequality).
    """
    unit = float(np.finfo(dtype).eps) / 2
    if dimension * unit > 0.1:
        raise ValueError(f"vectors of {dimension} coordinates are too long to bound rounding errors in {dtype}.")
    return unit, dimension * unit / (1 - dimension * unit)


def scale_of(X: np.ndarray, mean: np.ndarray) -> float:
    """A power of two that brings the coordinates of X - mean into [-1, 1], so that no square overflows."""
    largest = max(np.max(X.max(axis=0) - mean), np.max(mean - X.min(axis=0)))
    return 1.0 if largest == 0 else float(2.0 ** -np.ceil(np.log2(largest)))


def growth(graph: NeighborGraph, k: int, width: int) -> np.ndarray:
    """How fast the logarithm of the distance to the k-th neighbour grows with the logarithm of k, float64 (N,).

    Between the (k - width)-th and the (k + width)-th neighbour, which the graph must hold, averaged over the k neighbours
    of each point. 1 / d in constant density; NaN where all have duplicates at distance 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(graph.distances[:, k + width - 1] / graph.distances[:, k - width - 1])
    logs[~np.isfinite(logs)] = np.nan
    around = logs[graph.indices[:, :k]]
    known = ~np.isnan(around)
    mean = np.divide(
        np.where(known, around, 0).sum(axis=1),
        known.sum(axis=1),
        out=np.full(len(around), np.nan),
        where=known.any(axis=1),
    )
    return mean / np.sum(1 / np.arange(k - width, k + width))
