"""Standard errors against closed forms, real resampling and the spread over simulated clouds."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import intervals as simulation
from idsweep.estimators import estimate_global, estimate_local, estimate_mean
from idsweep.estimators import registry as estimators
from idsweep.neighbors.search import nearest_neighbors
from idsweep.statistics.uncertainty import interval_error, linear_error, mean_error, member_error
from scipy.stats import norm

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


def test_an_interval_needs_many_contributions():
    """Not fewer than 30 groups, one large contribution, or squares of Student's t with 3 degrees of freedom."""
    values = RNG.standard_normal(300)
    assert interval_error(values) == linear_error(values)
    squares = norm.ppf((np.arange(300) + 0.5) / 300) ** 2
    assert interval_error(squares) == linear_error(squares)
    assert np.isnan(interval_error(np.append(values, 60.0)))
    assert np.isnan(interval_error(RNG.standard_t(3, 3000) ** 2))
    assert np.isfinite(interval_error(values, np.arange(300) // 6))
    assert np.isnan(interval_error(values, np.arange(300) // 11))
    few = np.where(np.arange(40) < 4, 5.0, 0.1) * np.where(np.arange(40) % 2, 1, -1)  # four of them are all that counts
    assert np.isnan(interval_error(few))
    assert interval_error(np.ones(30)) == 0
    assert np.isnan(interval_error(np.ones(29)))


@pytest.mark.parametrize("grouped", [False, True], ids=["points", "groups"])
def test_error_of_members_is_the_double_sum_over_points_less_the_pairs(grouped):
    n, size = 200, 5
    members = nearest_neighbors(RNG.random((n, 2)), size).indices
    own, effects, pairs = RNG.standard_normal(n).cumsum(), *RNG.standard_normal((2, n, size))
    groups = np.arange(n) // 2 if grouped else np.arange(n)
    total, between = own - own.mean(), np.zeros((n, n))
    for i in range(n):
        for place, j in enumerate(members[i]):
            if groups[i] != groups[j]:
                total[j] += effects[i, place]
                between[groups[i], groups[j]] += pairs[i, place]
    total -= total.mean()
    sums = np.bincount(groups, total)
    number = len(sums)
    # as `linear_error`: the variance of points and of groups each with its degrees of freedom, the larger of them
    expected = max(total @ total * n / (n - 1), sums @ sums * number / (number - 1))
    expected -= sum((between[g, h] + between[h, g]) ** 2 for g in range(n) for h in range(g))
    found = member_error(own, members, effects, pairs, groups if grouped else None)
    assert found == pytest.approx(np.sqrt(expected) / n, rel=1e-9)


@pytest.mark.parametrize("grouped", [False, True], ids=["points", "groups"])
def test_error_of_a_mean_adds_up_chance_and_what_regions_differ_by(grouped):
    n, size = 200, 16
    members = nearest_neighbors(RNG.random((n, 2)), size).indices
    parts = 0.1 * RNG.standard_normal((n, size))
    parts -= parts.mean(axis=1, keepdims=True)
    groups = np.arange(n) // 4 if grouped else np.arange(n)
    values = parts.sum(axis=1) + np.repeat(RNG.standard_normal(n // 4), 4)
    values[7] = np.nan
    added, chance_in_values = np.zeros(n), 0.0
    for i in set(range(n)) - {7}:
        for place, j in enumerate(members[i]):
            added[j] += parts[i, place] - parts[i, -2:].mean()
    for group in range(groups[-1] + 1):
        of_group = np.zeros(n)
        for i in np.flatnonzero((groups == group) & ~np.isnan(values)):
            of_group[members[i]] += parts[i]
        chance_in_values += of_group @ of_group
    sums = np.bincount(groups, np.nan_to_num(values - np.nanmean(values)))
    regions = sums @ sums * len(sums) / (len(sums) - 1) - chance_in_values
    chance = linear_error(added, groups if grouped else None, members[:, :1]) * n
    found = mean_error(values, members, parts, groups if grouped else None)
    assert regions > 0
    assert found == pytest.approx(np.sqrt(regions + chance**2) / (n - 1), rel=1e-9)
    assert np.isnan(mean_error(np.full(n, np.nan), members, parts))


def test_parts_of_local_twonn_have_its_variance_in_one_dimension():
    """Neighbourhoods that share no points, from ratios of a cloud of one dimension."""
    from idsweep.estimators.twonn import local_with_parts

    rng = np.random.default_rng(0)
    X = (rng.random((400, 21, 5)) + 100 * np.arange(400)[:, None, None]).reshape(-1, 5)
    graph = nearest_neighbors(X, 20)
    for method in ("linear", "mle"):
        values, parts = local_with_parts(X, graph, n_neighbors=20, method=method)
        np.testing.assert_array_equal(values, estimate_local(X, "twonn", 20, graph, method=method))
        np.testing.assert_allclose(parts.sum(axis=1), 0, atol=1e-9)
        # mutual neighbours share a distance, which widens the spread by up to 1.35
        assert 1 < values[::21].std() / np.sqrt((parts[::21] ** 2).sum(axis=1).mean()) < 1.4


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


@pytest.mark.parametrize("options", [{"n_neighbors": 16}, {"n_neighbors": 20, "from_neighbors": 16}], ids=str)
def test_intervals_of_mle_cover_what_it_estimates(simulated, options):
    """Intervals cover the mean over all clouds, of which they may be null in one of ten.

    GRIDE at larger n1, other averages of `mle` and means of its local values were held to this as well. They have no standard
    error any more, since their intervals held less than 90 % on clouds of tokens or with heavy tails.
    """
    _, clouds = simulated
    estimates = [estimate_global(X, "mle", graph, **options) for X, graph in clouds]
    found = simulation.coverage(*np.array([(each.value, each.standard_error) for each in estimates]).T)
    assert found.given > 0.9 and found.held >= 0.9 and 0.85 < found.ratio < 1.3


@pytest.mark.parametrize(
    ("name", "options", "scope"),
    [
        ("gride", {"n1": 2}, "global"),
        ("gride", {"n2": 3}, "global"),
        ("mle", {"average": "median"}, "global"),
        ("mle", {"average": "arithmetic"}, "global"),
        ("mle", {"n_neighbors": 15}, "global"),
        ("corrint", {}, "global"),
        ("stable_rank", {}, "global"),
        ("lpca", {}, "global"),
        *((name, {"n_neighbors": 20}, "mean") for name in ("mle", "lpca", "mom", "stable_rank")),
        *((name, {"n_neighbors": 20}, "mean") for name in ("participation_ratio", "effective_rank")),
    ],
    ids=str,
)
def test_there_is_no_error_where_none_is_right(name, options, scope):
    X = np.random.default_rng(0).standard_normal((100, 5))
    estimate = (estimate_global if scope == "global" else estimate_mean)(X, name, **options)
    assert np.isfinite(estimate.value) and np.isnan(estimate.standard_error)


def test_sequences_widen_the_error_as_they_should():
    """Tokens of one sequence lie together, and sequences differ in dimension: the error is that of sequences."""
    values, errors, naive = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rank = rng.integers(1, 7, 60)
        X = np.zeros((60, 20, 8))
        for i in range(60):
            X[i, :, : rank[i]] = rng.standard_normal((20, rank[i]))
        X = (X + 10 * rng.standard_normal((60, 1, 8))).reshape(1200, 8)
        graph, groups = nearest_neighbors(X, 2), np.repeat(np.arange(60), 20)
        for found, given in ((errors, groups), (naive, None)):
            estimate = estimate_global(X, "twonn", graph, groups=given)
            found.append(estimate.standard_error)
        values.append(estimate.value)
    assert 0.8 < np.nanmean(errors) / np.std(values) < 1.3
    assert np.nanmean(naive) / np.std(values) < 0.7


def test_mle_s_error_is_null_where_clusters_or_clumps_come_in_its_way():
    """600 points of 30 types have about 20 neighbours of their own; sequences of 10 lie near each other."""
    errors = {}
    for kind in ("gaussian 5", "even", "bunches"):
        X, graph, groups = simulation.drawn(kind, 0)
        errors[kind] = {k: estimate_global(X, "mle", graph, groups, n_neighbors=k).standard_error for k in (20, 60)}
    assert np.isfinite(errors["gaussian 5"][20]) and np.isfinite(errors["gaussian 5"][60])
    assert np.isnan(errors["even"][20]) and np.isnan(errors["bunches"][20])
    X, graph, groups = simulation.drawn("gaussian 5", 0)
    assert estimate_global(X, "mle").standard_error == errors["gaussian 5"][20]
    unbiased, biased = (estimate_global(X, "mle", graph, unbiased=given) for given in (True, False))
    assert unbiased.standard_error / biased.standard_error == pytest.approx(18 / 19)
    short = nearest_neighbors(X, 27)  # 20 + 2 * 4 are needed
    assert np.isnan(estimate_global(X, "mle", short).standard_error)
    doubled = np.concatenate([X, X[:5]])
    found = estimate_global(doubled, "mle")
    assert found.n_undefined == 10 and found.standard_error == pytest.approx(errors["gaussian 5"][20], rel=0.1)


KINDS = ("roll", "torus", "noisy plane", "two", "student 3", "even", "zipf", "even sequences", "bunches")


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_or_are_null_on_clouds_of_many_kinds(kind):
    """The mean over 40 clouds is in at least 85 % of the intervals that are given: 95 % less 3 deviations.

    `make coverage` draws 200 clouds of more kinds.
    """
    found = {measure.label: [] for measure in simulation.MEASURES}
    for draw in range(40):
        cloud = simulation.drawn(kind, draw)
        for measure in simulation.MEASURES:
            estimate = measure.of(*cloud)
            found[measure.label].append((estimate.value, estimate.standard_error))
    for label, estimates in found.items():
        of_measure = simulation.coverage(*np.array(estimates).T)
        assert of_measure.given < 0.2 or of_measure.held >= 0.85, f"{label}: {simulation.cell(of_measure)}"


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
    assert estimate.value == pytest.approx(local[2:].mean())
    nothing = estimate_mean(np.ones((20, 3)), "mle", 5)
    assert np.isnan(nothing.value) and np.isnan(nothing.standard_error) and nothing.n_undefined == 20
