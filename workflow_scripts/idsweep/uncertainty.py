"""Standard errors of estimates: by resampling points, by linearisation, and for means of overlapping estimates.

Tokens of one sequence depend on each other, so whole sequences are resampled where it is known which point is of
which: `groups` gives each point's sequence, and points with the same number belong together. None stands for
independent points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 200
SEED = 0
BATCH_BYTES = 32 * 2**20


def bootstrap_error(
    statistic: Callable[[np.ndarray], np.ndarray],
    number: int,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> float:
    """Standard error of a statistic of `number` points: its spread over resampled points (Efron 1979).

    statistic: counts, int64 (B, number), how often each point was drawn in each of B resamples -> the statistic
    of each, float64 (B,). The neighbour graph is not made anew: a point that is drawn twice counts twice, it is no
    neighbour of itself (with copies as neighbours at distance 0 no estimator from distances could be resampled).
    groups: int (number,), drawn as wholes, Künsch's (1989) block bootstrap with sequences as blocks; None draws
    single points. NaN if there are fewer than 2 groups or any resample is undefined.
    """
    labels = np.arange(number) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(labels.max()) + 1 if number else 0
    if n_groups < 2:
        return np.nan
    generator = np.random.Generator(np.random.PCG64(seed))
    batch = max(1, BATCH_BYTES // (8 * max(number, n_groups)))
    values = []
    for start in range(0, resamples, batch):
        size = min(batch, resamples - start)
        drawn = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=size)
        values.append(statistic(drawn[:, labels]))
    return float(np.std(np.concatenate(values), ddof=1))


def linear_error(influence: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Standard error of a statistic whose first-order change by each point is known: the infinitesimal jackknife.

    influence: float64 (N,), the derivative of the statistic by the weight of each point, times N (mean zero but for
    rounding). What the bootstrap tends to with many resamples where the statistic is smooth (Efron 1982, The
    jackknife, the bootstrap and other resampling plans, chapter 6). groups: int (N,) or None. NaN if there are fewer than 2 groups.
    """
    return float(np.sqrt(_variance_of_sum(influence - influence.mean(), groups))) / len(influence)


def error_of_mean(values: np.ndarray, members: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Standard error of the mean of local estimates, whose neighbourhoods overlap.

    values: float64 (N,), NaN left out. members: int (N, L), the neighbourhood behind each value. groups: int (N,)
    or None. Two estimates count as dependent in proportion to the points that their neighbourhoods share, and
    fully if their points are in one group. Both are added up and what is in both is taken off once, as for errors
    clustered in two ways (Cameron, Gelbach & Miller 2011, doi:10.1198/jbes.2010.07136). The part of the groups is
    what a block bootstrap of the mean tends to with many resamples. NaN if fewer than 2 values are defined.
    """
    defined = ~np.isnan(values)
    number = int(np.count_nonzero(defined))
    if number < 2:
        return np.nan
    deviations = np.where(defined, values - values[defined].mean(), 0.0)
    alone = deviations @ deviations
    shared = np.bincount(members.ravel(), np.repeat(deviations, members.shape[1]), minlength=len(values)) + deviations
    overlapping = shared @ shared / (members.shape[1] + 1)
    together = _variance_of_sum(deviations, groups) if groups is not None else alone
    return float(np.sqrt(max(overlapping, together, overlapping + together - alone))) / number


def _variance_of_sum(deviations: np.ndarray, groups: np.ndarray | None) -> float:
    """Variance of the sum of deviations (N,) that are independent between groups."""
    if groups is not None:
        deviations = np.bincount(np.unique(groups, return_inverse=True)[1], deviations)
    number = len(deviations)
    return float(deviations @ deviations) * number / (number - 1) if number > 1 else np.nan
