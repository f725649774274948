"""Standard errors of estimates: by resampling points, or from what each point adds to an estimate.

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


def linear_error(influence: np.ndarray, groups: np.ndarray | None = None, members: np.ndarray | None = None) -> float:
    """Standard error of a mean, or of a statistic that is one to first order, from what each point adds to it.

    influence: float64 (N,), the values of a mean, or N times the derivative of a statistic by the weight of each
    point; NaN where a point takes no part. groups: int (N,) or None. members: int (N, L), the neighbourhood that each
    value was computed from, or None if values of different points do not share any.

    For a statistic other than a mean this is the infinitesimal jackknife, which the bootstrap tends to with many
    resamples where the statistic is smooth (Efron 1982, The jackknife, the bootstrap and other resampling plans,
    chapter 6); with groups, the block bootstrap. Values of overlapping neighbourhoods count as dependent in
    proportion to the points that they share; what they and the groups add to the variance of independent values
    is added up, as for errors clustered in two ways (Cameron, Gelbach & Miller 2011, doi:10.1198/jbes.2010.07136).

    NaN if fewer than 2 values, or fewer than 2 groups, are defined.
    """
    defined = ~np.isnan(influence)
    number = int(np.count_nonzero(defined))
    if number < 2:
        return np.nan
    deviations = np.where(defined, influence - influence[defined].mean(), 0.0)
    alone = deviations @ deviations * number / (number - 1)
    variances = [alone]
    if groups is not None:
        sums = np.bincount(np.unique(groups[defined], return_inverse=True)[1], deviations[defined])
        if len(sums) < 2:
            return np.nan
        variances.append(sums @ sums * len(sums) / (len(sums) - 1))
    if members is not None:
        size = members.shape[1]
        # each value spread over its point and members: products of two spread values are 1 for the same point
        spread = np.repeat(deviations, size)
        shared = np.bincount(members.ravel(), spread, minlength=len(deviations)) + deviations
        variances.append(shared @ shared / (size + 1))
    # adding both and taking off what is in both; never below either of them
    total = alone + sum(variance - alone for variance in variances[1:])
    return float(np.sqrt(max(total, *variances))) / number
