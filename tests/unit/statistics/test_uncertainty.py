"""Standard errors against closed forms, real resampling and the spread over simulated clouds."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.estimators import estimate_global, estimate_local, estimate_mean
from idsweep.estimators import registry as estimators
from idsweep.neighbors.search import nearest_neighbors
from idsweep.statistics.uncertainty import bootstrap_error, linear_error

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def test_error_of_a_mean_of_independent_values_is_the_textbook_s():
    values = RNG.standard_normal(50)
    assert linear_error(values) == pytest.approx(values.std(ddof=1) / np.sqrt(50), rel=1e-12)
    with_gaps = np.insert(values, [3, 9, 9], np.nan)
    assert linear_error(with_gaps) == pytest.approx(linear_error(values), rel=1e-12)
    assert linear_error(values, np.arange(50)) == pytest.approx(linear_error(values), rel=1e-12)


def test_error_of_groups_is_that_of_their_sums():
    values, groups = RNG.standard_normal(60) + np.repeat(RNG.standard_normal(12), 5), np.repeat(np.arange(12), 5)
    sums = values.reshape(12, 5).sum(axis=1)
    assert linear_error(values, groups * 7 - 3) == pytest.approx(np.sqrt(12) * sums.std(ddof=1) / 60, rel=1e-12)
    assert np.isnan(linear_error(values, np.zeros(60, dtype=int)))


def test_overlap_is_the_double_sum_over_pairs():
    n, size = 40, 6
    members = nearest_neighbors(RNG.random((n, 2)), size).indices
    values = RNG.standard_normal(n).cumsum()
    sets = [{i, *row} for i, row in enumerate(members.tolist())]
    deviations = values - values.mean()
    total = sum(deviations[i] * deviations[j] * len(sets[i] & sets[j]) / (size + 1) for i in range(n) for j in range(n))
    assert linear_error(values, None, members) == pytest.approx(np.sqrt(total) / n, rel=1e-12)


def test_two_kinds_of_dependence_are_added_and_what_is_in_both_taken_off():
    n = 60
    members, groups = nearest_neighbors(RNG.random((n, 2)), 3).indices, np.repeat(np.arange(12), 5)
    values = RNG.standard_normal(n).cumsum()
    parts = [linear_error(values, *given) ** 2 for given in [(), (groups,), (None, members)]]
    assert linear_error(values, groups, members) ** 2 == pytest.approx(parts[1] + parts[2] - parts[0], rel=1e-12)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(40), 5)], ids=["points", "groups"])
def test_bootstrap_of_a_mean_tends_to_the_linear_error(groups):
    values = RNG.standard_normal(200) + (0 if groups is None else np.repeat(RNG.standard_normal(40), 5))
    found = bootstrap_error(lambda counts: counts @ values / counts.sum(axis=1), 200, groups, resamples=2000)
    assert found == pytest.approx(linear_error(values, groups), rel=0.06)
    assert bootstrap_error(lambda counts: counts @ values / counts.sum(axis=1), 200, groups) == bootstrap_error(
        lambda counts: counts @ values / counts.sum(axis=1), 200, groups
    )
    assert np.isnan(bootstrap_error(lambda counts: counts @ values, 200, np.zeros(200, dtype=int)))


@pytest.mark.parametrize(
    "options",
    [{}, {"discard_fraction": 0.3}, {"method": "mle"}, {"method": "mle", "discard_fraction": 0.0}],
    ids=str,
)
def test_twonn_s_influence_is_the_effect_of_resampling_its_ratios(options):
    """The spread of the fit over really resampled ratios, in blocks, is what the linear error says."""
    from idsweep.neighbors.graph import NeighborGraph

    n, blocks = 600, 120
    ratios = np.exp(RNG.exponential(1 / 5, n) * np.repeat(RNG.uniform(0.5, 2, blocks), n // blocks))
    graph = NeighborGraph(
        ((np.arange(n)[:, None] + [1, 2]) % n).astype(np.int32), np.stack([np.ones(n), ratios], axis=1)
    )
    groups = np.repeat(np.arange(blocks), n // blocks)
    spread = []
    for _ in range(400):
        drawn = (RNG.integers(0, blocks, blocks)[:, None] * 5 + np.arange(5)).ravel()
        resampled = NeighborGraph(graph.indices, graph.distances[drawn])
        spread.append(estimate_global(None, "twonn", resampled, **options).value)
    found = estimate_global(None, "twonn", graph, groups=groups, **options)
    assert found.standard_error == pytest.approx(np.std(spread), rel=0.15)


@pytest.mark.parametrize("coordinates", [5, 90], ids=["fewer coordinates than members", "more"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mle", {"from_neighbors": None, "unbiased": False}),
        ("mle", {"from_neighbors": 8, "unbiased": False}),
        ("participation_ratio", {"center": True}),
        ("effective_rank", {"center": True}),
        ("stable_rank", {"center": False}),
    ],
    ids=str,
)
def test_member_effects_are_derivatives_by_the_weight_of_a_member(name, options, coordinates):
    n, size, step = 80, 40, 1e-6
    X = RNG.standard_normal((n, coordinates)) * np.linspace(1, 0.2, coordinates)
    graph = nearest_neighbors(X, size)
    values = estimate_local(X, name, size, graph, **options)
    effects = estimators.get(name).member_effects(X, graph, values, n_neighbors=size, **options)
    weighted = likelihood if name == "mle" else spectral
    for point in range(0, n, 7):
        change = 0.0
        for i in np.flatnonzero((graph.indices == point).any(axis=1)):
            weights = 1 + step * (graph.indices[i] == point)
            change += weighted(name, X, graph, i, weights, options) - weighted(
                name, X, graph, i, np.ones(size), options
            )
        assert effects[point] == pytest.approx(change / step, rel=1e-3, abs=1e-3)


def likelihood(_, X, graph, i, weights, options):
    """Levina-Bickel at point i, its neighbours but the last (which sets the radius) weighted."""
    distances, k = graph.distances[i], graph.distances.shape[1]
    each = []
    for last in range(options["from_neighbors"] or k, k + 1):
        logs, w = np.log(distances[last - 1] / distances[: last - 1]), weights[: last - 1]
        each.append(w.sum() / (w @ logs))
    return np.mean(each)


def spectral(name, X, graph, i, weights, options):
    """A function of the eigenvalues of the weighted covariance of the neighbours of point i."""
    members = X[graph.indices[i]]
    mean = weights @ members / weights.sum() if options["center"] else 0
    eigenvalues = np.maximum(np.linalg.eigvalsh(((members - mean).T * weights) @ (members - mean)), 0)
    if name == "participation_ratio":
        return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    if name == "stable_rank":
        return eigenvalues.sum() / eigenvalues.max()
    roots = np.sqrt(eigenvalues[eigenvalues > 1e-12 * eigenvalues.max()])
    return np.exp(-(roots / roots.sum() * np.log(roots / roots.sum())).sum())


@pytest.mark.parametrize(
    "options", [{"method": "linear", "discard_fraction": 0.1}, {"method": "mle", "discard_fraction": 0.0}]
)
def test_twonn_s_member_effects_are_the_effects_of_repeating_a_member(options):
    """Its order statistics have no derivative: a ratio counted twice moves the mean by its effect, nearly."""
    n, size = 150, 60
    X = np.random.default_rng(0).standard_normal((n, 5))
    graph = nearest_neighbors(X, size)
    values = estimate_local(X, "twonn", size, graph, **options)
    effects = estimators.get("twonn").member_effects(X, graph, values, n_neighbors=size, **options)
    moved = np.zeros(n)
    for i in range(n):
        inside = nearest_neighbors(X[graph.indices[i]], 2).distances
        logs = np.log(inside[:, 1] / inside[:, 0])
        for place in range(size):
            moved[graph.indices[i, place]] += fit(np.append(logs, logs[place]), **options) - values[i]
    assert np.polyfit(effects, moved, 1)[0] == pytest.approx(1, abs=0.15)
    assert np.corrcoef(effects, moved)[0, 1] > 0.98


def fit(logs, method, discard_fraction):
    n = len(logs)
    kept = int(n * (1 - discard_fraction))
    x = np.sort(logs)[:kept]
    if method == "mle":
        return (kept - 1) / (x.sum() + (n - kept) * x[-1])
    return x @ -np.log1p(-np.arange(1, kept + 1) / n) / (x @ x)


def ball(rng, number, dimension):
    """Uniform points in a ball, float64 (number, dimension)."""
    directions = rng.standard_normal((number, dimension))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.random((number, 1)) ** (1 / dimension)


def gaussian(rng, number, dimension):
    return rng.standard_normal((number, dimension))


CLOUDS = {"disc": (ball, 800, 2), "gaussian 2": (gaussian, 600, 2), "gaussian 5": (gaussian, 600, 5)}


@pytest.fixture(scope="module", params=CLOUDS)
def simulated(request):
    """200 clouds of known dimension with their graphs: dimension, [(X, graph)]."""
    make, number, dimension = CLOUDS[request.param]
    clouds = [make(np.random.default_rng(seed), number, dimension) for seed in range(200)]
    return dimension, [(X, nearest_neighbors(X, 30)) for X in clouds]


def coverage(estimates, truth):
    values, errors = np.array([(estimate.value, estimate.standard_error) for estimate in estimates]).T
    return np.mean(np.abs(values - truth) <= 1.96 * errors)


@pytest.mark.parametrize(
    ("name", "options"),
    [("twonn", {}), ("twonn", {"method": "mle"}), ("gride", {})],
    ids=["twonn linear", "twonn mle", "gride"],
)
def test_intervals_cover_the_true_dimension(simulated, name, options):
    """Of 200 intervals of 95 %, 90 to 99 % hold the true dimension (these estimators have hardly any bias here)."""
    dimension, clouds = simulated
    assert 0.9 <= coverage([estimate_global(X, name, graph, **options) for X, graph in clouds], dimension) <= 0.99


@pytest.mark.parametrize(
    ("name", "options", "scope"),
    [
        ("gride", {"n1": 4}, "global"),
        ("mle", {"n_neighbors": 10}, "global"),
        ("mle", {"n_neighbors": 10, "average": "arithmetic", "unbiased": True}, "global"),
        ("twonn", {"method": "mle"}, "mean"),
        ("mle", {}, "mean"),
        ("participation_ratio", {}, "mean"),
    ],
    ids=str,
)
def test_intervals_of_biased_estimators_cover_what_they_estimate(simulated, name, options, scope):
    """Intervals cover the mean over all clouds; they are allowed to be too wide by half, not too narrow."""
    _, clouds = simulated
    if scope == "global":
        estimates = [estimate_global(X, name, graph, **options) for X, graph in clouds]
    else:
        estimates = [estimate_mean(X, name, 30, graph, **options) for X, graph in clouds[:100]]
    values = np.array([estimate.value for estimate in estimates])
    assert coverage(estimates, values.mean()) >= 0.9
    assert 0.85 < np.mean([estimate.standard_error for estimate in estimates]) / values.std() < 1.7


def test_sequences_widen_the_error_of_a_mean_as_they_should():
    """Tokens of one sequence lie together, and sequences differ in dimension: the error is that of sequences."""
    values, errors, naive = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rank = rng.integers(1, 7, 30)
        X = np.zeros((30, 20, 8))
        for i in range(30):
            X[i, :, : rank[i]] = rng.standard_normal((20, rank[i]))
        X = (X + 10 * rng.standard_normal((30, 1, 8))).reshape(600, 8)
        graph, groups = nearest_neighbors(X, 15), np.repeat(np.arange(30), 20)
        for found, given in ((errors, groups), (naive, None)):
            estimate = estimate_mean(X, "mle", 15, graph, groups=given)
            found.append(estimate.standard_error)
        values.append(estimate.value)
    assert 0.8 < np.mean(errors) / np.std(values) < 1.3
    assert np.mean(naive) / np.std(values) < 0.5


def test_local_errors_are_those_of_the_gamma_law():
    """Over points of a torus (no boundary) the spread of local values is what their closed form says."""
    X = np.random.default_rng(0).random((4000, 2))
    torus = np.concatenate([np.cos(2 * np.pi * X), np.sin(2 * np.pi * X)], axis=1)
    graph = nearest_neighbors(torus, 20)
    values = estimate_local(None, "mle", 20, graph)
    errors = estimators.get("mle").errors_of(values, {"n_neighbors": 20})
    np.testing.assert_allclose(errors, values / np.sqrt(17))
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.1)
    assert np.isnan(estimators.get("mle").errors_of(values, {"n_neighbors": 20, "from_neighbors": 10})).all()
    assert np.isnan(estimators.get("lpca").errors_of(values, {})).all()
    values = estimate_local(torus, "twonn", 20, graph, method="mle")
    errors = estimators.get("twonn").errors_of(values, {"n_neighbors": 20, "method": "mle"})
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.35)


def test_undefined_points_take_no_part_in_a_mean():
    X = np.random.default_rng(0).standard_normal((100, 4))
    X[1] = X[0]
    estimate = estimate_mean(X, "mle", 10)
    local = estimate_local(X, "mle", 10)
    assert (estimate.n_points, estimate.n_undefined) == (100, 2)
    assert estimate.value == pytest.approx(local[2:].mean()) and np.isfinite(estimate.standard_error)
    nothing = estimate_mean(np.ones((20, 3)), "mle", 5)
    assert np.isnan(nothing.value) and np.isnan(nothing.standard_error) and nothing.n_undefined == 20
