"""What estimates are of clouds that are odd: the right value, NaN that is counted, or a refusal; never rounding errors.

Oracles: mpmath, 80-bit numbers, closed forms, and the same cloud in other units or turned.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import skdim
from idsweep.estimators import estimate_global, estimate_local, estimate_mean
from idsweep.estimators import registry as estimators
from idsweep.estimators.lpca import VERSIONS
from idsweep.estimators.ratios import log_ratios
from idsweep.neighbors.graph import NeighborGraph
from idsweep.neighbors.search import nearest_neighbors

RNG = np.random.default_rng(0)
GAUSS = RNG.standard_normal((60, 4))
TURN = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
LATTICE = RNG.permutation(np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3))
SIMPLEX = np.eye(40)
LINE = np.outer(RNG.random(60), [1.0, 2, 3, -1])
FAR = np.vstack([GAUSS[:-1], np.full((1, 4), 1e6)])

OPTIONS = {
    "persistent_homology": {"nsteps": 4, "subsamples": 2},
    "danco": {"k": 4, "D": 4},
    "mind_ml": {"k": 4},
    "corrint": {"k1": 4, "k2": 8},
}
FROM_DISTANCES = ("twonn", "mle", "gride", "corrint", "mada", "mom", "tle", "mind_ml")
# danco takes seconds for the neighbourhoods of a cloud
EVERY = [
    (name, scope, {})
    for name in estimators.names()
    for scope in estimators.get(name).scopes
    if (name, scope) != ("danco", "local")
]
EVERY += [("lpca", scope, {"version": version}) for version in VERSIONS[1:] for scope in ("local", "global")]


def estimate(X, name, scope, options=None):
    """Local values (N,), or the global value and how many points it lacks."""
    allowed = estimators.get(name).parameters(scope)
    options = {**OPTIONS.get(name, {}), **(options or {})}
    if "n_neighbors" in allowed:
        options["n_neighbors"] = 12
    if options.get("version") == "parallel":
        options["n_permutations"] = 5
    if scope == "local":
        return estimate_local(X, name, **options)
    found = estimate_global(X, name, **options)
    return np.array([found.value, found.n_undefined])


@pytest.mark.parametrize(("name", "scope", "options"), EVERY, ids=lambda part: str(part))
def test_the_unit_of_the_points_changes_no_digit(name, scope, options):
    X = GAUSS[:40] if name != "danco" else GAUSS[:20]
    expected = estimate(X, name, scope, options)
    assert np.isfinite(expected).any() or name == "fishers"
    for power in (531, -565):
        np.testing.assert_array_equal(estimate(X * 2.0**power, name, scope, options), expected)


@pytest.mark.parametrize("center", [True, False])
def test_local_pca_beside_noise_in_any_unit(center):
    """The variance of the noise is in the units of the points."""
    for version in ("MP", "GD", "KN", "denoised"):
        options = {"version": version, "center": center}
        expected = estimate(GAUSS, "lpca", "local", {**options, "noise_var": 0.4})
        found = estimate(GAUSS * 2.0**100, "lpca", "local", {**options, "noise_var": 0.4 * 2.0**200})
        np.testing.assert_array_equal(found, expected)
        rule = skdim.id.lPCA(ver=version, center=center, noise_var=0.4)
        members = nearest_neighbors(GAUSS, 12).indices
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(expected, [rule.fit(GAUSS[group]).dimension_ for group in members])


@pytest.mark.parametrize(("name", "scope", "options"), EVERY, ids=lambda part: str(part))
def test_equal_points_are_undefined(name, scope, options):
    X = np.full((40, 4), 0.1)
    found = estimate(X, name, scope, options)
    assert np.isnan(found if scope == "local" else found[0]).all()


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("name", FROM_DISTANCES)
def test_ties_but_for_rounding_are_ties(name, scope):
    """A lattice that is turned, and the corners of a simplex, which are all equally far from each other."""
    if scope not in estimators.get(name).scopes:
        return
    # which of equally far points are in a neighbourhood does not matter to these
    if name != "tle" and (name, scope) not in (("mind_ml", "local"), ("twonn", "local")):
        expected = estimate(LATTICE, name, scope)
        np.testing.assert_allclose(estimate(LATTICE @ TURN, name, scope), expected, rtol=1e-9)
    for X in (SIMPLEX, SIMPLEX @ np.linalg.qr(RNG.standard_normal((40, 40)))[0]):
        found = estimate(X, name, scope)
        assert np.isnan(found if scope == "local" else found[0]).all()


def in_mpmath(near, far):
    """log(far / near) in 60 digits, rounded once."""
    with mpmath.workdps(60):
        return float(mpmath.log(mpmath.mpf(float(far)) / mpmath.mpf(float(near))))


def test_logarithms_of_ratios_are_exact():
    near = np.array([1.0, 1.0, 3.0, 1e6, 1e-170, 7e150, 1e-300, 2.0])
    far = np.array([1 + 2e-12, 1 + 1e-9, 3.0000001, 1e6 + 1, 3e-170, 7e160, 1e290, 1e5])
    np.testing.assert_allclose(log_ratios(near, far), [*map(in_mpmath, near, far)], rtol=4e-16)
    found = log_ratios(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0, 1 + 4e-16]))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0, 0])


@pytest.mark.parametrize("distance", [1e3, 1e6, 1e9])
def test_mle_is_exact_with_a_far_point(distance):
    X = np.vstack([GAUSS[:-1], np.full((1, 4), distance)])
    graph = nearest_neighbors(X, 12)
    logs = np.array([[in_mpmath(near, row[-1]) for near in row[:-1]] for row in graph.distances])
    local = 11 / logs.sum(axis=1)
    np.testing.assert_allclose(estimate_local(None, "mle", 12, graph), local, rtol=1e-13)
    for average, expected in (("mackay_ghahramani", 1 / np.mean(1 / local)), ("arithmetic", local.mean())):
        found = estimate_global(None, "mle", graph, n_neighbors=12, average=average).value
        assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16384, reason="needs 80-bit numbers")
@pytest.mark.parametrize("far", [1e6, 1e160])
def test_estimates_from_distances_are_exact_with_a_far_point(far):
    """From the coordinates on, in 80-bit numbers."""
    X = np.vstack([GAUSS[:-1], np.full((1, 4), far)])
    wide = X.astype(np.longdouble)
    distances = np.sort(np.sqrt(((wide[:, None] - wide[None]) ** 2).sum(axis=2)), axis=1)[:, 1:]
    inverse = np.log(distances[:, 11:12] / distances[:, :11]).mean(axis=1)
    defined = inverse > 1e-12  # at 1e160 no neighbours of the far point can be told apart
    assert np.count_nonzero(~defined) == (far > 1e15)
    found = estimate_global(X, "mle", n_neighbors=12)
    assert found.value == pytest.approx(float(1 / inverse[defined].mean()), rel=1e-9)
    assert found.n_undefined == np.count_nonzero(~defined)
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))[:54]
    heights = -np.log1p(-np.arange(1, 55) / np.longdouble(60))
    expected = float((ratios * heights).sum() / (ratios**2).sum())
    assert estimate_global(X, "twonn").value == pytest.approx(expected, rel=1e-9)


def test_one_large_coordinate_is_the_only_direction():
    X = GAUSS * [1e160, 1, 1, 1]
    for name in ("participation_ratio", "effective_rank", "stable_rank"):
        assert estimate_global(X, name).value == pytest.approx(1, rel=1e-12)
        np.testing.assert_allclose(estimate_local(X, name, 12), 1)
    assert (estimate_local(X, "lpca", 12) == 1).all()
    # distances along it are all that counts
    for name in ("twonn", "mle", "corrint", "gride"):
        assert estimate_global(X, name).value == pytest.approx(estimate_global(X[:, :1], name).value, rel=1e-9)


def test_constant_coordinates_change_nothing():
    X = np.column_stack([GAUSS, np.full((60, 3), [0.1, 1e9, 1e200])])
    for name, scope, options in EVERY:
        # other versions and knn ask how many coordinates there are, or whether the last of them is noise
        if name == "knn" or options.get("version", "ratio") not in ("ratio", "participation_ratio"):
            continue
        cut = slice(20 if name == "danco" else 40)
        expected = estimate(GAUSS[cut], name, scope, options)
        np.testing.assert_allclose(estimate(X[cut], name, scope, options), expected, rtol=1e-6)


NOISY = ("Fan", "KN", "Minka", "MP", "GD", "denoised")


@pytest.mark.parametrize("version", NOISY)
def test_local_pca_without_noise_is_undefined_and_counted(version):
    """Points on a line, and on a plane in space: nothing is left that could be noise."""
    turned = np.pad(RNG.standard_normal((60, 2)), ((0, 0), (0, 4))) @ np.linalg.qr(RNG.standard_normal((6, 6)))[0]
    for X in (LINE, turned) if version != "Fan" else (LINE, GAUSS * [100, 1, 1, 1]):
        mean = estimate_mean(X, "lpca", 12, version=version)
        assert np.isnan(mean.value) and mean.n_undefined == 60
        assert np.isnan(estimate_global(X, "lpca", version=version).value)
    mixed = np.vstack([1e3 + LINE[:30], GAUSS[:30]])
    mean = estimate_mean(mixed, "lpca", 12, version=version)
    assert mean.n_undefined == 30 and np.isfinite(mean.value)


def test_local_pca_with_few_points_is_not_without_noise():
    """12 points in 300 coordinates span 11 directions, as many as they can."""
    X = RNG.standard_normal((40, 300))
    for version in NOISY:
        assert np.isfinite(estimate_local(X, "lpca", 12, version=version)).all()


def test_fan_by_hand():
    def of_variances(*variances):
        """Points ± sqrt(variance) along each axis."""
        axes = np.diag(np.sqrt(variances))
        return estimate_global(np.vstack([axes, -axes]), "lpca", version="Fan").value

    assert np.isnan(of_variances(97, 1, 1, 1))  # more than 95 % in one
    assert of_variances(94, 2, 2, 2) == 1
    assert (
        of_variances(40, 40, 16, 4) == 2
    )  # less the noise of 4: 36 36 12 0, a gap without end after three, 86 % after two
    assert np.isnan(of_variances(*[5] * 20))  # all is noise


def test_gaps_between_eigenvalues():
    flat = np.pad(RNG.standard_normal((60, 3)), ((0, 0), (0, 5))) @ np.linalg.qr(RNG.standard_normal((8, 8)))[0]
    assert (estimate_local(flat, "lpca", 12, version="maxgap") == 3).all()
    assert (estimate_local(LINE, "lpca", 12, version="maxgap") == 1).all()
    cross = np.vstack([np.eye(6), -np.eye(6)])
    assert np.isnan(estimate_global(cross, "lpca", version="maxgap").value)
    # 1e-9, 1e-20: further apart than sums of squares can tell
    spread = np.vstack([np.eye(4), -np.eye(4)]) * [1, 1e-3, 1e-9, 1e-11]
    assert estimate_global(spread, "lpca", version="maxgap").value == 2


def test_equal_eigenvalues_do_not_differ():
    cross = np.vstack([np.eye(9), -np.eye(9)]) @ np.linalg.qr(RNG.standard_normal((9, 9)))[0]
    assert estimate_global(cross, "lpca", version="Kaiser").value == 0
    assert estimate_global(cross, "lpca", version="ratio", alpha_ratio=1 / 3).value == 3


def test_permuting_what_does_not_vary_tells_nothing():
    along = np.pad(RNG.random((60, 1)), ((0, 0), (2, 1))) + 0.1
    for version in ("parallel", "scRMT"):
        assert np.isnan(estimate_global(along, "lpca", version=version).value)
    assert np.isnan(estimate_global(GAUSS * [1e9, 1, 1, 1], "lpca", version="parallel").value)
    assert estimate_global(LINE, "lpca", version="parallel").value == 1


def test_gride_of_ratios_that_are_nearly_all_the_same():
    """3 % differ; the 95th percentile is the median, and what is beyond it is no outlier for being there."""
    distances = np.tile([1.0, np.sqrt(2)], (100, 1))
    distances[:3, 1] = 1.1
    indices = (np.arange(100)[:, None] + [1, 2]) % 100
    found = estimate_global(None, "gride", NeighborGraph(indices, distances))
    assert found.value == pytest.approx(99 / (97 * np.log(np.sqrt(2)) + 3 * np.log(1.1)))


def test_duplicates_are_left_out_where_ratios_are_looked_at():
    X = np.vstack([GAUSS, GAUSS[:7]])
    for name in ("mind_ml", "mada", "danco"):
        assert estimate(X, name, "global")[1] == 14
    assert np.isnan(estimate(X, "danco", "global")[0])
    # skdim's likelihood of the ratios that are left
    distances = nearest_neighbors(X, 5).distances[7:60]
    mind = skdim.id.MiND_ML(k=4)
    ratios = distances[:, 0] / distances[:, -1]
    assert estimate(X, "mind_ml", "global")[0] == pytest.approx(
        mind._MiND_MLk(ratios, mind._MiND_MLi(ratios)), rel=1e-6
    )
    # a whole neighbourhood of duplicates
    crowd = np.vstack([GAUSS, np.repeat(GAUSS[:1], 13, axis=0)])
    for name in ("tle", "mom", "ess", "mle", "lpca", "twonn", "knn", "fishers"):
        local = estimate(crowd, name, "local")
        assert np.isnan(local[[0, *range(60, 73)]]).all()
        assert np.isfinite(local[1:60]).any() or name == "fishers"


def test_fishers_leaves_out_what_has_no_direction():
    found = estimate_global(LATTICE[(LATTICE < 3).all(axis=1)], "fishers")
    assert found.n_undefined == 1 and np.isfinite(found.value)


def test_danco_refuses_what_its_search_cannot_tell_apart():
    with pytest.raises(ValueError, match="cannot tell apart"):
        estimate_global(FAR, "danco", k=4, D=4)


def test_half_precision_and_few_points():
    half = GAUSS[:30].astype(np.float16)
    for name, scope, options in EVERY:
        if name in ("danco", "fishers", "ess"):
            continue
        expected = estimate(half.astype(np.float64), name, scope, options)
        np.testing.assert_allclose(estimate(half, name, scope, options), expected, rtol=1e-6)
        # as many points as the estimate needs, and one fewer
        if name in ("knn", "fishers", "persistent_homology") or name in OPTIONS or scope == "global":
            continue
        assert estimate(GAUSS[:13], name, scope, options).shape == (13,)
        with pytest.raises(ValueError, match="k = 12 neighbours cannot be found among N = 12 points"):
            estimate(GAUSS[:12], name, scope, options)
