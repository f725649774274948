"""Clouds whose squares float64 cannot hold. Oracle: distances in the 80-bit numbers of x86, whose exponents go to 16,384."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.neighbors import search_torch
from idsweep.neighbors.graph import center_and_scale, check_cloud, lengths
from idsweep.neighbors.hausdorff import hausdorff_distance
from idsweep.neighbors.neighborhoods import nearest_two_within
from idsweep.neighbors.points import prepare_points
from idsweep.neighbors.search import nearest_neighbors
from idsweep.neighbors.variants import of_cloud

wide_numbers = pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16384, reason="needs 80-bit numbers")

GAUSS = np.random.default_rng(0).standard_normal((150, 7))
HALF = np.random.default_rng(1).random(150) < 0.5
CLOUDS = {
    "of size 1e160": 1e160 * GAUSS,
    "of size 1e-170": 1e-170 * GAUSS,
    "with a far point": np.vstack([GAUSS[:-1], np.full((1, 7), 1e160)]),
    "with a far point, tiny": np.vstack([1e-170 * GAUSS[:-1], np.full((1, 7), 1.0)]),
    "that one coordinate dominates": GAUSS * [1e160, 1, 1, 1, 1, 1, 1],
    "in two far parts": np.column_stack([np.where(HALF, 0, 1e160), GAUSS]),
    "of all sizes": GAUSS * 10.0 ** np.linspace(-200, 200, 150)[:, None],
    "with far constants": np.column_stack([GAUSS, np.full((150, 2), [0.1, 1e200])]),
    "far from the origin": 1e160 + 1e150 * GAUSS,
}
SEARCHES = {
    "float32": nearest_neighbors,
    "float64": lambda X, k: nearest_neighbors(X, k, dtype="float64"),
    "torch": lambda X, k: search_torch.search(check_cloud(X), k, "cpu"),
    "torch in float64": lambda X, k: search_torch.search(check_cloud(X), k, "cpu", dtype="float64"),
}


def all_distances(X, Y=None):
    X, Y = X.astype(np.longdouble), (X if Y is None else Y).astype(np.longdouble)
    return np.sqrt(((X[:, None] - Y[None]) ** 2).sum(axis=2))


@wide_numbers
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", CLOUDS)
def test_neighbors_are_exact(name, search):
    X = CLOUDS[name]
    expected = all_distances(X)
    np.fill_diagonal(expected, np.inf)
    indices, distances = SEARCHES[search](X, 12)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :12].astype(float), rtol=1e-15)
    np.testing.assert_allclose(np.take_along_axis(expected, indices, axis=1).astype(float), distances, rtol=1e-15)


@wide_numbers
@pytest.mark.parametrize("name", CLOUDS)
def test_neighbors_within_neighbourhoods_are_exact(name):
    X = CLOUDS[name]
    graph = nearest_neighbors(X, 12)
    found = nearest_two_within(X, graph, 6)
    for i in range(0, 150, 7):
        within = all_distances(X[graph.indices[i, :6]])
        np.fill_diagonal(within, np.inf)
        expected = np.sort(within, axis=1)[:, :2].T.astype(float)
        np.testing.assert_allclose([part[i] for part in found], expected, rtol=1e-15)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("power", [531, 900, -565, -1000])
def test_a_power_of_two_changes_no_digit(search, power):
    indices, distances = SEARCHES[search](GAUSS, 12)
    moved_indices, moved = SEARCHES[search](GAUSS * 2.0**power, 12)
    np.testing.assert_array_equal(moved_indices, indices)
    # torch's sums are in another order
    np.testing.assert_allclose(moved, distances * 2.0**power, rtol=0 if "torch" not in search else 5e-16)


@wide_numbers
@pytest.mark.parametrize("device", ["cpu", "cpu:0"], ids=["compiled", "torch"])
@pytest.mark.parametrize("name", CLOUDS)
def test_the_hausdorff_distance_is_exact(name, device):
    X = CLOUDS[name]
    distances = all_distances(X[:80], X[80:])
    expected = max(distances.min(axis=1).max(), distances.min(axis=0).max())
    assert hausdorff_distance(X[:80], X[80:], device) == pytest.approx(float(expected), rel=1e-15)


def test_lengths():
    found = lengths(np.array([[3.0, 4.0], [0, 0], [3e200, 4e200], [3e-200, 4e-200], [1, 1e-200], [0, 5e-324]]))
    np.testing.assert_allclose(found, [5, 0, 5e200, 5e-200, 1, 5e-324], rtol=1e-15)


def test_coordinates_that_are_the_same_everywhere_are_centred_to_zeros():
    center, scale = center_and_scale(CLOUDS["with far constants"])
    centred = (CLOUDS["with far constants"] - center) * scale
    assert not centred[:, -2:].any() and 0.5 < np.abs(centred).max() <= 1


@pytest.mark.parametrize("power", [531, -565])
@pytest.mark.parametrize("options", [{"normalize": "unit"}, {"normalize": "standardize"}, {"center": True}])
def test_points_are_normalised_at_any_size(options, power):
    found = prepare_points(GAUSS, number=150, seed=0, **options).vectors
    scaled = prepare_points(GAUSS * 2.0**power, number=150, seed=0, **options).vectors
    np.testing.assert_array_equal(scaled, found * (2.0**power if "center" in options else 1))


def test_float32_points_stay_float32():
    for normalize in ("unit", "standardize"):
        cloud = prepare_points(GAUSS.astype(np.float32), number=150, seed=0, normalize=normalize).vectors
        assert cloud.dtype == np.float32


@pytest.mark.parametrize("number", [150, 6], ids=["more points than coordinates", "fewer"])
@pytest.mark.parametrize("power", [531, -565])
def test_nulls_are_those_of_the_cloud_at_any_size(number, power):
    of_gauss, scaled = (
        [variant.vectors for variant in of_cloud(X[:number], nulls=["gaussian", "permuted"])]
        for X in (GAUSS, GAUSS * 2.0**power)
    )
    for found, expected in zip(scaled, of_gauss, strict=True):
        np.testing.assert_array_equal(found, expected * 2.0**power)


@pytest.mark.parametrize("large", [1e8, 1e160])
def test_a_large_coordinate_leaves_the_others_their_spread_in_the_gaussian_null(large):
    X = GAUSS * [large, 1, 1, 1, 1, 1, 1]
    X[:, 6] = X[:, 5] - 0.5 * X[:, 4]
    null = [variant.vectors for variant in of_cloud(X, nulls=["gaussian"])][1]
    unit = np.array([large, 1, 1, 1, 1, 1, 1])
    np.testing.assert_allclose((null / unit).std(axis=0), (X / unit).std(axis=0), rtol=0.3)
    # what depends on others does so in the null
    rest = null[:, 6] - null[:, 5] + 0.5 * null[:, 4]
    assert rest.std() < 1e-4


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (GAUSS * 2.0**-1060, r"of 150 points, .* nearer than 2.23e-308, .* as 2.0\*\*300"),
        (np.vstack([GAUSS, GAUSS[:1] * (1 + 1e-15) * 0, [[5e-324, 0, 0, 0, 0, 0, 0]]]), "2 of 152 points, .* row 150"),
        (np.vstack([GAUSS, np.full((1, 7), 1e300)]), r"beyond 2\*\*980 .* in 1 of 151 rows, .* row 150"),
        (np.array([[2**53 + 2], [2**53 + 1], [0]]), r"whole numbers beyond 2\*\*53"),
        (GAUSS.astype(np.longdouble), "dtype float128"),
    ],
    ids=["subnormal", "two subnormal", "huge", "long integers", "longdouble"],
)
def test_what_float64_cannot_hold_is_refused(X, message):
    for search in (nearest_neighbors, lambda X, k: nearest_neighbors(X, k, device="cpu:0")):
        with pytest.raises(ValueError, match=message):
            search(X, 2)
