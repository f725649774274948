"""Variants of a point cloud, measured beside the data: smaller samples of it, and clouds without its structure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

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
    """
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
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    if number <= dimension:
        # random sums of the points themselves have their covariance, however low its rank
        sample = generator.standard_normal((number, number)) @ centred / np.sqrt(number - 1)
    else:
        covariance = centred.T @ centred / (number - 1)
        # constant and dependent coordinates leave it singular; this moves it by less than rounding does in float32
        covariance[np.diag_indices(dimension)] += 1e-12 * np.trace(covariance) / dimension + np.finfo(float).tiny
        sample = generator.standard_normal((number, dimension)) @ np.linalg.cholesky(covariance).T
    return (sample + mean).astype(vectors.dtype)


def _permuted(vectors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.permuted(vectors, axis=0)
