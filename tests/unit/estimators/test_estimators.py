"""Oracles: scikit-dimension 0.5.0 (fit and fit_pw), closed forms and known dimensions."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import skdim
from data import make_dadapy
from hypothesis import given, settings
from hypothesis import strategies as st
from idsweep.estimators import Estimate, estimate_global, estimate_local
from idsweep.estimators import registry as estimators
from idsweep.estimators.lpca import BESIDE_NOISE, VERSIONS
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.search import nearest_neighbors

N, L = 120, 30
ADAPTED = [name for name in estimators.names() if estimators.module_of(name).endswith(".scikit_dimension")]
OWN = [name for name in estimators.names() if name not in ADAPTED]
# which subsamples persistent homology draws depends on the order of the points; it has tests of its own
INVARIANT = [name for name in OWN if name != "persistent_homology"]
MANIFOLDS = ["M1_Sphere", "M5b_Helix2d", "M10a_Cubic", "Mn1_Nonlinear"]


@pytest.fixture(scope="module", params=["hyperball", *MANIFOLDS, "layer 0", "layer 4"])
def cloud(request):
    """float64 (120, D): scikit-dimension's manifolds and MiniLM's hidden states."""
    name = request.param
    if name == "hyperball":
        return skdim.datasets.hyperBall(n=N, d=5, random_state=0)
    if name in MANIFOLDS:
        made = skdim.datasets.BenchmarkManifolds(random_state=0)
        d, dimension = (int(made.truth.loc[name, key]) for key in ("Intrinsic Dimension", "Number of variables"))
        made = made.generate(name=name, n=N, dim=dimension, d=d)
        return np.ascontiguousarray(made, dtype=np.float64)
    hidden_states = request.getfixturevalue("hidden_states")  # needs torch
    return np.unique(hidden_states[int(name[-1])], axis=0)[:N].astype(np.float64)


@pytest.fixture(scope="module")
def graph(cloud):
    return nearest_neighbors(cloud, L + 5)


@pytest.mark.parametrize(
    "options", [{}, {"discard_fraction": 0.25}, {"method": "mle"}, {"method": "mle", "discard_fraction": 0.0}]
)
def test_twonn_equals_scikit_dimension(cloud, graph, options):
    oracle = skdim.id.TwoNN(**options)
    expected = oracle.fit_pw(cloud, precomputed_knn=graph.indices[:, :L], n_neighbors=L).dimension_pw_
    np.testing.assert_allclose(estimate_local(cloud, "twonn", L, graph, **options), expected, rtol=1e-6)
    assert estimate_global(cloud, "twonn", graph, **options).value == pytest.approx(
        oracle.fit(cloud).dimension_, rel=1e-6
    )


@pytest.mark.parametrize("unbiased", [False, True])
def test_mle_equals_scikit_dimension(cloud, graph, unbiased):
    oracle = skdim.id.MLE(unbiased=unbiased)
    for comb, average in (("mle", "mackay_ghahramani"), ("mean", "arithmetic"), ("median", "median")):
        oracle.fit(cloud, n_neighbors=L, comb=comb)
        found = estimate_global(None, "mle", graph, n_neighbors=L, average=average, unbiased=unbiased)
        assert found.value == pytest.approx(oracle.dimension_, rel=1e-6)
    found = estimate_local(None, "mle", L, graph, unbiased=unbiased)
    np.testing.assert_allclose(found, oracle.dimension_pw_, rtol=1e-6)


SKDIM_NAMES = {"alpha_fo": "alphaFO", "alpha_fan": "alphaFan", "beta_fan": "betaFan", "p_fan": "PFan"}
SKDIM_NAMES |= {"alpha_ratio": "alphaRatio", "alpha_kn": "alphaKN", "version": "ver"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *({"version": version} for version in VERSIONS),
        {"alpha_fo": 0.2},
        {"version": "Fan", "alpha_fan": 2, "beta_fan": 0.6, "p_fan": 0.8},
        {"version": "ratio", "alpha_ratio": 0.9},
        {"center": False},
        {"version": "MP", "center": False},
        {"version": "denoised", "noise_var": 1e-3},
        {"version": "KN", "alpha_kn": 0.01},
        {"version": "parallel", "null": "signflip", "quantile": 0.5},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_lpca_equals_scikit_dimension(cloud, options):
    if options.get("version") in ("parallel", "scRMT") and cloud.shape[1] > 100:
        pytest.skip("scikit-dimension takes seconds here, and its own code answers")
    cloud = cloud[:40]
    graph = nearest_neighbors(cloud, L)
    slow = {"n_permutations": 5} if options.get("version") == "parallel" else {}
    seed = {"random_state": 0} if options.get("version") in ("parallel", "scRMT") else {}
    options = {**options, **slow, **seed}
    oracle = skdim.id.lPCA(**{SKDIM_NAMES.get(name, name): value for name, value in options.items()})

    def answer(X):
        if options["version"] == "maxgap" and X.shape[1] >= len(X):
            # centred points leave one eigenvalue at 0, and scikit-dimension takes the gap to its rounding for the largest
            spectrum = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)[: len(X) - 1] ** 2
            return skdim.id.lPCA(ver="maxgap", fit_explained_variance=True).fit(spectrum).dimension_
        if options["version"] in BESIDE_NOISE and "noise_var" not in options:
            singular = np.linalg.svd(X - X.mean(axis=0) * options.get("center", True), compute_uv=False)
            possible = min(len(X) - options.get("center", True), X.shape[1])
            if singular[possible - 1] < 1e-7 * singular[0]:  # in some directions there is no noise to be measured
                return np.nan
        return oracle.fit(X).dimension_

    options.setdefault("version", "FO")
    with np.errstate(all="ignore"):
        expected = np.array([answer(cloud[members]) for members in graph.indices[:, :L]])
        expected_global = answer(cloud)
    found = estimate_local(cloud, "lpca", L, graph, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = estimate_global(cloud, "lpca", **options).value
    assert found == pytest.approx(expected_global, rel=1e-6, nan_ok=True)


def test_participation_ratio_equals_scikit_dimension(cloud, graph):
    oracle = skdim.id.lPCA(ver="participation_ratio")
    expected = oracle.fit_pw(cloud, precomputed_knn=graph.indices[:, :L], n_neighbors=L).dimension_pw_
    np.testing.assert_allclose(estimate_local(cloud, "participation_ratio", L, graph), expected, rtol=1e-6)
    found = estimate_global(cloud, "participation_ratio")
    assert found.value == pytest.approx(oracle.fit(cloud).dimension_, rel=1e-6)
    assert found.standard_error > 0


def test_float32_input_is_within_a_thousandth(hidden_states):
    X = np.unique(hidden_states[4], axis=0)[:N]
    expected = skdim.id.TwoNN().fit_pw(X, n_neighbors=L).dimension_pw_
    np.testing.assert_allclose(estimate_local(X, "twonn", L), expected, rtol=1e-3)
    assert estimate_global(X, "twonn").value == pytest.approx(skdim.id.TwoNN().fit(X).dimension_, rel=1e-3)
    expected = skdim.id.MLE().fit(X, n_neighbors=L).dimension_pw_
    np.testing.assert_allclose(estimate_local(X, "mle", L), expected, rtol=1e-3)
    expected = skdim.id.lPCA().fit_pw(X, n_neighbors=L).dimension_pw_
    np.testing.assert_array_equal(estimate_local(X, "lpca", L), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ADAPTED)
def test_adapter_equals_scikit_dimension(name):
    # Of seed 0 the last digit of the points decides between two answers of DANCo, 2.98 and 3.03.
    X = skdim.datasets.hyperBall(n=120, d=3, random_state=2)
    X = np.hstack([X, X[:, :2] ** 2])
    estimator = estimators.get(name)
    class_name = estimator.global_.args[0]
    parameters = estimator.parameters("global")
    few = {"D": 5} if name == "danco" else {}
    n_neighbors = parameters.pop("n_neighbors", None)
    parameters.pop("comb", None)
    oracle = getattr(skdim.id, class_name)(**{**parameters, **few})
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if n_neighbors:
            expected = oracle.fit(X, n_neighbors=30)
            found = estimate_local(X, name, 30, **few)
            np.testing.assert_allclose(found, expected.dimension_pw_, rtol=1e-6)
            assert estimate_global(X, name, n_neighbors=30, **few).value == pytest.approx(expected.dimension_, rel=1e-6)
            return
        assert estimate_global(X, name, **few).value == pytest.approx(float(oracle.fit(X).dimension_), rel=1e-6)
        if name != "danco":  # seconds a neighbourhood
            graph = nearest_neighbors(X[:45], 40)
            expected = [float(oracle.fit(X[members]).dimension_) for members in graph.indices]
            np.testing.assert_allclose(estimate_local(X[:45], name, 40, graph, **few), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ADAPTED)
def test_adapter_knows_the_parameters_of_scikit_dimension(name):
    estimator = estimators.get(name)
    class_name, ours = estimator.global_.args[:2]
    theirs = inspect.signature(getattr(skdim.id, class_name)).parameters
    for parameter, default in ours.items():
        assert default == (0 if parameter == "random_state" else theirs[parameter].default)
    left_out = {"DM", "calibration_data", "verbose", "produce_plots", "multiscale", "range_max", "n_jobs"}
    assert set(theirs) - set(ours) <= left_out


def two_nn_of(ratios):
    """A graph of these ratios, in which no two points are each other's neighbours (but for three)."""
    distances = np.stack([np.ones(len(ratios)), ratios], axis=1)
    following = (np.arange(len(ratios))[:, None] + [1, 2]) % len(ratios)
    return NeighborGraph(following.astype(np.int32), distances)


