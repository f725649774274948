"""What the neighbourhood of each point holds, read off the neighbour graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BATCH_BYTES = 32 * 2**20


def nearest_two_within(
    X: np.ndarray, indices: np.ndarray, distances: np.ndarray, n_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each member of each neighbourhood to its nearest and second nearest fellow member.

    X: float32 or float64 (N, D). indices int32, distances float64 (N, k): the graph; the neighbourhood
    of a point is its first n_neighbors entries, the point itself not among them. Returns r1, r2,
    float64 (N, n_neighbors): entry (i, a) belongs to the member indices[i, a].

    The two nearest fellows are nearly always in the member's own list of neighbours, which holds all
    that is nearer than its last entry; where it names fewer than two, distances are computed from X.

    Raises ValueError if n_neighbors is below 3 (a member needs two fellows) or beyond the graph.
    """
    if not 3 <= n_neighbors <= indices.shape[1]:
        raise ValueError(
            f"n_neighbors = {n_neighbors}: a neighbourhood needs at least 3 points (a member and its two nearest "
            f"fellows), and the graph holds {indices.shape[1]} neighbours of each point."
        )
    from idsweep import kernels
    from idsweep.compiled import in_threads

    first = np.empty((len(indices), n_neighbors))
    second = np.empty_like(first)

    def measure(start: int, stop: int) -> None:
        kernels.nearest_two_within(X, indices, distances, n_neighbors, first, second, start, stop)

    in_threads(measure, len(indices))
    return first, second


def gram_matrices(X: np.ndarray, indices: np.ndarray, *, center: bool = True) -> Iterator[tuple[slice, np.ndarray]]:
    """Gram matrices of the neighbourhoods, batch by batch: (points of the batch, float64 (batch, m, m)).

    X: float (N, D). indices: int (N, L). m = min(L, D): inner products of the L members, or D × D sums over
    the members where that is smaller; the nonzero eigenvalues are the same. center: subtract each
    neighbourhood's mean first. A batch takes about 32 MiB, however many points there are.
    """
    size, dimension = indices.shape[1], X.shape[1]
    batch = max(1, BATCH_BYTES // (8 * size * (dimension + min(size, dimension))))
    for start in range(0, len(indices), batch):
        part = slice(start, min(start + batch, len(indices)))
        members = X[indices[part]].astype(np.float64)
        if center:
            members -= members[:, :1].copy()  # equal members become exact zeros
            members -= members.mean(axis=1, keepdims=True)
        turned = members.transpose(0, 2, 1)
        yield part, np.matmul(members, turned) if size <= dimension else np.matmul(turned, members)


def spectra(X: np.ndarray, indices: np.ndarray, *, center: bool = True) -> np.ndarray:
    """Eigenvalues of the neighbourhoods' scatter matrices, float64 (N, min(L, D)), in decreasing order.

    They are the squared singular values of the (centred) L × D matrix of the members, computed from
    Gram matrices: exact to about 1e-15 of the largest one.
    """
    from idsweep.compiled import in_threads, one_blas_thread

    values = np.empty((len(indices), min(indices.shape[1], X.shape[1])))

    def solve(start: int, stop: int) -> None:
        for part, gram in gram_matrices(X, indices[start:stop], center=center):
            values[start:stop][part] = np.linalg.eigvalsh(gram)[:, ::-1]

    with one_blas_thread():
        in_threads(solve, len(indices))
    return np.maximum(values, 0.0, out=values)
