"""From token vectors to a point cloud: subsample, drop zero vectors and duplicates, normalise, add noise."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from idsweep.neighbors.graph import check_cloud, lengths, unit_of

log = logging.getLogger(__name__)

DRAW = ("tokens", "distinct")
CHOOSE = ("random", "first")
ZERO_VECTORS = ("keep", "drop")
NORMALIZE = ("none", "unit", "standardize")


class Points(NamedTuple):
    """A point cloud and where it comes from.

    rows: int32 (N,), increasing, the rows of the token vectors. vectors: float32 or float64 (N, D).
    """

    rows: np.ndarray
    vectors: np.ndarray


def prepare_points(
    vectors: np.ndarray,
    *,
    number: int,
    seed: int,
    draw: str = "tokens",
    choose: str = "random",
    order: np.ndarray | None = None,
    deduplicate: bool = True,
    zero_vectors: str = "keep",
    normalize: str = "none",
    center: bool = False,
    noise: float = 0.0,
    noise_seed: int = 0,
    what: str = "vectors",
) -> Points:
    """Make a point cloud of token vectors (M, D), float16, float32 or float64.

    In this order:
    1. `number` rows are drawn, the same for every matrix of M rows, so that the clouds of all layers and checkpoints are
       paired; all M if `number` is larger. choose="random" draws without replacement by numpy's Generator(PCG64(seed));
       "first" takes those that come first in `order`, int (M,): where each row stands in the order in which rows were
       sampled; the order of the rows if it is None.
    2. zero_vectors="drop" leaves out rows that are zero in every coordinate.
    3. deduplicate keeps the first of exactly equal rows (-0.0 equals 0.0) and the order of the rest. With choose="first" it
       is the first in `order`.
    4. normalize="unit" divides each row by its length (zero vectors stay); "standardize" subtracts each
       coordinate's mean and divides by its standard deviation (constant coordinates become 0).
    5. center subtracts the mean of the cloud.
    6. Gaussian noise of standard deviation `noise` is added to each coordinate, in the units of the cloud after
       steps 4 and 5, drawn by Generator(PCG64(noise_seed)) for the points that are left.

    With draw="tokens", fewer points than `number` can be left after steps 2 and 3. With draw="distinct", step 1 comes after
    them, and `number` points are left if there are as many. "random" then takes the rows that come first in a permutation of
    all M rows by PCG64(seed), so that clouds that differ in few duplicates share most of their points. float16 becomes
    float32. `what` is the name of the vectors in warnings.

    Raises ValueError if vectors is not a finite numeric matrix, if an option is unknown, or if no point is left.
    """
    known = ("draw", draw, DRAW), ("choose", choose, CHOOSE), ("zero_vectors", zero_vectors, ZERO_VECTORS)
    for key, given, allowed in (*known, ("normalize", normalize, NORMALIZE)):
        if given not in allowed:
            raise ValueError(f"{key} = {given!r} is not known; it must be one of {', '.join(allowed)}.")
    if draw == "distinct" and not deduplicate:
        raise ValueError("draw = 'distinct' leaves duplicates out; deduplicate=False keeps them. Choose one of both.")
    if number < 1:
        raise ValueError(f"number = {number} points cannot be drawn; number must be at least 1.")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise = {noise} is not a standard deviation; it must be finite and at least 0.")
    vectors = check_cloud(vectors, "vectors")
    order = np.arange(len(vectors)) if order is None or choose == "random" else np.asarray(order)
    if draw == "distinct":
        rows = np.arange(len(vectors), dtype=np.int32)
    elif choose == "first":
        rows = _first_rows(np.arange(len(vectors), dtype=np.int32), order, number, what)
    else:
        rows = draw_rows(len(vectors), number, seed, what)
    cloud = vectors[rows]
    if zero_vectors == "drop":
        kept = cloud.any(axis=1)
        rows, cloud = _keep(rows, cloud, kept, "zero vectors")
    if deduplicate:
        kept = np.zeros(len(cloud), dtype=bool)
        kept[_first_occurrences(cloud, order[rows])] = True
        rows, cloud = _keep(rows, cloud, kept, "duplicates")
    if draw == "distinct":
        if choose == "random":
            order = np.random.Generator(np.random.PCG64(seed)).permutation(len(vectors))
        taken = _first_rows(np.arange(len(rows), dtype=np.int32), order[rows], number, what)
        rows, cloud = rows[taken], cloud[taken]
    if normalize == "unit":
        cloud = _divide(cloud, lengths(cloud.astype(np.float64))[:, None])
    if center or normalize == "standardize":
        cloud = (cloud - cloud.mean(axis=0, dtype=np.float64)).astype(cloud.dtype)
    if normalize == "standardize":
        constant = (cloud == cloud[0]).all(axis=0)
        units = np.array([unit_of(size) for size in np.abs(cloud.astype(np.float64)).max(axis=0)])
        in_units = cloud * units
        cloud = _divide(in_units, np.where(constant, 1.0, in_units.std(axis=0))).astype(cloud.dtype)
        cloud[:, constant] = 0
    if noise:
        generator = np.random.Generator(np.random.PCG64(noise_seed))
        cloud = (cloud + noise * generator.standard_normal(cloud.shape)).astype(cloud.dtype)
    return Points(rows, cloud)


def draw_rows(available: int, number: int, seed: int, what: str = "vectors") -> np.ndarray:
    """`number` of the rows 0 … available-1 in increasing order, int32; all of them, with a warning, if too few."""
    _warn_of_too_few(available, number, what)
    if number >= available:
        return np.arange(available, dtype=np.int32)
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.sort(generator.choice(available, size=number, replace=False)).astype(np.int32)


def _first_rows(rows: np.ndarray, order: np.ndarray, number: int, what: str) -> np.ndarray:
    """The `number` rows of least `order`, increasing; all of them, with a warning, if too few."""
    _warn_of_too_few(len(rows), number, what)
    return np.sort(rows[np.argsort(order, kind="stable")[:number]])


def _warn_of_too_few(available: int, number: int, what: str) -> None:
    if number > available:
        log.warning("points.number = %d, but there are only %d %s: all are used", number, available, what)


def _keep(rows: np.ndarray, cloud: np.ndarray, kept: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    if kept.all():
        return rows, cloud
    if not kept.any():
        raise ValueError(f"all {len(rows)} points are {what}: nothing is left to measure.")
    log.info("%d of %d points left out: %s", np.count_nonzero(~kept), len(kept), what)
    return rows[kept], cloud[kept]


def _first_occurrences(cloud: np.ndarray, order: np.ndarray) -> np.ndarray:
    """One row of each group of equal rows: that of the least `order`."""
    # adding 0.0 turns -0.0 into 0.0, after which equal rows have equal bytes
    whole_rows = (cloud + cloud.dtype.type(0)).view(np.dtype((np.void, cloud.shape[1] * cloud.itemsize)))
    by_order = np.argsort(order, kind="stable")
    return by_order[np.unique(whole_rows[by_order, 0], return_index=True)[1]]


def _divide(cloud: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (cloud / np.where(by == 0, 1.0, by)).astype(cloud.dtype)