@pytest.mark.parametrize("name", make_dadapy.CLOUDS)
def test_twonn_and_gride_equal_dadapy(name):
    expected = json.loads(Path(make_dadapy.__file__).with_name("dadapy.json").read_text())[name]
    X = make_dadapy.cloud(*make_dadapy.CLOUDS[name])
    graph = nearest_neighbors(X, 128)
    assert estimate_global(X, "twonn", graph).value == pytest.approx(expected["twonn linear"], rel=1e-6)
    likelihood = estimate_global(X, "twonn", graph, method="mle", discard_fraction=0.0)
    assert likelihood.value == pytest.approx(expected["twonn mle"], rel=1e-6)
    coarser = estimators.get("gride").coarser({"n1": 1, "n2": None}, 128)
    scales = [{"n1": 1, "n2": None}, *coarser.values()]
    assert [scale["n1"] for scale in scales] == [1, 2, 4, 8, 16, 32, 64]
    found = [estimate_global(None, "gride", graph, **scale).value for scale in scales]
    np.testing.assert_allclose(found, expected["gride"], rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"n1": 3}, {"n1": 2, "n2": 7}, {"n1": 1, "n2": 20}])
def test_gride_equals_scikit_dimension(cloud, graph, options):
    oracle = skdim.id.GRIDE(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle.fit(cloud).dimension_
    assert estimate_global(None, "gride", graph, **options).value == pytest.approx(expected, rel=1e-6)


def test_gride_counts_ties_and_duplicates():
    distances = np.tile([1.0, 2.0, 3.0, 4.0], (30, 1)) ** np.linspace(0.5, 2, 30)[:, None]
    distances[3] = [0.0, 0.0, 1.0, 1.0]
    distances[7] = [1.0, 1.0, 2.0, 2.0]
    graph = NeighborGraph(((np.arange(30)[:, None] + [1, 2, 3, 4]) % 30).astype(np.int32), distances)
    found = estimate_global(None, "gride", graph)
    assert (found.n_points, found.n_undefined) == (30, 2)
    logs = np.log(2.0) * np.delete(np.linspace(0.5, 2, 30), [3, 7])
    assert found.value == pytest.approx(27 / logs.sum())


def test_twonn_closed_forms():
    n, d = 1000, 7.0
    exact = (1 - np.arange(1, n + 1) / (n + 1e-9)) ** (-1 / d)  # quantiles of Pareto(1, d)
    assert estimate_global(None, "twonn", two_nn_of(exact)).value == pytest.approx(d, rel=1e-9)
    found = estimate_global(None, "twonn", two_nn_of(np.exp([0.1, 0.2, 0.3, 9.0])), method="mle", discard_fraction=0.25)
    assert found.value == pytest.approx(2 / (0.1 + 0.2 + 0.3 + 0.3))


def test_mle_closed_form():
    graph = NeighborGraph(np.zeros((1, 3), dtype=np.int32), np.array([[1.0, 2.0, 4.0]]))
    at_3, at_2 = 2 / (np.log(4) + np.log(2)), 1 / np.log(2)
    assert estimate_local(None, "mle", 3, graph)[0] == pytest.approx(at_3)
    assert estimate_local(None, "mle", 3, graph, from_neighbors=2)[0] == pytest.approx((at_2 + at_3) / 2)


@pytest.mark.parametrize("average", ["mackay_ghahramani", "arithmetic", "median"])
def test_mle_over_several_k_is_the_mean_over_k(cloud, graph, average):
    options = {"average": average, "unbiased": True}
    each = [estimate_global(None, "mle", graph, n_neighbors=k, **options).value for k in range(5, 13)]
    found = estimate_global(None, "mle", graph, n_neighbors=12, from_neighbors=5, **options)
    assert found.value == pytest.approx(np.mean(each), rel=1e-12)
    local = [estimate_local(None, "mle", k, graph, unbiased=True) for k in range(5, 13)]
    together = estimate_local(None, "mle", 12, graph, from_neighbors=5, unbiased=True)
    np.testing.assert_allclose(together, np.mean(local, axis=0), rtol=1e-12)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_participation_ratio_closed_form(shape):
    X = np.random.default_rng(0).standard_normal(shape) * np.arange(1, shape[1] + 1)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert estimate_global(X, "participation_ratio").value == pytest.approx(expected, rel=1e-12)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-2, 1e2), st.floats(-10, 10))
