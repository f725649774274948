"""Oracles: numpy's singular values, derivatives by finite differences, resampled and simulated clouds."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idsweep.estimators import estimate_global, estimate_local, participation_ratio, spectra
from idsweep.neighbors.search import nearest_neighbors

TALL, WIDE = (60, 7), (20, 45)


def _effective_rank(singular):
    shares = singular[singular > 0] / singular.sum()
    return np.exp(-shares @ np.log(shares))


FROM_SINGULAR_VALUES = {
    "participation_ratio": lambda s: (s**2).sum() ** 2 / (s**4).sum(),
    "effective_rank": _effective_rank,
    "stable_rank": lambda s: (s**2).sum() / s.max() ** 2,
}
NAMES = tuple(FROM_SINGULAR_VALUES)
each_name = pytest.mark.parametrize("name", NAMES)
# the stable rank has no standard error: the largest of eigenvalues that are alike is not smooth
each_smooth_name = pytest.mark.parametrize("name", NAMES[:2])
each_centering = pytest.mark.parametrize("center", [True, False])


def oracle(name, X, center, weights=None):
    """The dimension of points X (n, D) that count `weights` times each."""
    X = X.astype(np.float64)
    weights = np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()
    if center:
        X = X - weights @ X
    singular = np.linalg.svd(np.sqrt(weights)[:, None] * X, compute_uv=False)
    return FROM_SINGULAR_VALUES[name](np.where(singular > 1e-12 * singular[0], singular, 0.0))


def uneven(shape, seed=0):
    """Gaussian cloud with other variances in each direction, away from the origin."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0]
    return (rng.standard_normal(shape) * np.linspace(0.3, 3, shape[1]) + 1) @ rotation


@pytest.fixture
def strict():
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


@each_name
@each_centering
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [TALL, WIDE, (7, 7)])
def test_global_value_is_that_of_the_singular_values(name, center, dtype, shape, monkeypatch):
    X = (uneven(shape) + 10).astype(dtype)
    whole = estimate_global(X, name, center=center)
    assert whole.value == pytest.approx(oracle(name, X, center), rel=1e-9)
    assert (whole.n_points, whole.n_undefined) == (len(X), 0)
    monkeypatch.setattr(spectra, "BATCH_BYTES", 1000)
    parts = estimate_global(X, name, center=center)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_rules_are_given_the_smaller_matrix(shape):
    given = []
    spectra.value_and_error(uneven(shape), None, lambda matrix: given.append(matrix) or (1.0, matrix), center=True)
    assert given[0].shape == (min(shape), min(shape)) and np.trace(given[0]) == pytest.approx(1)


@each_name
@each_centering
@pytest.mark.parametrize("dimension", [5, 40])
def test_local_values_are_those_of_the_singular_values(name, center, dimension):
    X = uneven((80, dimension))
    graph = nearest_neighbors(X, 25)
    expected = [oracle(name, X[members], center) for members in graph.indices[:, :20]]
    np.testing.assert_allclose(estimate_local(X, name, 20, graph, center=center), expected, rtol=1e-7)


@each_name
def test_centering_is_the_default(name):
    X = uneven(TALL) + 10
    assert estimate_global(X, name).value == estimate_global(X, name, center=True).value
    assert estimate_global(X, name).value != pytest.approx(estimate_global(X, name, center=False).value, rel=0.1)
    assert (estimate_local(X, name, 20) > 1.1 * estimate_local(X, name, 20, center=False)).all()


@each_name
def test_known_dimensions(name):
    """Points ± e_j: the same variance in each of 6 directions, or in one of them alone."""
    cross = np.concatenate([np.eye(6), -np.eye(6)])
    assert estimate_global(cross, name).value == pytest.approx(6)
    assert estimate_global(cross[:, :1], name).value == pytest.approx(1)
    assert estimate_global(cross @ np.eye(6, 30), name, center=False).value == pytest.approx(6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [30, 300])
def test_effective_rank_takes_the_rounding_of_zeros_for_zero(number, dtype):
    """Points in 3 of 200 directions; the roots of eigenvalues that are zero but for rounding would add to the rank."""
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((number, 3)) * [3, 2, 1]
    X = (flat @ np.linalg.qr(rng.standard_normal((200, 3)))[0].T).astype(dtype)
    found, expected = estimate_global(X, "effective_rank"), estimate_global(flat, "effective_rank")
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-6, nan_ok=True)
    graph = nearest_neighbors(flat, 25)
    wanted = [oracle("effective_rank", flat[members], True) for members in graph.indices]
    np.testing.assert_allclose(estimate_local(X, "effective_rank", 25, graph), wanted, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([TALL, WIDE]),
    st.floats(1e-3, 1e3),
    st.floats(-10, 10),
    st.sampled_from(NAMES),
    st.booleans(),
)
def test_invariance(seed, shape, scale, shift, name, grouped):
    """Under rotation, scaling and permutation; under translation if the mean is taken off. Standard errors too."""
    X = uneven(shape, seed)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0]
    order = rng.permutation(len(X))
    groups = rng.integers(0, 8, len(X)) if grouped else None
    for center in (True, False):
        moved = scale * X[order] @ rotation + (shift if center else 0.0)
        before = estimate_global(X, name, groups=groups, center=center)
        after = estimate_global(moved, name, groups=groups[order] if grouped else None, center=center)
        assert after.value == pytest.approx(before.value, rel=1e-9)
        assert after.standard_error == pytest.approx(before.standard_error, rel=1e-6, nan_ok=True)
        local = estimate_local(X, name, 15, center=center)
        np.testing.assert_allclose(estimate_local(moved, name, 15, center=center), local[order], rtol=1e-6)


