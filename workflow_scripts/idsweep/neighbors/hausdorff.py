"""Exact Hausdorff distance of two point clouds, on CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from idsweep.neighbors.graph import (
    BLOCK,
    DENSE_BYTES,
    KEPT_BYTES,
    center_and_scale,
    check_cloud,
    lengths,
    unit_and_slope,
)

FEW = 16
DIFFERENCES = 2**21


def hausdorff_distance(A: np.ndarray, B: np.ndarray, device: str = "cpu") -> float:
    """The largest distance from a point of either cloud to the nearest point of the other, Euclidean.

    A: (N, D), B: (M, D), of float16, float32, float64 or integers. The result is that of float64 distances computed
    from differences of the given values. device: "cpu", or a torch device such as "cuda", for the inner products.

    Inner products in float32 guess each point's nearest in the other cloud; the distance to it is an upper bound of
    the distance to the nearest. In falling order of these bounds points are searched in float64, as in
    `neighbors.nearest_neighbors`, until no bound exceeds the largest distance found: a wrong guess costs time alone.
    The early end is that of Taha and Hanbury (2015, IEEE Transactions on Pattern Analysis and Machine Intelligence
    37(11), 2153-2163).

    Beside the clouds it takes at most 0.5 GB, more only beyond a million points.

    Raises ValueError if a cloud is no finite numeric matrix, or if they have different numbers of coordinates.
    """
    A, B = check_cloud(A, "A"), check_cloud(B, "B")
    if A.shape[1] != B.shape[1]:
        raise ValueError(
            f"A has {A.shape[1]} coordinates and B has {B.shape[1]}: distances need clouds in the same space; "
            "give two of the same layer of the same model."
        )
    mean, scale = center_and_scale(A, B)
    if device == "cpu":
        of_A, of_B = _guesses(A, B, mean, scale)
    else:
        of_A, of_B = _guesses_on_torch(A, B, mean, scale, device)
    return max(_farthest(A, B, of_A, mean, scale), _farthest(B, A, of_B, mean, scale))


def _guesses(A: np.ndarray, B: np.ndarray, mean: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """For each point of A its nearest in B, and the other way round, by float32 inner products: int (N,), int (M,)."""
    from idsweep.machine.compiled import in_threads, one_blas_thread
    from idsweep.neighbors import kernels

    number = len(A)
    rows_of, columns_of = (_blocks(X, mean, scale) for X in (A, B))
    half_norms = np.concatenate([_half_norms(X, mean, scale) for X in (A, B)])
    # B's points are counted on from A's; with room for two candidates, a buffer keeps the nearest so far
    values = np.empty((len(half_norms), 2), dtype=np.float32)
    ids = np.empty((len(half_norms), 2), dtype=np.int32)
    counts = np.zeros(len(half_norms), dtype=np.int64)
    thresholds = np.full(len(half_norms), np.inf, dtype=np.float32)
    state = (values, ids, counts, thresholds, 1)
    buffer = np.empty(BLOCK**2, dtype=np.float32)
    with one_blas_thread():
        for row0 in range(0, number, BLOCK):
            rows = rows_of(row0)
            for column0 in range(0, len(B), BLOCK):
                columns = columns_of(column0)
                products = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
                block = (products, half_norms, row0, number + column0)

                def to_rows(start: int, stop: int, rows=rows, columns=columns, block=block) -> None:
                    np.matmul(rows[start:stop], columns.T, out=block[0][start:stop])
                    kernels.offer_to_rows(*block, start, stop, *state)

                def to_columns(start: int, stop: int, block=block) -> None:
                    kernels.offer_to_columns(*block, start, stop, *state)

                in_threads(to_rows, len(rows))
                in_threads(to_columns, len(columns))
    return ids[:number, 0] - number, ids[number:, 0]


def _blocks(X: np.ndarray, mean: np.ndarray, scale: float) -> Callable[[int], np.ndarray]:
    """First row -> a block of the centred, scaled cloud, float32; of a large cloud only the last two are kept."""
    return lru_cache(None if 4 * X.size <= KEPT_BYTES // 2 else 2)(
        lambda start: ((X[start : start + BLOCK] - mean) * scale).astype(np.float32)
    )


def _half_norms(X: np.ndarray, mean: np.ndarray, scale: float) -> np.ndarray:
    """Half the squared length of each row of the centred, scaled cloud, float32."""
    return np.concatenate([_halves((part - mean) * scale) for part in _parts(X)]).astype(np.float32)


def _guesses_on_torch(
    A: np.ndarray, B: np.ndarray, mean: np.ndarray, scale: float, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """As `_guesses`, on a torch device."""
    import torch

    def centred(X: np.ndarray) -> torch.Tensor:
        return torch.cat([torch.from_numpy(((p - mean) * scale).astype(np.float32)).to(device) for p in _parts(X)])

    with torch.inference_mode():
        rows, columns = centred(A), centred(B)
        row_halves, column_halves = (x.square().sum(1) / 2 for x in (rows, columns))
        of_A = torch.empty(len(A), dtype=torch.int64, device=device)
        of_B = torch.zeros(len(B), dtype=torch.int64, device=device)
        nearest = torch.full((len(B),), torch.inf, device=device)
        height = int(np.clip(DENSE_BYTES // (4 * len(B)), 16, 4 * BLOCK))
        for start in range(0, len(A), height):
            part = slice(start, start + height)
            values = torch.addmm(row_halves[part, None] + column_halves, rows[part], columns.T, alpha=-1)
            of_A[part] = values.argmin(1)
            least, places = values.min(0)
            closer = least < nearest
            nearest[closer], of_B[closer] = least[closer], places[closer] + start
        return of_A.cpu().numpy(), of_B.cpu().numpy()


def _farthest(A: np.ndarray, B: np.ndarray, guesses: np.ndarray, mean: np.ndarray, scale: float) -> float:
    """The largest distance from a point of A to the nearest of B; guesses: int (N,), some point of B for each of A."""
    bounds = _distances(A, np.arange(len(A)), B, guesses)
    order = np.argsort(-bounds, kind="stable")
    most = int(np.clip(DENSE_BYTES // (12 * len(B)), FEW, 1024))
    farthest, start, height = 0.0, 0, FEW
    while start < len(order):
        rows = order[start : start + height]
        rows = rows[bounds[rows] > farthest]
        if not len(rows):
            break
        farthest = max(farthest, float(_to_nearest(A, rows, B, mean, scale).max()))
        start, height = start + height, min(2 * height, most)
    return farthest


def _to_nearest(A: np.ndarray, rows: np.ndarray, B: np.ndarray, mean: np.ndarray, scale: float) -> np.ndarray:
    """The exact distance of each of some points of A to the nearest of B, float64 (rows,).

    Inner products in float64 with a bound on their errors say which points of B can be the nearest; these are measured.
    """
    from idsweep.neighbors.kernels import largest_value

    unit, slope = unit_and_slope(np.float64, A.shape[1])
    left = (A[rows] - mean) * scale
    own = _halves(left)
    values = np.empty((len(rows), len(B)))
    for start in range(0, len(B), BLOCK):
        right = (B[start : start + BLOCK] - mean) * scale
        values[:, start : start + BLOCK] = own[:, None] + _halves(right) - left @ right.T
    nearest = _distances(A, rows, B, values.argmin(axis=1))
    # an upper bound of the points' lengths before rounding
    norms = np.sqrt(2 * own) * (1 + 2.0**-22)
    possible = values <= largest_value(nearest * scale, norms, unit, slope)[:, None]
    owners, others = np.nonzero(possible)
    np.minimum.at(nearest, owners, _distances(A, rows[owners], B, others))
    return nearest


def _distances(A: np.ndarray, rows: np.ndarray, B: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distances of pairs of a point of A and one of B, from differences in float64: float64 (pairs,)."""
    found = np.empty(len(rows))
    step = max(1, DIFFERENCES // A.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found[part] = lengths(A[rows[part]].astype(np.float64) - B[others[part]])
    return found


def _halves(X: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", X, X) / 2


def _parts(X: np.ndarray) -> list[np.ndarray]:
    return [X[start : start + BLOCK] for start in range(0, len(X), BLOCK)]
