"""What a neighbour graph is, and what searches on a CPU and on a GPU share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idsweep.machine.arrays import to_array

BLOCK = 2048
DENSE_BYTES = 128 * 2**20
# A centred copy of the cloud up to this size is kept; of a larger one, blocks are made when they are needed.
KEPT_BYTES = 384 * 2**20
# Coordinates up to here can be added up over any cloud that fits in memory, and their distances are finite.
LARGEST_COORDINATE = 2.0**980
# float64 holds all whole numbers up to here.
LARGEST_WHOLE = 2**53
# A sum of squares above this has lost nothing to squares that vanish; below, it is computed again in a fitting unit.
LEAST_SQUARE = 2.0**-960


class NeighborGraph(NamedTuple):
    """The k nearest other points of each of N points, sorted by distance, ties by index.

    indices: int32 (N, k). distances: float64 (N, k).
    """

    indices: np.ndarray
    distances: np.ndarray


class Fellows(NamedTuple):
    """Distances within neighbourhoods that the lists of a graph do not name: see `neighborhoods.nearest_two_within`.

    offsets: int64 (N + 1,); entries offsets[i] … offsets[i + 1] belong to the neighbourhood of point i. members, fellows:
    int32 (E,), places of two of its points in the list of i, members in increasing order. apart: float64 (E,), the distance
    between both.
    """

    offsets: np.ndarray
    members: np.ndarray
    fellows: np.ndarray
    apart: np.ndarray


class WholeGraph(NeighborGraph):
    """A graph with all that estimates of neighbourhoods need of the points, so that they need no vectors.

    fellows: of its neighbourhoods of every size.
    """

    fellows: Fellows

    def __new__(cls, indices: np.ndarray, distances: np.ndarray, fellows: Fellows) -> WholeGraph:
        graph = super().__new__(cls, indices, distances)
        graph.fellows = fellows
        return graph


def check_cloud(X: np.ndarray, name: str = "X") -> np.ndarray:
    """X as a C-contiguous float32 or float64 matrix (N, D), without a copy where possible.

    float16 becomes float32 and integers float64; tensors of torch are taken as `to_array` says. Raises ValueError if X is not 2-D, not numeric, empty, or
    holds values that are NaN, infinite, beyond 2**980, or whole numbers beyond 2**53; the message counts the rows
    concerned and names the first.
    """
    X = to_array(X, name)
    if X.ndim != 2:
        raise ValueError(f"{name} has shape {X.shape}; a matrix (points, coordinates) is needed.")
    if X.dtype.kind not in "fiub" or X.dtype.itemsize > 8:
        raise ValueError(f"{name} has dtype {X.dtype}; real numbers are needed (float16, float32 or float64).")
    if 0 in X.shape:
        raise ValueError(f"{name} has shape {X.shape}; at least one point and one coordinate are needed.")
    if X.dtype.kind in "iu" and (X.max() > LARGEST_WHOLE or X.min() < -LARGEST_WHOLE):
        raise ValueError(f"{name} has whole numbers beyond 2**53, which float64 would round; subtract an offset first.")
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
    if X.dtype == np.float64 and max(X.max(), -X.min()) > LARGEST_COORDINATE:
        bad = np.flatnonzero((np.abs(X) > LARGEST_COORDINATE).any(axis=1))
        raise ValueError(
            f"{name} has values beyond 2**980 (1e295) in {len(bad)} of {len(X)} rows, the first of them row {bad[0]}, whose "
            "sums float64 cannot hold; multiply all points by a power of two, as 2.0**-100."
        )
    return X


def check_distances(distances: np.ndarray) -> None:
    """Raise ValueError if points are so near each other that float64 does not hold their distance with all its digits."""
    least = float(np.finfo(np.float64).tiny)
    # rows are sorted: where no point has a nearest neighbour that near, nobody has one
    if (distances[:, 0] < least).any():
        short = ((distances > 0) & (distances < least)).any(axis=1)
        if short.any():
            raise ValueError(
                f"{np.count_nonzero(short)} of {len(distances)} points, the first of them row {np.argmax(short)}, have "
                f"neighbours nearer than {least:.3g}, where float64 loses digits; multiply all points by a power of two, as "
                "2.0**300."
            )


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


def center_and_scale(*clouds: np.ndarray) -> tuple[np.ndarray, float]:
    """The centre of some clouds, float64 (D,), and a power of two that brings them into [-1, 1] around it.

    So no square overflows. A coordinate that is the same everywhere is centred to exact zeros, however large it is.
    """
    lowest = np.min([X.min(axis=0) for X in clouds], axis=0).astype(np.float64)
    highest = np.max([X.max(axis=0) for X in clouds], axis=0).astype(np.float64)
    center = np.clip(np.mean([X.mean(axis=0, dtype=np.float64) for X in clouds], axis=0), lowest, highest)
    return center, unit_of(max(np.max(highest - center), np.max(center - lowest)))


def unit_of(size: float) -> float:
    """A power of two that brings a length into (0.5, 1], 1 for a length of 0."""
    return 1.0 if size == 0 else float(2.0 ** min(-np.ceil(np.log2(size)), 1000))


def lengths(differences: np.ndarray) -> np.ndarray:
    """Euclidean lengths of the rows of a float64 matrix (n, D), float64 (n,), also where squares overflow or vanish."""
    squares = np.einsum("ij,ij->i", differences, differences)
    found = np.sqrt(squares)
    odd = np.flatnonzero((squares < LEAST_SQUARE) | (squares == np.inf))
    if len(odd):
        exponents = np.frexp(np.abs(differences[odd]).max(axis=1))[1]
        scaled = np.ldexp(differences[odd], -exponents[:, None])
        found[odd] = np.ldexp(np.sqrt(np.einsum("ij,ij->i", scaled, scaled)), exponents)
    return found


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
