"""Standard errors of estimates, from what each point adds to an estimate.

Tokens of one sequence depend on each other, so that contributions of a sequence are added up where it is known which point is
of which: `groups` gives each point's sequence, and points with the same number belong together. None stands for
independent points.
"""

from __future__ import annotations

import numpy as np

SEED = 0
# Contributions of a Gaussian cloud to its covariance are squares of normal values, whose kurtosis is 15; that of some
# hundred of them reaches 20 by chance.
HEAVIEST = 20
# Student's t of so many degrees of freedom is within ± 1.96 in 92 % of cases.
LEAST_FREEDOM = 10
# With fewer groups, derivatives are too far from what they are on average.
LEAST_GROUPS = 30


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


def member_error(
    own: np.ndarray, members: np.ndarray, effects: np.ndarray, pairs: np.ndarray, groups: np.ndarray | None = None
) -> float:
    """Standard error of a statistic of neighbourhoods, from what each point adds as their centre and as their member.

    own: float64 (N,), N times what each point adds by the value of its own neighbourhood; 0 where that is undefined.
    members: int (N, L), the neighbourhood of each point. effects: float64 (N, L), N times what a member adds by changing
    that value; 0 where it is undefined. pairs: float64 (N, L), the part of `own` that comes from a point and a member,
    of mean 0 over the members. groups: int (N,) or None: a member counts in values of other groups only, since a
    group comes with its own members.

    The contributions of a point are added up, as in the infinitesimal jackknife. What a pair of points adds is in those
    of both, so that its square is counted twice; it is taken off once (Efron & Stein 1981, The jackknife estimate of
    variance, doi:10.1214/aos/1176345462; for groups Aronow, Samii & Assenova 2015, arXiv:1312.3398). At least the
    error of independent pairs is given. NaN as in `interval_error`, or where an effect is not finite.
    """
    from scipy import sparse

    if not np.isfinite(effects).all():
        return np.nan
    number = len(own)
    labels = np.arange(number) if groups is None else np.unique(groups, return_inverse=True)[1]
    outside = labels[members] != labels[:, None]
    influence = own + np.bincount(members[outside], effects[outside], minlength=number)
    places = np.repeat(labels, outside.sum(axis=1)), labels[members[outside]]
    between = sparse.coo_array((pairs[outside], places), shape=(labels.max() + 1,) * 2).tocsr()
    twice = (between + between.T).power(2).sum() / 2 / number**2
    return float(np.sqrt(max(interval_error(influence, groups) ** 2 - twice, twice)))


