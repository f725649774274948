"""What the neighbourhood of each point holds, read off the neighbour graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from idsweep.neighbors.graph import Fellows, NeighborGraph, WholeGraph

BATCH_BYTES = 4 * 2**20


def whole_graph(X: np.ndarray, graph: NeighborGraph) -> WholeGraph:
    """The graph of X, float (N, D), with the distances that `nearest_two_within` would otherwise compute from X."""
    from idsweep.machine.compiled import in_threads
    from idsweep.neighbors import kernels

    counts = np.zeros(len(graph.indices), dtype=np.int64)
    parts = {}

    def measure(start: int, stop: int) -> None:
        parts[start] = kernels.unlisted(X, graph.indices, start, stop, counts)

    in_threads(measure, len(counts))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    entries = (np.concatenate(of_parts) for of_parts in zip(*(parts[start] for start in sorted(parts)), strict=True))
    return WholeGraph(graph.indices, graph.distances, Fellows(offsets, *entries))


def nearest_two_within(X: np.ndarray | None, graph: NeighborGraph, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each member of each neighbourhood to its nearest and second nearest fellow member.

    X: float32 or float64 (N, D), the points of the graph, or None if the graph is a `WholeGraph`. The neighbourhood of a
    point is its first n_neighbors neighbours, the point itself not among them. Returns r1, r2, float64 (N, n_neighbors):
    entry (i, a) belongs to the member graph.indices[i, a].

    The two nearest fellows are nearly always in the member's own list of neighbours, which holds all that is nearer than
    its last entry. Where it names fewer than two, distances are those that a `WholeGraph` holds, or computed from X: they
    are the same, bit by bit.

    Raises ValueError if n_neighbors is below 3 (a member needs two fellows) or beyond the graph, or without X if the graph
    is no `WholeGraph`.
    """
    if not 3 <= n_neighbors <= graph.indices.shape[1]:
        raise ValueError(
            f"n_neighbors = {n_neighbors}: a neighbourhood needs at least 3 points (a member and its two nearest "
            f"fellows), and the graph holds {graph.indices.shape[1]} neighbours of each point."
        )
    fellows = graph.fellows if isinstance(graph, WholeGraph) else None
    if X is None and fellows is None:
        raise ValueError("distances within neighbourhoods need the points X; None was given.")
    from idsweep.machine.compiled import in_threads
    from idsweep.neighbors import kernels

    first = np.empty((len(graph.indices), n_neighbors))
    second = np.empty_like(first)

    def measure(start: int, stop: int) -> None:
        kernels.two_listed(graph.indices, graph.distances, n_neighbors, first, second, start, stop)
        if fellows is None:
            kernels.two_measured(X, graph.indices, n_neighbors, first, second, start, stop)
        else:
            kernels.two_stored(*fellows, n_neighbors, first, second, start, stop)

    in_threads(measure, len(graph.indices))
    return first, second


def leading_directions(X: np.ndarray, indices: np.ndarray, share: float, *, center: bool = True) -> np.ndarray:
    """How many eigenvalues of each neighbourhood's scatter matrix exceed `share` of the largest one, int64 (N,).

    X: float (N, D). indices: int (N, L). Counted in float32 without computing the eigenvalues; where one of them
    is so near the limit that rounding could decide, counted again in float64. 0 where all members are equal.
    """
    from idsweep.machine.compiled import in_threads, one_blas_thread
    from idsweep.neighbors import kernels

    counts = np.empty(len(indices), dtype=np.int64)
    unsure = np.arange(len(indices))
    for dtype in (np.float32, np.float64):
        # Of an eigenvalue, as a share of the trace: the growth of independent rounding errors in sums of D products
        # (Higham & Mary 2019, doi:10.1137/18M1226312), 20 times the largest error found on hidden states.
        error = np.sqrt(X.shape[1]) * np.finfo(dtype).eps / 2
        groups = indices[unsure]
        found = np.empty(len(groups), dtype=np.int64)

        def count(start: int, stop: int, dtype=dtype, error=error, groups=groups, found=found) -> None:
            for part, gram, _ in _gram_matrices(X, groups[start:stop], center, dtype, filled=True):
                kernels.count_leading(gram, share, error, start + part.start, found)

        with one_blas_thread():
            in_threads(count, len(groups))
        counts[unsure] = found
        unsure = unsure[found < 0]
        if not len(unsure):
            return counts
    values, _ = eigenvalues_of(X, indices[unsure], center=center)
    counts[unsure] = np.count_nonzero(values > share * values[:, :1], axis=1)
    return counts


def gram_matrices(
    X: np.ndarray, indices: np.ndarray, *, center: bool = True
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Gram matrices of the neighbourhoods, batch by batch: points of the batch, float64 (batch, m, m), units (batch,).

    X: float (N, D). indices: int (N, L). m = min(L, D): inner products of the L members, or D × D sums over
    the members where that is smaller; the nonzero eigenvalues are the same. center: subtract each
    neighbourhood's mean first. The members are multiplied by a power of two, the neighbourhood's unit, that brings
    their coordinates near 1: their squares neither overflow nor vanish, and what is read off does not change.
    A batch takes a few MiB, however many points there are.
    """
    return _gram_matrices(X, indices, center, np.float64)


def _gram_matrices(
    X: np.ndarray, indices: np.ndarray, center: bool, dtype: type, filled: bool = False
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """As `gram_matrices`, in a type of choice, and with m filled up with zeros to a multiple of LANES."""
    from idsweep.neighbors import kernels

    size, dimension = indices.shape[1], X.shape[1]
    by_members = size <= dimension
    rows, columns = size, dimension
    if filled:
        lanes = kernels.LANES
        rows, columns = (-(-rows // lanes) * lanes, columns) if by_members else (rows, -(-columns // lanes) * lanes)
    batch = min(len(indices), max(1, BATCH_BYTES // (np.dtype(dtype).itemsize * rows * (columns + min(rows, columns)))))
    members = np.zeros((batch, rows, columns), dtype=dtype)
    units = np.empty(batch)
    for start in range(0, len(indices), batch):
        part = slice(start, min(start + batch, len(indices)))
        kernels.gather(X, indices, center, part.start, part.stop, members[:, :, :dimension], units)
        group = members[: part.stop - part.start]
        turned = group.transpose(0, 2, 1)
        products = np.matmul(group, turned) if by_members else np.matmul(turned, group)
        yield part, products, units[: len(products)].copy()


def eigenvalues_of(X: np.ndarray, indices: np.ndarray, *, center: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the neighbourhoods' scatter matrices, float64 (N, min(L, D)), in decreasing order, and units (N,).

    They are the squared singular values of the (centred) L × D matrix of the members times the unit of the
    neighbourhood, a power of two (see `gram_matrices`). Computed from Gram matrices: exact to about 1e-15 of the
    largest one.
    """
    from idsweep.machine.compiled import in_threads, one_blas_thread

    values, units = np.empty((len(indices), min(indices.shape[1], X.shape[1]))), np.empty(len(indices))

    def solve(start: int, stop: int) -> None:
        for part, gram, of_part in gram_matrices(X, indices[start:stop], center=center):
            values[start:stop][part] = np.linalg.eigvalsh(gram)[:, ::-1]
            units[start:stop][part] = of_part

    with one_blas_thread():
        in_threads(solve, len(indices))
    return np.maximum(values, 0.0, out=values), units