@each_name
@pytest.mark.parametrize("shape", [(30, 3), (12, 40)])
def test_constant_clouds_are_undefined(name, shape, strict):
    X = np.full(shape, 0.1)
    for cloud, center in ((X, True), (X * 0, False)):
        found = estimate_global(cloud, name, center=center)
        assert np.isnan(found.value) and np.isnan(found.standard_error)
        assert np.isnan(estimate_local(cloud, name, 8, center=center)).all()
    # taken as it is, the matrix of equal points has rank 1
    assert estimate_global(X, name, center=False).value == pytest.approx(1)
    np.testing.assert_allclose(estimate_local(X, name, 8, center=False), 1)


@each_name
def test_equal_neighbors_are_undefined_among_others(name, strict):
    X = np.concatenate([np.full((10, 4), 0.1), 5 + np.random.default_rng(0).standard_normal((30, 4))])
    assert np.isnan(estimate_local(X, name, 9)[:10]).all()
    assert np.isfinite(estimate_local(X, name, 9)[10:]).all()


@each_name
def test_one_group_gives_no_standard_error(name, strict):
    X = uneven(TALL)
    found = estimate_global(X, name, groups=np.zeros(len(X), dtype=int))
    assert np.isfinite(found.value) and np.isnan(found.standard_error)


@each_name
@each_centering
@pytest.mark.parametrize("shape", [TALL, WIDE])
@pytest.mark.parametrize("even", [True, False])
def test_influence_is_the_derivative_by_the_weight_of_a_point(name, center, shape, even):
    """By finite differences, from weights a little above and below those given."""
    X = uneven(shape)
    step, n = 1e-4, len(X)
    weights = np.ones(n) if even else np.random.default_rng(1).uniform(0.5, 1.5, n)
    expected = np.empty(n)
    for i in range(n):
        above, below = (oracle(name, X, center, weights + change * (np.arange(n) == i)) for change in (step, -step))
        expected[i] = n * (above - below) / (2 * step)
    rule = importlib.import_module(f"idsweep.estimators.{name}")._measure
    value, found = spectra._influence(X, rule, weights, center)
    assert value == pytest.approx(oracle(name, X, center, weights), rel=1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_standard_error_is_corrected_by_the_squares_of_second_derivatives():
    """Those of the participation ratio of 300 points with one variance, by finite differences of the influence."""
    X = np.random.default_rng(0).standard_normal((300, 3))
    rule, n, step = participation_ratio._measure, len(X), 1e-4
    influence = spectra._influence(X, rule, np.ones(n), True)[1]
    second = np.empty((n, n))
    for i in range(n):
        above, below = (
            spectra._influence(X, rule, 1 + change * (np.arange(n) == i), True)[1] for change in (step, -step)
        )
        second[i] = (above - below) / (2 * step)
    first, twice = influence @ influence / n**2, (second**2).sum() / 2 / n**2
    expected = np.sqrt(max(first - twice, twice))
    assert twice > 0.3 * first
    assert estimate_global(X, "participation_ratio").standard_error == pytest.approx(expected, rel=0.15)


DEVIATIONS = np.sqrt([6, 3, 2, 1, 0.5, 0.25])
MEAN = np.array([1, 0, 0, 0, 1, 1])


def gaussian(rng, number):
    return rng.standard_normal((number, 6)) * DEVIATIONS + MEAN


@each_smooth_name
@each_centering
def test_standard_error_is_that_of_resampled_points(name, center):
    rng = np.random.default_rng(0)
    X = gaussian(rng, 1000)
    resampled = [estimate_global(X[rng.integers(0, 1000, 1000)], name, center=center).value for _ in range(300)]
    found = estimate_global(X, name, center=center).standard_error
    assert found == pytest.approx(np.std(resampled, ddof=1), rel=0.2)


@each_smooth_name
@each_centering
def test_standard_error_is_the_spread_over_clouds(name, center):
    rng = np.random.default_rng(1)
    found = [estimate_global(gaussian(rng, 400), name, center=center) for _ in range(200)]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    errors = [estimate.standard_error for estimate in found]
    assert np.isfinite(errors).mean() > 0.8  # in others single points are too far out
    assert np.nanmean(errors) == pytest.approx(spread, rel=0.15)


@each_smooth_name
@each_centering
def test_standard_error_with_groups_is_the_spread_over_clouds(name, center):
    """40 groups of 10 nearly equal points: taken as independent, they seem to tell sqrt(10) times as much."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 10)
    values, grouped, ungrouped = [], [], []
    for _ in range(200):
        X = gaussian(rng, 40)[groups] + 0.01 * rng.standard_normal((400, 6))
        X, shuffled = (whole[order] for order in [rng.permutation(400)] for whole in (X, groups))
        found = estimate_global(X, name, groups=shuffled, center=center)
        values.append(found.value)
        grouped.append(found.standard_error)
        ungrouped.append(estimate_global(X, name, center=center).standard_error)
    spread = np.std(values, ddof=1)
    assert np.isfinite(grouped).mean() > 0.7
    assert np.nanmean(grouped) == pytest.approx(spread, rel=0.2)
    assert np.nanmean(ungrouped) < 0.45 * spread