def test_invariance(seed, scale, shift):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((150, 6)) * np.arange(1, 7)
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    order = rng.permutation(len(X))
    moved = (scale * X @ rotation + shift)[order]
    for name in INVARIANT:
        if "local" in estimators.get(name).scopes:
            local = estimate_local(X, name, 20)
            np.testing.assert_allclose(estimate_local(moved, name, 20), local[order], rtol=1e-6)
        assert estimate_global(moved, name).value == pytest.approx(estimate_global(X, name).value, rel=1e-6)


@pytest.fixture
def strict():
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


def test_constant_cloud_is_undefined_everywhere(strict):
    X = np.full((12, 3), 0.1)
    few = {
        "mle": {"n_neighbors": 5},
        "corrint": {"k1": 2, "k2": 5},
        "persistent_homology": {"nsteps": 4, "subsamples": 2},
    }
    for name in OWN:
        if "local" in estimators.get(name).scopes:
            assert np.isnan(estimate_local(X, name, 5)).all()
        found = estimate_global(X, name, **few.get(name, {}))
        assert np.isnan(found.value) and np.isnan(found.standard_error)
    assert estimate_global(X, "twonn").n_undefined == 12
    assert np.isnan(estimate_local(X, "lpca", 5, version="maxgap")).all()
    assert np.isnan(estimate_local(X, "lpca", 5, version="KN")).all()


