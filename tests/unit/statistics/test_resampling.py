"""Intervals of clustered values against scipy's bootstrap, its coefficients and simulated coverage."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from idsweep.statistics import resampling
from idsweep.statistics.resampling import COEFFICIENTS, cluster_bootstrap, correlation_interval, mean_interval
from scipy import stats

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
# Its name in newer and in older versions of scipy.
SEED = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"


def clustered(number: int, seed: int = 0, rounded: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two correlated columns and the cluster of each row, which share an effect."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(number), rng.integers(1, 9, size=number))
    a, b = rng.standard_normal((2, number))[:, clusters]
    x, noise = rng.standard_normal((2, len(clusters)))
    x += a
    y = x + 2 * noise + 2 * b
    return (np.round(x), np.round(y), clusters) if rounded else (x, y, clusters)


def expanded(number: int) -> float:
    """The confidence that plain percentiles need to be the expanded ones of 95 %."""
    return 1 - 2 * stats.norm.cdf(np.sqrt(number / (number - 1)) * stats.t.ppf(0.025, number - 1))


@pytest.mark.parametrize("number", [12, 80])
def test_interval_of_a_mean_is_that_of_scipy_over_sums_and_sizes_of_clusters(number):
    values, _, clusters = clustered(number)
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters)
    oracle = stats.bootstrap(
        (sums, sizes),
        lambda sums, sizes, axis: sums.sum(axis) / sizes.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=expanded(number),
        n_resamples=20_000,
        **{SEED: 1},
    ).confidence_interval
    found = mean_interval(values, clusters, samples=20_000)
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    length = oracle.high - oracle.low
    assert (found.lower, found.upper) == pytest.approx((oracle.low, oracle.high), abs=0.015 * length)


def test_interval_of_many_independent_values_is_the_normal_one():
    values = np.random.default_rng(0).standard_normal(1000)
    found = mean_interval(values, np.arange(1000), samples=10_000)
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(1000)
    expected = values.mean() - half, values.mean() + half
    assert (found.lower, found.upper) == pytest.approx(expected, abs=0.05 * half)


@pytest.mark.parametrize("rounded", [False, True], ids=["without ties", "with ties"])
@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_correlations_are_scipy_s_in_the_data_and_in_every_sample(coefficient, rounded):
    x, y, clusters = clustered(20, rounded=rounded)
    rows = [np.flatnonzero(clusters == cluster) for cluster in range(20)]

    def slow(drawn: np.ndarray) -> np.ndarray:
        drawn = [np.concatenate([np.tile(row, n) for row, n in zip(rows, one, strict=True)]) for one in drawn]
        return np.array([SCIPY[coefficient](x[places], y[places]).statistic for places in drawn])

    found = correlation_interval(coefficient, x, y, clusters, samples=60, seed=3)
    assert found == pytest.approx(cluster_bootstrap(slow, 20, samples=60, seed=3), rel=1e-10)
    assert found.value == pytest.approx(SCIPY[coefficient](x, y).statistic, rel=1e-10)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_correlations_do_not_feel_units_or_offsets(coefficient):
    x, y, clusters = clustered(30)
    found = correlation_interval(coefficient, x, y, clusters, samples=50)
    assert correlation_interval(coefficient, 1e6 + x, 1e-9 * y, clusters, samples=50) == pytest.approx(found, rel=1e-6)
    turned = correlation_interval(coefficient, x, -y, clusters, samples=50)
    assert turned == pytest.approx((-found.value, -found.upper, -found.lower), rel=1e-10)


@pytest.mark.parametrize("measure", ["mean", *COEFFICIENTS])
def test_the_order_of_rows_the_names_of_clusters_and_memory_do_not_count(measure, monkeypatch):
    x, y, clusters = clustered(25)

    def interval(rows, names):
        if measure == "mean":
            return mean_interval(x[rows], names[rows], samples=90)
        return correlation_interval(measure, x[rows], y[rows], names[rows], samples=90)

    found = interval(np.arange(len(x)), clusters)
    assert interval(np.random.default_rng(1).permutation(len(x)), 7 * clusters - 40) == pytest.approx(found, rel=1e-10)
    monkeypatch.setattr(resampling, "BATCH_BYTES", 8 * 7 * 25)
    assert interval(np.arange(len(x)), clusters) == pytest.approx(found, rel=1e-10)


def test_the_seed_decides_and_more_confidence_is_a_wider_interval():
    x, _, clusters = clustered(25)
    assert mean_interval(x, clusters, seed=1) == mean_interval(x, clusters, seed=1)
    assert mean_interval(x, clusters, seed=1) != mean_interval(x, clusters, seed=2)
    wide, narrow = mean_interval(x, clusters, confidence=0.99), mean_interval(x, clusters, confidence=0.8)
    assert wide.lower < narrow.lower < narrow.value < narrow.upper < wide.upper


def test_intervals_of_thirty_clusters_cover_the_mean_where_those_of_points_do_not():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), np.resize([2, 10, 30], 30))
    hits = np.zeros((400, 2), dtype=bool)
    for hit in hits:
        values = rng.standard_normal(30)[clusters] + rng.standard_normal(len(clusters))
        for place, of in enumerate((clusters, np.arange(len(clusters)))):
            found = mean_interval(values, of, samples=400)
            hit[place] = found.lower < 0 < found.upper
    assert 0.90 <= hits[:, 0].mean() <= 0.98  # three standard errors of 400 trials below 0.94
    assert hits[:, 1].mean() < 0.7


@pytest.mark.parametrize("coefficient", ["pearson", "kendall"])
def test_intervals_of_thirty_clusters_cover_a_correlation(coefficient):
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), np.resize([2, 6, 12], 30))
    # all parts are normal with correlation 0.6, so all pairs are; then tau is 2/pi arcsin(0.6)
    truth = 0.6 if coefficient == "pearson" else 2 / np.pi * np.arcsin(0.6)
    hits = []
    for _ in range(200):
        shared, own = rng.standard_normal((2, 2, 30))[..., clusters], rng.standard_normal((2, 2, len(clusters)))
        x, y = (shared[0, 0] + own[0, 0]), 0.6 * (shared[0, 0] + own[0, 0]) + 0.8 * (shared[1, 0] + own[1, 0])
        found = correlation_interval(coefficient, x, y, clusters, samples=300)
        hits.append(found.lower < truth < found.upper)
    assert 0.89 <= np.mean(hits) <= 0.99


def test_one_cluster_has_a_value_and_no_interval_and_none_has_neither():
    one = mean_interval(np.array([1.0, 3.0]), np.array([4, 4]))
    assert one.value == 2 and np.isnan(one.lower) and np.isnan(one.upper)
    assert np.isnan(mean_interval(np.array([]), np.array([], dtype=int))).all()
    for coefficient in COEFFICIENTS:
        one = correlation_interval(coefficient, np.arange(3.0), np.array([1.0, 0.0, 2.0]), np.zeros(3, dtype=int))
        assert one.value == pytest.approx(SCIPY[coefficient]([0, 1, 2], [1, 0, 2]).statistic) and np.isnan(one.lower)
        assert np.isnan(correlation_interval(coefficient, np.array([]), np.array([]), np.array([], dtype=int))).all()


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_what_does_not_vary_has_no_correlation(coefficient):
    x, _, clusters = clustered(10)
    for constant in (np.full(len(x), 0.1), np.full(len(x), -2.5e9)):
        assert np.isnan(correlation_interval(coefficient, x, constant, clusters, samples=20)).all()
        assert np.isnan(correlation_interval(coefficient, constant, x, clusters, samples=20)).all()
    # varies in one of three clusters, which 8 of 27 samples lack
    y = np.where(np.arange(9) < 3, np.arange(9.0), 0.3)
    found = correlation_interval(coefficient, np.arange(9.0), y, np.arange(9) // 3)
    assert np.isfinite(found.value) and np.isnan(found.lower) and np.isnan(found.upper)


def test_samples_in_which_a_statistic_is_undefined_are_left_out_if_few():
    found = cluster_bootstrap(lambda drawn: np.where(drawn[:, 0] > 3, np.nan, drawn[:, 0]), 50, samples=2000)
    assert found.value == 1 and found.lower == 0 and found.upper == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval(np.ones(3), np.arange(2)), "3 values and 2 clusters"),
        (lambda: mean_interval(np.array([1, np.nan]), np.arange(2)), "1 of 2 values are NaN; leave out"),
        (lambda: mean_interval(np.ones(2), np.arange(2), samples=1), "samples is 1; at least 2"),
        (lambda: mean_interval(np.ones(2), np.arange(2), confidence=95), "confidence is 95; a share between 0 and 1"),
        (
            lambda: correlation_interval("tau", np.ones(2), np.ones(2), np.arange(2)),
            "'tau' is not known; choose one of",
        ),
        (lambda: correlation_interval("pearson", np.ones(2), np.ones(3), np.arange(2)), "3 values and 2 clusters"),
    ],
)
def test_what_cannot_be_resampled_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
