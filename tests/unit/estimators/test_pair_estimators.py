"""Correlation dimension and persistent homology. Oracles: scikit-dimension 0.5.0, scipy, closed forms, simulation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import skdim
from idsweep.estimators import corrint, estimate_global
from idsweep.estimators import registry as estimators
from idsweep.machine import compiled
from idsweep.neighbors import kernels
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.search import nearest_neighbors
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

N = 120
FEW = {"nsteps": 10, "subsamples": 3}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def crowded():
    """60 of 120 points in a cluster of 1e-7 of the cloud's size, far from its mean: the graph runs out there."""
    X = normal(N, 6)
    X[:60] = 40 + 1e-7 * X[:60]
    return X


@pytest.fixture(
    scope="module",
    params=["hyperball", "M5b_Helix2d", "Mn1_Nonlinear", "layer 0", "layer 4", "duplicates", "crowded", "outlier"],
)
def cloud(request, hidden_states):
    """float64 (120, D)."""
    name = request.param
    if name == "hyperball":
        return skdim.datasets.hyperBall(n=N, d=5, random_state=0)
    if name.startswith("M"):
        made = skdim.datasets.BenchmarkManifolds(random_state=0)
        d, dimension = (int(made.truth.loc[name, key]) for key in ("Intrinsic Dimension", "Number of variables"))
        made = made.generate(name=name, n=N, dim=dimension, d=d)
        return np.ascontiguousarray(made, dtype=np.float64)
    if name.startswith("layer"):
        return hidden_states[int(name[-1])][:N].astype(np.float64)
    if name == "duplicates":
        return np.concatenate([normal(90, 4), normal(90, 4)[:20], normal(90, 4)[:10]])
    if name == "crowded":
        return crowded()
    return np.concatenate([normal(N - 1, 5), np.full((1, 5), 1e6)])


def by_hand(X, k1, k2):
    """The definition, from all distances."""
    distances = cdist(X, X)
    np.fill_diagonal(distances, np.inf)
    r1, r2 = np.median(np.sort(distances, axis=1)[:, [k1 - 1, k2 - 1]], axis=0)
    return np.log(np.sum(distances < r2) / np.sum(distances < r1)) / np.log(r2 / r1)


@pytest.mark.parametrize("k", [20, 40])
def test_corrint_equals_scikit_dimension(cloud, k):
    found = estimate_global(cloud, "corrint", nearest_neighbors(cloud, k))
    assert found.value == pytest.approx(skdim.id.CorrInt().fit(cloud).dimension_, rel=1e-6)
    assert (found.n_points, found.n_undefined) == (N, 0)


@pytest.mark.parametrize(("k1", "k2"), [(1, 2), (5, 30), (19, 20), (10, N - 1)])
def test_corrint_at_other_scales(k1, k2):
    X = normal(N, 4)
    expected = skdim.id.CorrInt(k1=k1, k2=k2).fit(X).dimension_
    assert estimate_global(X, "corrint", k1=k1, k2=k2).value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("number", [120, 121])
def test_corrint_is_its_definition_for_even_and_odd_numbers(number):
    """With an odd number the radii are distances of pairs, which are not nearer than themselves."""
    X = normal(number, 3)
    assert estimate_global(X, "corrint").value == pytest.approx(by_hand(X, 10, 20), rel=1e-12)


def test_corrint_on_a_line_by_hand():
    """Points 0 … 9: nearest neighbours at 1, third ones at 2 but for both ends, at 3; 9 pairs at 1, 8 at 2."""
    X = np.arange(10.0)[:, None]
    assert np.isnan(estimate_global(X, "corrint", k1=1, k2=3).value)  # no pair is nearer than 1
    # fifth neighbours at 5 4 3 3 3 3 3 3 4 5: r2 = 3, pairs nearer than 3: 9 + 8
    assert estimate_global(X, "corrint", k1=3, k2=5).value == pytest.approx(np.log(17 / 9) / np.log(3 / 2))


def test_corrint_of_a_turned_lattice():
    """Distances that are equal but for rounding count as equal: no neighbour of a lattice point is nearer than itself."""
    X = np.stack(np.meshgrid(*[np.arange(9.0)] * 3), axis=-1).reshape(-1, 3)
    expected = estimate_global(X, "corrint").value
    assert expected == pytest.approx(by_hand(X, 10, 20), rel=1e-12)
    turned = X @ np.linalg.qr(normal(3, 3))[0] / 3
    for k in (20, 60):
        assert estimate_global(turned, "corrint", nearest_neighbors(turned, k)).value == pytest.approx(expected, 1e-9)