def second_order_error(
    influence: np.ndarray, changes: np.ndarray, signs: np.ndarray, groups: np.ndarray | None = None
) -> float:
    """Standard error of a smooth statistic of the cloud, corrected for the sampling of its own derivative.

    influence: float64 (N,), N times the derivative by the weight of each point. signs: float64 (draws, N), at least 2 draws
    of `random_signs`. changes: float64 (draws, N), the first-order change of `influence` when the weight of each point
    grows by its sign. groups: int (N,) or None.

    With Q the second derivatives by the weights of points (or groups), pairs add half of the sum of Q² off the diagonal to
    the variance, and all of it to the squared influence (Efron & Stein 1981, doi:10.1214/aos/1176345462). Half is taken
    off. The changes are Q times the signs: their squares have the sum of all Q² as their mean, and products of two draws,
    each times its signs, that of the diagonal. NaN as in `interval_error`.
    """
    labels = np.arange(len(influence)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.stack([np.bincount(labels, change - change.mean()) for change in changes])
    first = np.unique(labels, return_index=True)[1]
    alone, draws = sums * signs[:, first], len(sums)
    diagonal = np.sum(alone.sum(axis=0) ** 2 - (alone**2).sum(axis=0)) / (draws * (draws - 1))
    pairs = max(np.sum(sums**2) / draws - diagonal, 0.0) / 2 / len(influence) ** 2
    return float(np.sqrt(max(interval_error(influence, groups) ** 2 - pairs, pairs)))


def random_signs(influence: np.ndarray, draws: int, groups: np.ndarray | None = None) -> np.ndarray:
    """1 or -1 for each point, the same in a group, float64 (draws, N); drawn in the order of what points or groups add.

    They are the same at each call and do not depend on the order in which the points come.
    """
    labels = np.arange(len(influence)) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(np.bincount(labels, influence))
    signs = np.empty((draws, len(order)))
    signs[:, order] = np.random.Generator(np.random.PCG64(SEED)).choice([-1.0, 1.0], (draws, len(order)))
    return signs[:, labels]


def interval_error(influence: np.ndarray, groups: np.ndarray | None = None, members: np.ndarray | None = None) -> float:
    """`linear_error`, but NaN where 1.96 of it would be no interval of 95 %, see `rests_on_few`."""
    return np.nan if rests_on_few(influence, groups) else linear_error(influence, groups, members)


def rests_on_few(influence: np.ndarray, groups: np.ndarray | None = None) -> bool:
    """Whether the variance that contributions of points (or groups) show rests on few of them.

    It does if they have heavier tails than those of a Gaussian cloud to its covariance: a kurtosis above 20. Student's t
    with 3 degrees of freedom has infinite variance of the contributions to its covariance, and what a sample shows of it
    says nothing. It also does if there are fewer than 30 points or groups, or if the variance has fewer than 10 degrees of
    freedom: 2 n / (kurtosis - 1) for n points or groups (Satterthwaite 1946, doi:10.2307/3002019).
    """
    defined = ~np.isnan(influence)
    if np.count_nonzero(defined) < LEAST_GROUPS:
        return True
    sums = influence[defined] - influence[defined].mean()
    if groups is not None:
        sums = np.bincount(np.unique(groups[defined], return_inverse=True)[1], sums)
    number, squares = len(sums), sums @ sums
    kurtosis = number * np.sum((sums / np.sqrt(squares)) ** 4) if squares > 0 else 1.0
    return bool(number < LEAST_GROUPS or kurtosis > HEAVIEST or 2 * number < LEAST_FREEDOM * (kurtosis - 1))


def mean_error(values: np.ndarray, members: np.ndarray, parts: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Standard error of the mean of local values, each measured in a neighbourhood that shares points with others.

    values: float64 (N,), NaN where undefined. members: int (N, L), the neighbourhood of each point, the nearest first.
    parts: float64 (N, L), what each member adds to the value by chance; those of a value add up to 0, and their squares to
    its variance in a cloud of one dimension. groups: int (N,) or None.

    Chance: a point has a part in every neighbourhood that it is a member of, and its coming pushes the outermost member
    out of each, whose part is the mean of the outermost eighth. What a point adds so is added up, and points that are
    nearest to each other count as dependent. The cloud: values differ between its regions as well, and another sample has
    other points in each. Their variance is that of the values less what chance adds to it. Both are taken to be independent
    of each other. NaN as in `interval_error`.
    """
    from scipy import sparse

    defined = ~np.isnan(values)
    number = int(np.count_nonzero(defined))
    if not number:
        return np.nan
    own = np.where(defined, values - values[defined].mean(), 0.0)
    parts = np.where(defined[:, None], parts, 0.0)
    labels = np.arange(len(own)) if groups is None else np.unique(groups, return_inverse=True)[1]
    pushed_out = parts[:, -max(1, parts.shape[1] // 8) :].mean(axis=1, keepdims=True)
    added = np.bincount(members.ravel(), (parts - pushed_out).ravel(), minlength=len(own))
    if rests_on_few(own + added, groups):
        return np.nan
    places = np.repeat(labels, members.shape[1]), members.ravel()
    in_values = sparse.coo_array((parts.ravel(), places), shape=(labels.max() + 1, len(own))).tocsr().power(2).sum()
    sums = np.bincount(labels, own)
    between = max(sums @ sums * len(sums) / (len(sums) - 1) - in_values, 0.0)
    chance = linear_error(added, groups, members[:, :1]) * len(own)
    return float(np.sqrt(between + chance**2)) / number
