"""Variants of a point cloud, measured beside the data: smaller samples of it, and clouds without its structure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from idsweep.neighbors.graph import center_and_scale, unit_of

log = logging.getLogger(__name__)

DATA = "data"
NULLS = ("gaussian", "permuted")


class Variant(NamedTuple):
    """A cloud that is measured.

    name: "data", "data/2", "data/4" … or the name of a null. rows: int (N,), its points' places in the data; for a
    null, whose points are nobody's, 0 … N-1. vectors: float32 or float64 (N, D).
    """

    name: str
    rows: np.ndarray
    vectors: np.ndarray


def of_cloud(
    vectors: np.ndarray, *, halvings: int = 0, nulls: Sequence[str] = (), seed: int = 0, neighbors: int = 1
) -> Iterator[Variant]:
    """The data themselves, then what is asked for beside them, one at a time.

    vectors: float32 or float64 (N, D). halvings: how often half of the points is left out at random, each time from
    the half before; none with no more than `neighbors` points, which is logged. nulls: of `NULLS`:

    gaussian  points drawn from the normal distribution with the cloud's mean and covariance: it has the linear spread
              of the data and nothing else. Differences tell of curvature, clusters and heavy tails.
    permuted  each coordinate shuffled over the points by itself: it keeps the coordinates' own distributions and
              loses what ties them to each other.

    seed: of numpy's Generator(PCG64([seed, …])), one stream for each variant, so that none changes another.

    Raises ValueError for a null that is not known, and numbers that are negative or no whole ones.
    """
    for key, value, least in (("halvings", halvings, 0), ("seed", seed, 0), ("neighbors", neighbors, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{key} = {value!r} must be a whole number of at least {least}.")
    for name in nulls:
        if name not in NULLS:
            raise ValueError(f"there is no null {name!r}; the nulls are {', '.join(NULLS)}.")
    yield Variant(DATA, np.arange(len(vectors)), vectors)
    rows = np.arange(len(vectors))
    for power in range(1, halvings + 1):
        size = len(rows) // 2
        if size <= neighbors:
            log.warning("%s/%d is left out: %d points are too few for %d neighbours", DATA, 2**power, size, neighbors)
            break
        rows = np.sort(_generator(seed, 0, power).choice(rows, size=size, replace=False))
        yield Variant(f"{DATA}/{2**power}", rows, vectors[rows])
    makers = {"gaussian": _gaussian, "permuted": _permuted}
    for name in nulls:
        vectors_of_null = makers[name](vectors, _generator(seed, 1 + NULLS.index(name)))
        yield Variant(name, np.arange(len(vectors)), vectors_of_null)


def is_null(name: str) -> bool:
    """Whether the points of a variant are other points than the data's."""
    return name in NULLS


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _gaussian(vectors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    number, dimension = vectors.shape
    mean, _ = center_and_scale(vectors)
    centred = vectors - mean
    if number <= dimension:
        # random sums of the points themselves have their covariance, however low its rank
        sample = generator.standard_normal((number, number)) @ centred / np.sqrt(max(number - 1, 1))
    else:
        # correlations: a large coordinate takes no digits from a small one, and no square overflows or vanishes
        units = np.array([unit_of(size) for size in np.abs(centred).max(axis=0)])
        centred *= units
        lengths = np.sqrt(np.einsum("ij,ij->j", centred, centred))
        centred /= np.where(lengths > 0, lengths, 1.0)
        correlation = centred.T @ centred
        # constant and dependent coordinates leave it singular; this moves it by less than rounding does in float32
        correlation[np.diag_indices(dimension)] += np.where(lengths > 0, 1e-12, 1.0)
        sample = generator.standard_normal((number, dimension)) @ np.linalg.cholesky(correlation).T
        sample *= lengths / units / np.sqrt(number - 1)
    return (sample + mean).astype(vectors.dtype)


def _permuted(vectors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.permuted(vectors, axis=0)
