"""Exact k nearest neighbours in Euclidean distance, on CPU and GPU."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from math import isfinite
from numbers import Real

import numpy as np

from idsweep.neighbors.graph import (
    BLOCK,
    DENSE_BYTES,
    KEPT_BYTES,
    NeighborGraph,
    candidates_kept,
    center_and_scale,
    check_cloud,
    check_distances,
    unit_and_slope,
)

log = logging.getLogger(__name__)

DTYPES = ("float32", "float64")


def nearest_neighbors(
    X: np.ndarray, k: int, device: str = "cpu", dtype: str = "float32", memory_share: float = 0.25
) -> NeighborGraph:
    """Find the exact k nearest neighbours of each point in Euclidean distance, the point itself left out.

    The result is that of float64 distances computed from differences of the given values. Candidates come from inner
    products of the centred cloud in `dtype`. A bound on the rounding errors proves that no other point can be nearer;
    where it cannot, the point is searched again in float64.

    On unit vectors the order is that of cosine similarity. On standardised coordinates it is that of the standardised
    distance. `points.prepare_points` makes either.

    Parameters
    ----------
    X : array (N, D)
        The points: float16, float32, float64 or integers. A duplicate of a point is its neighbour at distance 0.
    k : int
        Neighbours of each point, 1 … N-1.
    device : str
        "cpu", or a torch device such as "cuda".
    dtype : {"float32", "float64"}
        Type of the first inner products. "float64" is slower and gives the same result.
    memory_share : float
        Share of a GPU's free memory that the search may take beside the cloud.

    Returns
    -------
    NeighborGraph
        `indices`, int32 (N, k), and `distances`, float64 (N, k), sorted by distance, ties by index.

    Raises
    ------
    ValueError
        If X is not a finite numeric matrix, k is not in 1 … N-1, `dtype` is not known, or distances are too small for
        float64 to hold with all their digits.

    Notes
    -----
    Beside the cloud and the result the CPU takes about 10 (k + 100) bytes a point and at most 0.5 GB.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.neighbors import nearest_neighbors
    >>> graph = nearest_neighbors(np.array([[0.0], [1.0], [3.0]]), k=2)
    >>> graph.indices.tolist()
    [[1, 2], [0, 2], [1, 0]]
    >>> graph.distances.tolist()
    [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]]
    """
    X = check_cloud(X)
    if dtype not in DTYPES:
        raise ValueError(f"dtype = {dtype!r} is not known; it must be one of {', '.join(DTYPES)}.")
    if isinstance(k, bool) or not isinstance(k, Real) or not isfinite(k) or int(k) != k or k < 1:
        raise ValueError(f"k = {k!r} neighbours cannot be searched; k must be a whole number of at least 1.")
    if k >= len(X):
        raise ValueError(
            f"k = {k} neighbours cannot be found among N = {len(X)} points, since a point is not its own "
            f"neighbour; lower k to at most {len(X) - 1} or give more points."
        )
    if device == "cpu":
        graph = _search(X, int(k), dtype)
    else:
        from idsweep.neighbors import search_torch

        graph = NeighborGraph(*search_torch.search(X, int(k), device, dtype, memory_share))
    check_distances(graph.distances)
    return graph


def _search(X: np.ndarray, k: int, dtype: str) -> NeighborGraph:
    from idsweep.machine.compiled import in_threads, one_blas_thread
    from idsweep.neighbors import kernels

    number, dimension = X.shape
    mean, scale = center_and_scale(X)

    def centred(start: int, stop: int) -> np.ndarray:
        return ((X[start:stop] - mean) * scale).astype(np.float32)

    # blocks of equal size; of a large cloud only those of the last rows and columns are kept
    size = -(-number // -(-number // BLOCK))
    starts = range(0, number, size)
    block_of = lru_cache(None if 4 * number * dimension <= KEPT_BYTES else 2)(
        lambda i: centred(i * size, (i + 1) * size)
    )
    squares = np.empty(number)

    def measure(first: int, last: int) -> None:
        for i in range(first, last):
            block = block_of(i).astype(np.float64)
            squares[i * size : (i + 1) * size] = np.einsum("ij,ij->i", block, block)

    in_threads(measure, len(starts))
    norms = np.sqrt(squares)
    found = np.empty((number, k), dtype=np.int32)
    distances = np.empty((number, k))
    unproven = points = np.arange(number)
    if dtype == "float32":
        with one_blas_thread():
            candidates = _candidates(block_of, starts, squares, k)

        def rank(start: int, stop: int) -> None:
            unit, slope = unit_and_slope(np.float32, dimension)
            kernels.rank(X, points, scale, norms, unit, slope, k, *candidates, start, stop, found, distances)

        in_threads(rank, number)
        counts = candidates[2]
        unproven = np.flatnonzero(counts < 0)
        del candidates
        log.debug("%d of %d points are searched again in float64", len(unproven), number)
    if len(unproven):
        _search_in_float64(X, k, unproven, mean, scale, norms, found, distances)
    return NeighborGraph(found, distances)


def _candidates(
    block_of: Callable[[int], np.ndarray], starts: range, squares: np.ndarray, k: int
) -> tuple[np.ndarray, ...]:
    """Each point's nearest candidates by float32 inner products, each product computed once for both points.

    block_of: i -> rows starts[i] … starts[i + 1] of the centred cloud, float32. Returns values float32 (N, capacity),
    half the squared distance; ids int32 (N, capacity); counts (N,); thresholds float32 (N,): no point that is not
    among the candidates has a smaller value.
    """
    from idsweep.machine.compiled import in_threads
    from idsweep.neighbors import kernels

    number = len(squares)
    kept = candidates_kept(k, number - 1)
    capacity = min(number, kept + max(64, kept // 2))
    half_norms = (squares / 2).astype(np.float32)
    values = np.empty((number, capacity), dtype=np.float32)
    ids = np.empty((number, capacity), dtype=np.int32)
    counts = np.zeros(number, dtype=np.int64)
    thresholds = np.full(number, np.inf, dtype=np.float32)
    state = (values, ids, counts, thresholds, kept)
    buffer = np.empty(starts.step**2, dtype=np.float32)
    numbers = range(len(starts))
    # the diagonal first: every threshold is then low before anything is offered
    for i, j in [*zip(numbers, numbers, strict=True), *itertools.combinations(numbers, 2)]:
        rows, columns, row0, column0 = block_of(i), block_of(j), starts[i], starts[j]
        products = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
        on_diagonal = i == j
        block = (products, half_norms, row0) if on_diagonal else (products, half_norms, row0, column0)
        for_rows = kernels.begin_rows if on_diagonal else kernels.offer_to_rows

        def multiply(start: int, stop: int, pair=(rows, columns), block=block, for_rows=for_rows) -> None:
            np.matmul(pair[0][start:stop], pair[1].T, out=block[0][start:stop])
            for_rows(*block, start, stop, *state)

        in_threads(multiply, len(rows))
        if not on_diagonal:
            in_threads(partial(_call, kernels.offer_to_columns, block, state), len(columns))
    return values, ids, counts, thresholds


def _call(kernel: Callable, block: tuple, state: tuple, start: int, stop: int) -> None:
    kernel(*block, start, stop, *state)


def _search_in_float64(
    X: np.ndarray,
    k: int,
    points: np.ndarray,
    mean: np.ndarray,
    scale: float,
    norms: np.ndarray,
    found: np.ndarray,
    distances: np.ndarray,
) -> None:
    """Search for the neighbours of `points` among all others, in float64; fills their rows of the result."""
    from idsweep.machine.compiled import in_threads
    from idsweep.neighbors import kernels

    number, dimension = X.shape
    unit, slope = unit_and_slope(np.float64, dimension)
    # norms come from the float32 cloud: make them upper bounds of those of the float64 cloud
    norms = norms * (1 + 2.0**-22) + 1e-36
    height = int(np.clip(DENSE_BYTES // (12 * number), 16, 1024))
    for first in range(0, len(points), height):
        part = points[first : first + height]
        rows = (X[part] - mean) * scale
        own = np.einsum("ij,ij->i", rows, rows) / 2
        values = np.empty((len(part), number))
        for column0 in range(0, number, BLOCK):
            columns = (X[column0 : column0 + BLOCK] - mean) * scale
            block = values[:, column0 : column0 + BLOCK]
            np.matmul(rows, columns.T, out=block)
            np.subtract(own[:, None] + np.einsum("ij,ij->i", columns, columns) / 2, block, out=block)
        values[np.arange(len(part)), part] = np.inf
        ids = np.tile(np.arange(number, dtype=np.int32), (len(part), 1))
        counts = np.full(len(part), number)
        thresholds = np.full(len(part), np.inf)

        def rank(start: int, stop: int, part=part, work=(values, ids, counts, thresholds)) -> None:
            kernels.rank(X, part, scale, norms, unit, slope, k, *work, start, stop, found, distances)

        in_threads(rank, len(part))
