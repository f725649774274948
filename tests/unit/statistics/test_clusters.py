"""Means over clusters against sums of products, a t test, and simulated clusters whose mean is known."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.estimators import estimate_local, estimate_mean
from idsweep.neighbors import nearest_neighbors
from idsweep.statistics.clusters import clustered_means, inflation, paired_differences, side_by_side
from scipy import stats


def test_means_are_those_of_a_regression_on_a_constant_with_errors_that_clusters_share() -> None:
    generator = np.random.default_rng(0)
    clusters = generator.integers(0, 9, 80) * 3
    values = generator.normal(5, 2, (3, 80)) + generator.normal(0, 1, 30)[clusters]
    values[1, generator.random(80) < 0.3] = np.nan
    values[2, clusters == clusters[0]] = np.nan  # a whole cluster
    order, starts = side_by_side(clusters)
    found = clustered_means(values[:, order], starts)
    for row, means in enumerate(zip(*found, strict=True)):
        kept = ~np.isnan(values[row])
        of_row, names = values[row][kept], clusters[kept]
        residuals = of_row - of_row.mean()
        together = names[:, None] == names[None, :]
        number, count = len(of_row), len(set(names.tolist()))
        error = np.sqrt(count / (count - 1) * (np.outer(residuals, residuals) * together).sum()) / number
        half = stats.t(count - 1).ppf(0.975) * error
        expected = (of_row.mean(), error, of_row.mean() - half, of_row.mean() + half, number, count)
        assert means == pytest.approx(expected, rel=1e-12)
    assert found.n_clusters.tolist() == [9, 9, 8]


def test_equal_clusters_have_the_interval_of_a_t_test_of_their_means() -> None:
    values = np.random.default_rng(1).gamma(3, size=(1, 60))
    found = clustered_means(values, np.arange(0, 60, 5), confidence=0.9)
    test = stats.ttest_1samp(values.reshape(12, 5).mean(axis=1), 0)
    assert (found.lower[0], found.upper[0]) == pytest.approx(test.confidence_interval(0.9), rel=1e-12)


def test_intervals_hold_the_true_mean_in_95_percent_of_simulated_sets() -> None:
    """2,000 sets of 25 clusters of 2 to 20 tokens: 0.943 with a standard error of 0.005. Without clusters it is 0.53."""
    generator = np.random.default_rng(2)
    sizes = generator.integers(2, 21, 25)
    shared = np.repeat(generator.normal(0, 1, (2000, 25)), sizes, axis=1)
    values = 7 + shared + generator.normal(0, 1, shared.shape)
    starts = np.cumsum(sizes) - sizes
    clustered, alone = (clustered_means(values, begins) for begins in (starts, np.arange(values.shape[1])))
    assert 0.93 < np.mean((clustered.lower < 7) & (clustered.upper > 7)) < 0.965
    assert np.mean((alone.lower < 7) & (alone.upper > 7)) < 0.7


def test_what_too_few_clusters_cannot_tell_is_nan() -> None:
    values = np.array([[1.0, 2.0, np.nan], [np.nan] * 3, [4.0, 4.0, 4.0], [np.nan, np.nan, 3.0]])
    found = clustered_means(values, np.array([0, 2]))
    assert found.n_values.tolist() == [2, 0, 3, 1] and found.n_clusters.tolist() == [1, 0, 2, 1]
    np.testing.assert_array_equal(found.mean, [1.5, np.nan, 4, 3])
    for column in (found.standard_error, found.lower - found.mean, found.upper - found.mean):
        np.testing.assert_array_equal(column, [np.nan, np.nan, 0, np.nan])
    nothing = clustered_means(np.empty((2, 0)), np.empty(0, dtype=int))
    assert nothing.n_values.tolist() == [0, 0] and np.isnan(nothing.mean).all()
    with pytest.raises(ValueError, match="confidence is 95; a share between 0 and 1"):
        clustered_means(values, np.array([0, 2]), confidence=95)


def test_a_large_mean_takes_no_digits_from_the_error() -> None:
    values = np.random.default_rng(3).normal(size=(1, 40))
    small, large = (clustered_means(values + level, np.arange(0, 40, 4)) for level in (0.0, 1e8))
    assert large.standard_error == pytest.approx(small.standard_error, rel=1e-6)


def test_independent_clouds_add_up_their_errors() -> None:
    generator = np.random.default_rng(5)
    values, others = generator.normal(size=(2, 3, 400))
    starts, errors = np.arange(0, 400, 4), np.array([0.5, 0.2, np.nan])
    times = inflation(errors, values, starts), inflation(2 * errors, others, starts)
    found = paired_differences(values, others, starts, *times)
    assert found.standard_error[:2] == pytest.approx(np.hypot(errors, 2 * errors)[:2], rel=0.1)
    assert np.isnan(found.standard_error[2]) and np.isfinite(found.mean).all()
    alone = clustered_means(values - others, starts)
    known = paired_differences(values, others, starts, np.full(3, 0.1), np.full(3, 0.2))
    np.testing.assert_allclose(known.standard_error, alone.standard_error)
    same = paired_differences(values, values, starts, *times)
    assert (same.mean == 0).all() and (same.standard_error[:2] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("noise", [None, 0.1])
def test_intervals_of_no_difference_hold_it(noise: float | None) -> None:
    """Neighbourhoods share points: by clusters alone a third of the intervals holds what is true."""
    generator, starts = np.random.default_rng(6), np.arange(0, 400, 4)

    def measured(points: np.ndarray) -> tuple[np.ndarray, float]:
        graph = nearest_neighbors(points, k=32)
        mean = estimate_mean(points, "twonn", n_neighbors=32, graph=graph)
        return estimate_local(points, "twonn", n_neighbors=32, graph=graph), mean.standard_error

    holds = {"clusters": 0, "neighbourhoods": 0}
    for _ in range(40):
        cloud = generator.normal(size=(400, 4))
        clouds = [
            cloud if noise is None else cloud + noise * generator.normal(size=cloud.shape),
            generator.normal(size=cloud.shape),
        ]
        clouds[1] = clouds[1] if noise is None else cloud + noise * clouds[1]
        (one, error), (other, other_error) = map(measured, clouds)
        times = (inflation(np.array([e]), v[None], starts) for e, v in ((error, one), (other_error, other)))
        for name, found in (
            ("clusters", clustered_means((one - other)[None], starts)),
            ("neighbourhoods", paired_differences(one[None], other[None], starts, *times)),
        ):
            holds[name] += bool(found.lower[0] <= 0 <= found.upper[0])
    assert holds["neighbourhoods"] >= 35 and holds["clusters"] < 28, holds
