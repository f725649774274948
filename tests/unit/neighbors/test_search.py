"""Oracle: all distances in float64 from differences of the given values, sorted with ties by index."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idsweep.neighbors import search as cpu_search
from idsweep.neighbors import search_torch
from idsweep.neighbors.graph import check_cloud, unit_and_slope
from idsweep.neighbors.search import nearest_neighbors


def brute_force(X, k):
    X = X.astype(np.float64)
    distances = np.sqrt(np.stack([((X - x) ** 2).sum(axis=1) for x in X]))
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


def on_torch(X, k):
    return search_torch.search(check_cloud(X), k, "cpu")


def clouds():
    rng = np.random.default_rng(0)
    gauss = rng.standard_normal((240, 33))
    spread = np.where(np.arange(33) < 3, 1e3, 1.0)
    return {
        "gaussian": gauss,
        "offset": gauss + 1e3,
        "near_duplicates": np.repeat(gauss[:48], 5, axis=0) + 1e-6 * rng.standard_normal((240, 33)),
        "outlier_dimensions": gauss * spread,
        "outlier_dimensions_with_offset": gauss * spread + 1e3,
        "duplicates": gauss[rng.integers(0, 20, 240)],
        "constant": np.ones((240, 33)),
        "lattice": rng.integers(0, 3, (240, 5)).astype(float),
        "one_far_point": np.vstack([gauss[:-1], np.full((1, 33), 1e6)]),
        "tiny": gauss * 1e-30,
    }


def in_float64(X, k):
    return nearest_neighbors(X, k, dtype="float64")


def on_torch_in_float64(X, k):
    return search_torch.search(check_cloud(X), k, "cpu", dtype="float64")


@cache
def all_neighbors(name, dtype):
    """The cloud of a name and type, and all neighbours of its points by brute force, which takes longer than the searches."""
    X = clouds()[name].astype(dtype)
    return X, *brute_force(X, len(X) - 1)


@pytest.mark.parametrize("search", [nearest_neighbors, on_torch, in_float64, on_torch_in_float64])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", clouds())
def test_equals_brute_force(name, dtype, search):
    if dtype == np.float16 and np.abs(clouds()[name]).max() > 6e4:
        pytest.skip("beyond the range of float16")
    X, all_indices, all_distances = all_neighbors(name, dtype)
    for k in (1, 20, len(X) - 1):
        indices, distances = search(X, k)
        expected_indices, expected = all_indices[:, :k], all_distances[:, :k]
        np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=0)
        # points at distances that differ only by rounding may change places, and no others
        moved = indices != expected_indices
        true = np.sqrt(((X[indices].astype(float) - X[:, None].astype(float)) ** 2).sum(axis=2))
        np.testing.assert_allclose(true[moved], expected[moved], rtol=1e-12, atol=0)
        assert indices.dtype == np.int32 and distances.dtype == np.float64


def test_ties_are_ordered_by_index():
    X = np.repeat(np.arange(4.0)[:, None], 3, axis=0)
    indices, distances = nearest_neighbors(X, 5)
    assert indices[0].tolist() == [1, 2, 3, 4, 5]
    assert indices[4].tolist() == [3, 5, 0, 1, 2]
    assert distances[0].tolist() == [0, 0, 1, 1, 1]


def test_a_duplicate_is_a_neighbour_but_the_point_itself_is_not():
    indices, distances = nearest_neighbors(np.zeros((6, 2)), 5)
    assert all(sorted(row) == [j for j in range(6) if j != i] for i, row in enumerate(indices.tolist()))
    assert not distances.any()


def test_float64_products_replace_the_float32_ones(monkeypatch):
    monkeypatch.setattr(cpu_search, "_candidates", None)  # would fail if it were called
    X = np.random.default_rng(0).standard_normal((50, 3))
    np.testing.assert_array_equal(nearest_neighbors(X, 5, dtype="float64").indices, brute_force(X, 5)[0])
    with pytest.raises(ValueError, match="dtype = 'float16' is not known; it must be one of float32, float64"):
        nearest_neighbors(X, 5, dtype="float16")


def test_unit_vectors_are_ordered_by_cosine():
    from idsweep.neighbors.points import prepare_points

    X = np.random.default_rng(0).standard_normal((80, 6)) * np.arange(1, 81)[:, None]
    cosines = X @ X.T / np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(X, axis=1))
    np.fill_diagonal(cosines, -2)
    found = nearest_neighbors(prepare_points(X, number=80, seed=0, normalize="unit").vectors, 10)
    np.testing.assert_array_equal(found.indices, np.argsort(-cosines, axis=1)[:, :10])
    np.testing.assert_allclose(found.distances**2, 2 - 2 * np.take_along_axis(cosines, found.indices, 1), rtol=1e-9)


def test_two_points():
    indices, distances = nearest_neighbors(np.array([[0.0], [3.0]]), 1)
    assert indices.tolist() == [[1], [0]] and distances.tolist() == [[3.0], [3.0]]


@pytest.mark.parametrize("kept_bytes", [0, 2**30], ids=["blocks are made anew", "blocks are kept"])
def test_many_blocks_with_a_partial_one(monkeypatch, kept_bytes):
    monkeypatch.setattr(cpu_search, "BLOCK", 64)
    monkeypatch.setattr(cpu_search, "DENSE_BYTES", 1)
    monkeypatch.setattr(cpu_search, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(search_torch, "MEMORY_BYTES", 2**16)
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.standard_normal((407, 30)), np.zeros((30, 30))]).astype(np.float32)
    expected_indices, expected = brute_force(X, 17)
    for search in (nearest_neighbors, on_torch):
        indices, distances = search(X, 17)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)
        np.testing.assert_array_equal(indices, expected_indices)


def test_search_in_float64_is_reached_and_needed(monkeypatch):
    rng = np.random.default_rng(2)
    # 300 points within 1e-5 of each other at length 1e3: float32 products cannot tell them apart
    X = np.concatenate([rng.standard_normal((300, 8)) * 1e-5 + 1e3, rng.standard_normal((300, 8)) * 1e3])
    expected_indices, _ = brute_force(X, 10)
    np.testing.assert_array_equal(nearest_neighbors(X, 10).indices, expected_indices)
    searched = []
    search = cpu_search._search_in_float64
    monkeypatch.setattr(
        cpu_search,
        "_search_in_float64",
        lambda X, k, points, *rest: (searched.extend(points), search(X, k, points, *rest)),
    )
    nearest_neighbors(X, 10)
    assert set(range(300)) <= set(searched)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_certificate_bounds_every_float32_value(scale):
    """largest_value(true distance) is never below the value that float32 products give a pair."""
    from idsweep.neighbors import kernels

    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 300)) * np.exp(rng.standard_normal((200, 1))) * scale
    X /= 2.0 ** np.ceil(np.log2(np.abs(X).max()))
    single = X.astype(np.float32)
    squares = np.einsum("ij,ij->i", single.astype(float), single.astype(float))
    halves = (squares / 2).astype(np.float32)
    values = (halves[:, None] + halves) - single @ single.T
    unit, slope = unit_and_slope(np.float32, X.shape[1])
    for i in range(len(X)):
        for j in range(len(X)):
            bound = kernels.largest_value(np.linalg.norm(X[i] - X[j]), np.sqrt(squares[i]), unit, slope)
            assert values[i, j] <= bound


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.floats(-1e2, 1e2))
def test_invariant_under_similarity(seed, scale, shift):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((60, 5))
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    order = rng.permutation(60)
    indices, distances = nearest_neighbors(X, 7)
    moved_indices, moved = nearest_neighbors((scale * X @ rotation + shift)[order], 7)
    np.testing.assert_allclose(moved, scale * distances[order], rtol=1e-9)
    np.testing.assert_array_equal(order[moved_indices], indices[order])


def test_hidden_states(hidden_states):
    for layer in (0, 4):
        X = hidden_states[layer]
        expected_indices, expected = brute_force(X, 64)
        indices, distances = nearest_neighbors(X, 64)
        np.testing.assert_array_equal(indices, expected_indices)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("X", "k", "message"),
    [
        (np.zeros(5), 1, r"shape \(5,\)"),
        (np.zeros((0, 3)), 1, r"shape \(0, 3\)"),
        (np.array([["a", "b"]]), 1, "dtype"),
        (np.zeros((5, 2), dtype=complex), 1, "dtype complex128"),
        (np.array([[0, 1], [np.nan, 1], [1, np.inf]]), 1, "2 of 3 rows, the first of them row 1"),
        (np.zeros((5, 2)), 0, "k = 0"),
        (np.zeros((5, 2)), 1.5, "k = 1.5"),
        (np.zeros((5, 2)), 5, "k = 5 .* N = 5 .* lower k to at most 4"),
    ],
)
def test_bad_input(X, k, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbors(X, k)