def test_duplicates_are_counted_not_dropped(strict):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 4))
    X[1] = X[0]
    found = estimate_global(X, "twonn")
    assert (found.n_points, found.n_undefined) == (100, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found.value == pytest.approx(skdim.id.TwoNN().fit(X).dimension_, rel=1e-6)
    local = estimate_local(X, "mle", 10)
    assert np.isnan(local).sum() == 2 and np.isnan(local[:2]).all()
    found = estimate_global(X, "mle", n_neighbors=10)
    assert found.n_undefined == 2 and found.value == pytest.approx(1 / np.mean(1 / local[2:]))
    assert np.isfinite(estimate_local(X, "twonn", 20)).all()


def test_equidistant_points_have_no_finite_dimension(strict):
    X = np.eye(8)
    for name in ("twonn", "mle"):
        assert np.isnan(estimate_local(X, name, 5)).all()
        assert np.isnan(estimate_global(X, name, **({"n_neighbors": 5} if name == "mle" else {})).value)
    assert np.isnan(estimate_global(X, "twonn", method="mle").value)


def test_a_wider_graph_gives_the_same_numbers():
    X = np.random.default_rng(0).standard_normal((200, 5))
    for name in OWN:
        if "local" in estimators.get(name).scopes:
            wide, narrow = (estimate_local(X, name, 20, nearest_neighbors(X, k)) for k in (20, 100))
            np.testing.assert_allclose(wide, narrow, rtol=1e-12)
        wide, narrow = (estimate_global(X, name, nearest_neighbors(X, k)).value for k in (20, 100))
        assert wide == pytest.approx(narrow, rel=1e-12)


X = np.random.default_rng(0).standard_normal((50, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_local(X, "twoNN"), "no estimator 'twoNN'; .* mle, .* twonn"),
        (
            lambda: estimate_local(X, "twonn", 10, discard=0.1),
            "no parameter discard; .* discard_fraction, method, n_neighbors",
        ),
        (lambda: estimate_local(X, "twonn", 50), "k = 50 .* N = 50"),
        (lambda: estimate_local(X, "twonn", 2), "n_neighbors = 2"),
        (lambda: estimate_local(X, "mle", 1), "n_neighbors = 1"),
        (lambda: estimate_local(X, "twonn", 20, nearest_neighbors(X, 10)), "20 neighbours .* holds 10"),
        (lambda: estimate_local(X, "twonn", 10, nearest_neighbors(X[:30], 10)), "30 points, but X has 50"),
        (lambda: estimate_local(None, "twonn", 10, nearest_neighbors(X, 10)), "need the points X; None was given"),
        (lambda: estimate_local(None, "mle", 10), "needs the points X"),
        (lambda: estimate_local(X[0], "twonn"), r"shape \(4,\)"),
        (lambda: estimate_local(np.where(X > 2, np.nan, X), "twonn", 10), "NaN or infinite"),
        (lambda: estimate_global(X, "twonn", method="ols"), "method = 'ols' .* linear, mle"),
        (lambda: estimate_global(X, "twonn", discard_fraction=0), "discard_fraction = 0"),
        (lambda: estimate_global(X, "twonn", discard_fraction=1.0), "discard_fraction = 1.0"),
        (lambda: estimate_global(X, "mle", average="harmonic"), "average = 'harmonic'"),
        (lambda: estimate_global(X, "mle", from_neighbors=1), "from_neighbors = 1"),
        (lambda: estimate_global(X, "mle", from_neighbors=21), "from_neighbors = 21 is above n_neighbors = 20"),
        (lambda: estimate_global(X, "gride", n1=0), "n1 = 0"),
        (lambda: estimate_global(X, "gride", n1=1.5), "n1 = 1.5"),
        (lambda: estimate_global(X, "gride", n1=4, n2=4), "n2 = 4 .* above n1 = 4"),
        (lambda: estimate_global(X, "gride", n1=30), "k = 60 .* N = 50"),
        (lambda: estimate_global(X, "twonn", groups=np.zeros(3)), r"groups has shape \(3,\); .* 50 points"),
        (lambda: estimate_global(X, "lpca", version="fo"), "version = 'fo' .* FO"),
        (lambda: estimate_global(X[:, :1], "lpca"), "50 points and 1 coordinates"),
        (lambda: estimate_global(X, "tle", comb="mle"), "comb = 'mle'"),
        (lambda: estimate_global(X, "tle", kk=1), "comb, epsilon, n_neighbors"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_registry_answers_without_heavy_imports():
    code = (
        "import sys; from idsweep.estimators import registry as estimators; "
        "[estimators.get(n).parameters(s) for n in estimators.names() for s in estimators.get(n).scopes]; "
        "print(sorted({'numba', 'scipy', 'torch', 'skdim', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_registry_entries():
    assert {"corrint", "effective_rank", "gride", "lpca", "mle", "persistent_homology", "twonn"} <= set(OWN)
    assert {"danco", "ess", "fishers", "knn", "mada", "mind_ml", "mom", "tle"} == set(ADAPTED)
    assert estimators.get("twonn").parameters("global") == {"method": "linear", "discard_fraction": 0.1}
    assert estimators.get("twonn").scopes == ("local", "global")
    assert estimators.module_of("twonn") == "idsweep.estimators.twonn"
    assert estimators.module_of("ess") == "idsweep.estimators.scikit_dimension"
    assert isinstance(estimate_global(X, "twonn"), Estimate)
