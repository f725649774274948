"""Oracle: every neighbourhood searched on its own, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.neighbors import kernels, neighborhoods
from idsweep.neighbors.neighborhoods import eigenvalues_of, leading_directions, nearest_two_within, whole_graph
from idsweep.neighbors.search import nearest_neighbors


def brute_force(X, indices):
    X = X.astype(np.float64)
    found = np.empty((*indices.shape, 2))
    for i, members in enumerate(indices):
        distances = np.sqrt(((X[members][:, None] - X[members][None]) ** 2).sum(axis=2))
        np.fill_diagonal(distances, np.inf)
        found[i] = np.sort(distances, axis=1)[:, :2]
    return found[..., 0], found[..., 1]


def clouds():
    rng = np.random.default_rng(0)
    gauss = rng.standard_normal((250, 70))
    return {
        "gaussian": gauss,
        "duplicates": gauss[rng.integers(0, 60, 250), :3],
        "lattice": rng.integers(0, 4, (250, 3)).astype(float),
        "hub": np.concatenate([gauss[:1] * 0, 10 * np.eye(70).repeat(3, axis=0) + 1e-3 * gauss[:210]]),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", clouds())
@pytest.mark.parametrize(("k", "n_neighbors"), [(3, 3), (16, 16), (60, 16), (150, 150)])
def test_equals_search_in_each_neighbourhood(name, dtype, k, n_neighbors):
    X = clouds()[name].astype(dtype)
    graph = nearest_neighbors(X, k)
    expected = brute_force(X, graph.indices[:, :n_neighbors])
    for found, wanted in zip(nearest_two_within(X, graph, n_neighbors), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", clouds())
@pytest.mark.parametrize("k", [3, 16, 60, 249])
def test_a_whole_graph_needs_no_points(name, dtype, k):
    """Bit by bit what the points give, in neighbourhoods of every size."""
    X = clouds()[name].astype(dtype)
    k = min(k, len(X) - 1)
    graph = nearest_neighbors(X, k)
    whole = whole_graph(X, graph)
    lacking = 0
    for n_neighbors in {*range(3, min(k, 20) + 1), max(3, k // 2), k}:
        expected = nearest_two_within(X, graph, n_neighbors)
        for found, wanted in zip(nearest_two_within(None, whole, n_neighbors), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        first, second = np.empty_like(expected[0]), np.empty_like(expected[0])
        kernels.two_listed(*graph, n_neighbors, first, second, 0, len(X))
        lacking += np.isinf(second).sum()
    assert lacking or k > 200, "the lists alone would do"


def test_a_whole_graph_holds_little_more_than_its_lists():
    X = np.random.default_rng(0).standard_normal((400, 8))
    whole = whole_graph(X, nearest_neighbors(X, 32))
    assert 0 < len(whole.fellows.apart) < 0.5 * whole.indices.size
    assert whole.fellows.offsets[-1] == len(whole.fellows.apart) == len(whole.fellows.members)


def test_a_graph_alone_does_not_do():
    X = np.random.default_rng(0).standard_normal((50, 8))
    with pytest.raises(ValueError, match="need the points X; None was given"):
        nearest_two_within(None, nearest_neighbors(X, 5), 4)


def test_too_small_or_large_a_neighbourhood():
    X = np.random.default_rng(0).standard_normal((20, 2))
    graph = nearest_neighbors(X, 5)
    for n_neighbors in (2, 6):
        with pytest.raises(ValueError, match=f"n_neighbors = {n_neighbors}: .* holds 5"):
            nearest_two_within(X, graph, n_neighbors)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("dimension", [4, 90])
def test_eigenvalues_equal_singular_values(dimension, center, monkeypatch):
    monkeypatch.setattr(neighborhoods, "BATCH_BYTES", 2**18)
    X = np.random.default_rng(0).standard_normal((80, dimension)) + 1e2
    indices = nearest_neighbors(X, 30).indices
    found, units = eigenvalues_of(X, indices, center=center)
    assert found.shape == (80, min(30, dimension))
    for members, eigenvalues, unit in zip(X[indices], found, units, strict=True):
        members = (members - members.mean(axis=0) * center) * unit
        expected = np.linalg.svd(members, compute_uv=False) ** 2
        np.testing.assert_allclose(eigenvalues, expected, rtol=1e-9, atol=1e-12 * expected[0])


def test_eigenvalues_of_equal_members_are_exactly_zero():
    X = np.full((10, 3), 0.1)
    assert not eigenvalues_of(X, nearest_neighbors(X, 7).indices)[0].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("number", "dimension", "size"), [(80, 40, 30), (200, 6, 50), (60, 300, 33), (40, 5, 3)])
def test_leading_directions_are_counted_as_eigenvalues(number, dimension, size, dtype):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((number, dimension)) * np.exp(-np.arange(dimension) / 4) + 100).astype(dtype)
    indices = nearest_neighbors(X, size).indices
    for share in (0.001, 0.05, 0.5, 1.0):
        for center in (True, False):
            values, _ = eigenvalues_of(X, indices, center=center)
            expected = np.count_nonzero(values > share * values[:, :1], axis=1)
            np.testing.assert_array_equal(leading_directions(X, indices, share, center=center), expected)


def test_leading_directions_end_where_eigenvalues_lie_on_the_limit(monkeypatch):
    """A regular simplex has equal eigenvalues: no rounding can tell whether they exceed all of the largest one."""
    asked = []
    given = neighborhoods.eigenvalues_of
    monkeypatch.setattr(neighborhoods, "eigenvalues_of", lambda X, i, **k: (asked.append(len(i)), given(X, i, **k))[1])
    X = np.eye(12) * 1e-3
    indices = nearest_neighbors(X, 11).indices
    assert leading_directions(X, indices, 0.5).tolist() == [10] * 12 and not asked
    leading_directions(X, indices, 1.0)
    assert asked == [12]


def test_leading_directions_of_tiny_huge_and_equal_members():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 8)) * np.exp(-np.arange(8))
    indices = nearest_neighbors(X, 20).indices
    expected = leading_directions(X, indices, 0.05)
    for scale in (1e-150, 1e-30, 1e30, 1e150):
        np.testing.assert_array_equal(leading_directions(X * scale, indices, 0.05), expected)
    assert not leading_directions(np.ones((9, 4)), indices[:9, :3] % 9, 0.05).any()
