"""Means of values that depend on each other within clusters, as tokens do within a sequence, by a formula instead of a bootstrap.

`resampling` draws clusters anew, a thousand times for each mean. This is for tables of many thousand means.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Means(NamedTuple):
    """Means of several rows of values; arrays (R,), float64 but for the counts, int64. NaN where there is nothing to tell it from."""

    mean: np.ndarray
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n_values: np.ndarray
    n_clusters: np.ndarray


def side_by_side(clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order in which the members of each cluster stand side by side, and where each cluster begins in it.

    Parameters
    ----------
    clusters : array (N,), int
        The cluster of each value, any numbers.

    Returns
    -------
    order : array (N,), int64
        Places of the values, cluster by cluster; within a cluster as they were.
    starts : array (G,), int64
        The place in `order` at which each cluster begins.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.statistics.clusters import side_by_side
    >>> order, starts = side_by_side(np.array([7, 3, 7, 3, 3]))
    >>> order.tolist(), starts.tolist()
    ([1, 3, 4, 0, 2], [0, 3])
    """
    order = np.argsort(clusters, kind="stable")
    ordered = clusters[order]
    begins = np.ones(len(ordered), dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(begins)


def clustered_means(values: np.ndarray, starts: np.ndarray, *, confidence: float = CONFIDENCE) -> Means:
    """Mean of each row of values, with its standard error and interval, where values of a cluster depend on each other.

    With n values in G clusters, d the values less their mean and s their sums over clusters, the standard error is
    √(G / (G − 1) · Σ s²) / n, and the interval reaches as many of them to both sides as Student's t with G − 1 degrees of
    freedom says (Liang & Zeger 1986, doi:10.1093/biomet/73.1.13; Cameron & Miller 2015, doi:10.3368/jhr.50.2.317, sections II
    and VI). Every value counts alike. With equal clusters this is the interval of a t test of the clusters' means.

    Coverage of 95 % intervals in 4,000 simulated sets of 30 (100) clusters of 2 to 39 dependent values: 0.938 (0.947) for
    normal values, 0.895 (0.924) for clusters of log-normal means. Where every value counts as a cluster it is 0.40 (0.41).

    Parameters
    ----------
    values : array (R, N), float64
        NaN where a row has no value. The columns of a cluster stand side by side, see `side_by_side`.
    starts : array (G,), int
        The column at which each cluster begins, the same for all rows.
    confidence : float
        The share of intervals that are to hold the true mean.

    Returns
    -------
    Means
        Of each row. Clusters without a value do not count. Standard error and interval are NaN with fewer than two clusters,
        the mean without a value.

    Raises
    ------
    ValueError
        If the confidence is no share.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.statistics.clusters import clustered_means
    >>> found = clustered_means(np.array([[1.0, 3.0, 4.0, 4.0]]), np.array([0, 2]))
    >>> found.mean.tolist(), found.standard_error.tolist(), found.n_clusters.tolist()
    ([3.0], [1.0], [2])
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; a share between 0 and 1 is needed, as {CONFIDENCE}.")
    defined = ~np.isnan(values)
    number = np.count_nonzero(defined, axis=1)
    clusters = np.count_nonzero(np.logical_or.reduceat(defined, starts, axis=1), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(defined, values, 0.0).sum(axis=1) / number
        # Not sums less n times the mean: that would lose digits where the mean is large.
        sums = np.add.reduceat(np.where(defined, values - mean[:, None], 0.0), starts, axis=1)
        error = np.sqrt(clusters / (clusters - 1) * np.einsum("ij,ij->i", sums, sums)) / number
        error[clusters < 2] = np.nan
        half = stats.t.ppf((1 + confidence) / 2, clusters - 1) * error
    return Means(mean, error, mean - half, mean + half, number, clusters)


def inflation(standard_errors: np.ndarray, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many times larger standard errors of means are than those which know of clusters alone, float64 (R,).

    Parameters
    ----------
    standard_errors : array (R,), float64
        Of the mean of each row, as they are known otherwise. NaN where none is.
    values : array (R, N), float64
    starts : array (G,), int
        As `clustered_means` takes them.

    Returns
    -------
    array (R,), float64
        NaN where one of both errors is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.statistics.clusters import inflation
    >>> inflation(np.array([2.0]), np.array([[1.0, 3.0, 4.0, 4.0]]), np.array([0, 2])).tolist()
    [2.0]
    """
    of_clusters = clustered_means(values, starts).standard_error
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(
            of_clusters > 0, standard_errors / of_clusters, np.where(np.isnan(standard_errors), np.nan, 1.0)
        )


def paired_differences(
    values: np.ndarray,
    others: np.ndarray,
    starts: np.ndarray,
    inflations: np.ndarray,
    other_inflations: np.ndarray,
    *,
    confidence: float = CONFIDENCE,
) -> Means:
    """Means of differences of local estimates at the same points, with intervals that know of neighbourhoods that share points.

    Estimates of points that share neighbours depend on each other beyond their sequences. Their means have standard errors that know
    of it, φ times those of clusters alone (`inflation`). A difference takes over what the means have: with v and w the squares of both
    means' errors by clusters over the pairs, its error by clusters is multiplied by √((φ² v + ψ² w) / (v + w)), and by no less than 1. Where
    both clouds have nothing in common that is the root of the sum of both means' squared errors.

    Coverage of 95 % intervals of no difference (local TwoNN, L = 64; Gaussian clouds of 600 and 2,000 points in 5 dimensions, in sequences of
    6; independent, or one cloud with noise of 0.5, 0.1 and 0.02 twice; 80 and 40 draws each): 0.92 to 1.00. By clusters alone it is 0.28
    to 0.40.

    Parameters
    ----------
    values, others : arrays (R, N), float64
        NaN where there is no value. The columns of a cluster stand side by side.
    starts : array (G,), int
        The column at which each cluster begins.
    inflations, other_inflations : arrays (R,), float64
        φ and ψ, each of all of its own points. NaN where they are not known.

    Returns
    -------
    Means
        Of values - others where both are defined. Standard error and interval are NaN where φ or ψ is, and with fewer than two clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from idsweep.statistics.clusters import paired_differences
    >>> values, others = np.array([[1.0, 3.0, 4.0, 4.0]]), np.array([[0.0, 0.0, 1.0, 1.0]])
    >>> found = paired_differences(values, others, np.array([0, 2]), np.array([2.0]), np.array([2.0]))
    >>> found.mean.tolist(), found.standard_error.tolist()
    ([2.5], [1.0])
    """
    differences = values - others
    paired = ~np.isnan(differences)
    means = clustered_means(differences, starts, confidence=confidence)
    v, w = (
        clustered_means(np.where(paired, of_one, np.nan), starts).standard_error ** 2 for of_one in (values, others)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(
            v + w > 0, (inflations**2 * v + other_inflations**2 * w) / (v + w), inflations * other_inflations
        )
        error = means.standard_error * np.sqrt(np.maximum(share, 1.0))
        half = stats.t.ppf((1 + confidence) / 2, means.n_clusters - 1) * error
    return means._replace(standard_error=error, lower=means.mean - half, upper=means.mean + half)