def test_corrint_duplicates_are_near_pairs():
    X = np.concatenate([normal(100, 3), np.zeros((20, 3))])
    assert estimate_global(X, "corrint").value == pytest.approx(by_hand(X, 10, 20), rel=1e-12)
    assert np.isnan(estimate_global(np.repeat(normal(30, 3), 12, axis=0), "corrint").value)  # r1 = 0


@pytest.mark.parametrize("number", [120, 1300])
def test_corrint_counts_the_same_in_the_graph_and_among_all_points(number):
    """With a graph of all points nothing is counted beyond it. Values and errors, of points and of groups."""
    X = normal(number, 4) * np.exp(normal(number, 1, seed=1))
    X[: number // 4] = 5 + 1e-6 * X[: number // 4]
    groups = np.random.default_rng(0).integers(0, 30, number)
    everything = nearest_neighbors(X, number - 1)
    for labels in (None, groups):
        wide = estimate_global(X, "corrint", everything, labels)
        narrow = estimate_global(X, "corrint", nearest_neighbors(X, 20), labels)
        assert narrow.value == pytest.approx(wide.value, rel=1e-12)
        assert narrow.standard_error == pytest.approx(wide.standard_error, rel=1e-9)


def test_corrint_counts_exactly_where_inner_products_cannot():
    """Most points in a cluster of 1e-9 of the cloud's size: squared distances are below the products' rounding."""
    X = normal(400, 4)
    X[100:] = 5 + 1e-9 * X[100:]
    found = estimate_global(X, "corrint", nearest_neighbors(X, 20))
    assert found.value == pytest.approx(by_hand(X, 10, 20), rel=1e-9)


def test_corrint_compares_only_points_whose_graph_runs_out():
    X = normal(200, 5)
    graph = nearest_neighbors(X, 199)
    assert estimate_global(np.full_like(X, 7.0), "corrint", graph).value == estimate_global(X, "corrint", graph).value
    narrow = NeighborGraph(*(part[:, :20] for part in graph))
    assert estimate_global(X, "corrint", narrow) == estimate_global(X, "corrint", graph)


@pytest.mark.parametrize("threads", [1, 3])
def test_values_do_not_depend_on_threads(threads, monkeypatch):
    X = normal(N, 5)
    expected = [estimate_global(X, name, **few) for name, few in (("corrint", {}), ("persistent_homology", FEW))]
    monkeypatch.setattr(compiled, "available_threads", lambda: threads)
    assert estimate_global(X, "corrint") == expected[0]
    assert estimate_global(X, "persistent_homology", **FEW).value == expected[1].value


@pytest.fixture
def one_thread(monkeypatch):
    """Hundreds of small clouds: starting threads would cost more than they bring."""
    monkeypatch.setattr(compiled, "available_threads", lambda: 1)


SHAPES = {
    "square": lambda rng: rng.random((200, 2)),
    "normal": lambda rng: rng.standard_normal((200, 5)),
    "two densities": lambda rng: rng.standard_normal((200, 3)) * np.where(rng.random(200) < 0.5, 0.3, 1)[:, None],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_corrint_standard_error_has_the_size_of_the_spread(shape, one_thread):
    """Over 200 clouds: without its parts it is 1.4 times too large (square) or 0.7 times too small (two densities)."""
    rng = np.random.default_rng(0)
    found = [estimate_global(SHAPES[shape](rng), "corrint") for _ in range(200)]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    assert 0.8 < np.mean([estimate.standard_error for estimate in found]) / spread < 1.3


def test_corrint_standard_error_of_groups_has_the_size_of_the_spread(one_thread):
    """20 points around each of 20 centres: the points alone give half of the spread."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 20)
    values, errors, alone = [], [], []
    for _ in range(100):
        X = rng.standard_normal((20, 3))[groups] + 0.1 * rng.standard_normal((400, 3))
        graph = nearest_neighbors(X, 20)
        found = estimate_global(X, "corrint", graph, groups)
        values.append(found.value)
        errors.append(found.standard_error)
        alone.append(estimate_global(X, "corrint", graph).standard_error)
    assert 0.8 < np.mean(errors) / np.std(values, ddof=1) < 1.3
    assert np.mean(alone) < 0.7 * np.mean(errors)


def test_corrint_standard_error_is_that_of_a_sum_over_pairs():
    """The variance with both radii held, pair by pair: products of pairs that touch the same of 8 groups."""
    groups = np.repeat(np.arange(8), 10)
    distances = cdist(*[normal(8, 3)[groups] + 0.3 * normal(80, 3, seed=1)] * 2)
    np.fill_diagonal(distances, np.inf)
    inside = [distances < radius for radius in (0.5, 0.9)]
    weights = inside[1] * 2 / inside[1].sum() - inside[0] * 2 / inside[0].sum()
    same = groups[:, None] == groups
    sums = []
    for group in range(8):
        touches = (groups[:, None] == group) | (groups == group)
        sums.append(weights[np.triu(touches)].sum())
    squares = (weights[np.triu(~same)] ** 2).sum()
    expected = np.sqrt(np.var(sums, ddof=1) * 8 - squares)
    near = np.stack([part.sum(axis=1) for part in inside], axis=1)
    together = np.stack([(part & same).sum(axis=1) for part in inside], axis=1)
    assert squares > 0 and same[inside[0]].any()
    assert corrint._error(near, together, np.zeros(80), groups) == pytest.approx(expected, rel=1e-12)


def test_corrint_standard_error_needs_groups():
    X = normal(100, 3)
    alone = estimate_global(X, "corrint")
    assert estimate_global(X, "corrint", groups=np.arange(100) * 7).standard_error == alone.standard_error
    assert np.isnan(estimate_global(X, "corrint", groups=np.zeros(100, dtype=int)).standard_error)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 0.5, "random_state": 3},
        {"alpha": 2, "n_range_min": 0.333, "n_range_max": 0.888},
        {"range_type": "num", "n_range_min": 20, "n_range_max": 101},
    ],
)
def test_persistent_homology_equals_scikit_dimension(cloud, options):
    options = {**FEW, **options}
    oracle = skdim.id.PH(**{"random_state": 0, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle.fit(cloud).dimension_
    expected = expected if expected > 0 else np.nan  # one far point: each tree is its edge, if it is drawn
    found = estimate_global(cloud, "persistent_homology", **options)
    assert found.value == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert np.isnan(found.standard_error) and (found.n_points, found.n_undefined) == (N, 0)


def test_persistent_homology_has_the_defaults_of_scikit_dimension():
    theirs = skdim.id.PH(random_state=0).get_params()
    del theirs["metric"], theirs["n_jobs"]
    assert estimators.get("persistent_homology").parameters("global") == theirs


def test_persistent_homology_on_a_line():
    """The tree of points on a line is the path from the first to the last."""
    X = np.cumsum(np.random.default_rng(0).random(60))[:, None]
    sizes = np.repeat(np.ceil(np.linspace(30, 60, 8)).astype(int), 2)
    draws = np.random.RandomState(5)
    lengths = [np.ptp(X[draws.choice(60, size=size, replace=False)]) for size in sizes]
    slope = np.polyfit(np.log(sizes), np.log(lengths), 1)[0]
    found = estimate_global(X, "persistent_homology", nsteps=8, subsamples=2, random_state=5)
    assert found.value == pytest.approx(1 / (1 - slope), rel=1e-9)


def test_persistent_homology_joins_duplicates_by_nothing():
    """Of two places, E is their distance for every size, so that the slope is 0 and the dimension alpha."""
    X = np.repeat([[0.0, 0.0], [3.0, 4.0]], 20, axis=0)
    found = estimate_global(X, "persistent_homology", n_range_min=0.6, alpha=1.5, **FEW)
    assert found.value == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize(("number", "dtype"), [(1, float), (2, float), (31, np.float32), (64, float), (333, float)])
def test_all_distances(number, dtype):
    X = normal(number, 5).astype(dtype)
    found = np.zeros((number, number))
    middle = number // 3
    kernels.measure_all(X, 0, middle, found)
    kernels.measure_all(X, middle, number, found)
    np.testing.assert_allclose(found, cdist(X.astype(float), X.astype(float)), rtol=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_trees_equal_those_of_scipy(power):
    distances = cdist(*[normal(80, 3)] * 2)
    members = np.random.default_rng(0).permutation(80)[:50].astype(np.int32)
    edges = minimum_spanning_tree(distances[np.ix_(members, members)]).data
    found = kernels.log_tree_length(distances, members, power, 4.0)
    assert found == pytest.approx(np.log(np.sum((4 * edges) ** power)), rel=1e-12)
    assert kernels.log_tree_length(distances, members[:1], power, 4.0) == -np.inf


@pytest.mark.parametrize(("name", "options"), [("corrint", {}), ("persistent_homology", FEW)])
def test_invariance(name, options):
    X = normal(151, 6) * np.arange(1, 7)
    expected = estimate_global(X, name, **options).value
    rotation = np.linalg.qr(normal(6, 6, seed=1))[0]
    assert estimate_global(0.03 * X @ rotation - 7, name, **options).value == pytest.approx(expected, rel=1e-9)
    shuffled = estimate_global(X[np.random.default_rng(0).permutation(151)], name, **options).value
    # other points are drawn
    assert (shuffled == pytest.approx(expected, rel=1e-12)) == (name == "corrint")


@pytest.mark.parametrize(("name", "options"), [("corrint", {}), ("persistent_homology", FEW)])
def test_distances_are_those_of_the_given_values(name, options, hidden_states):
    X = hidden_states[4][:N]
    found = estimate_global(X, name, **options).value
    assert found == pytest.approx(estimate_global(X.astype(np.float64), name, **options).value, rel=1e-12)


@pytest.mark.parametrize(("name", "options"), [("corrint", {}), ("persistent_homology", FEW)])
def test_dimensions_of_cubes(name, options):
    for d in (1, 2, 3):
        X = np.hstack([np.random.default_rng(d).random((600, d)), np.zeros((600, 2))])
        assert estimate_global(X, name, **options).value == pytest.approx(d, rel=0.15)


def test_undefined_clouds():
    """Constant clouds, and equidistant points, whose tree grows faster than in any dimension."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for X in (np.full((40, 3), 0.1), np.eye(40)):
            for name in ("corrint", "persistent_homology"):
                found = estimate_global(X, name)
                assert np.isnan(found.value) and np.isnan(found.standard_error)


X = normal(50, 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("corrint", {"k1": 20}, "k1 = 20 must be below k2 = 20"),
        ("corrint", {"k1": 0}, "k1 = 0"),
        ("corrint", {"k1": 2.5}, r"k1 = 2\.5"),
        ("corrint", {"k1": True}, "k1 = True"),
        ("persistent_homology", {"alpha": 0}, "alpha = 0"),
        ("persistent_homology", {"alpha": float("nan")}, "alpha = nan"),
        ("persistent_homology", {"nsteps": 1}, "nsteps = 1"),
        ("persistent_homology", {"nsteps": 2.0}, r"nsteps = 2\.0"),
        ("persistent_homology", {"subsamples": 0}, "subsamples = 0"),
        ("persistent_homology", {"random_state": None}, "random_state = None"),
        ("persistent_homology", {"random_state": -1}, "random_state = -1"),
        ("persistent_homology", {"range_type": "number"}, "range_type = 'number' .* fraction, num"),
        ("persistent_homology", {"n_range_min": 1.0}, "0 < n_range_min < n_range_max <= 1"),
        ("persistent_homology", {"n_range_max": 1.5}, r"n_range_max = 1\.5"),
        ("persistent_homology", {"range_type": "num"}, "2 <= n_range_min < n_range_max"),
        ("persistent_homology", {"range_type": "num", "n_range_min": 1, "n_range_max": 9}, "n_range_min = 1 "),
    ],
)
def test_parameters_that_can_never_work(name, options, message):
    with pytest.raises(ValueError, match=message):
        estimate_global(X, name, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_global(X[:20], "corrint"), "k = 20 .* N = 20"),
        (lambda: estimate_global(X, "corrint", nearest_neighbors(X, 10)), "20 neighbours .* holds 10"),
        (lambda: estimate_global(None, "corrint", nearest_neighbors(X, 20)), "needs the points X"),
        (
            lambda: estimate_global(X, "persistent_homology", range_type="num", n_range_min=20, n_range_max=51),
            "20 to 51 points .* N = 50",
        ),
        (lambda: estimate_global(X[:2], "persistent_homology"), "1 to 2 points .* N = 2"),
        (lambda: estimate_global(X, "persistent_homology", metric="cityblock"), "no parameter metric"),
    ],
)
def test_clouds_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_registry_entries():
    for name in ("corrint", "persistent_homology"):
        estimator = estimators.get(name)
        assert estimator.scopes == ("global",)
        assert estimator.vectors == {"global"}
        assert estimators.module_of(name) == f"idsweep.estimators.{name}"
    assert estimators.get("corrint").parameters("global") == {"k1": 10, "k2": 20}
    assert estimators.get("corrint").neighbors_needed({"k1": 3, "k2": 7}) == 7
    assert "ph" not in estimators.names()
