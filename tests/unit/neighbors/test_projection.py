"""The plane of most variance, against numpy's singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from idsweep.neighbors.projection import project


@pytest.mark.parametrize("shape", [(300, 12), (20, 50)])
def test_coordinates_and_shares_are_those_of_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).standard_normal(shape) * np.linspace(1, 5, shape[1]) + 1000
    found = project(vectors.astype(np.float32))
    centred = vectors.astype(np.float32).astype(np.float64)
    centred -= centred.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[range(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    np.testing.assert_allclose(found.coordinates, centred @ axes.T, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.shares, (sizes**2 / (sizes**2).sum())[:2], rtol=1e-8)
    assert found.coordinates.dtype == np.float32


def test_it_lies_the_same_way_round_each_time() -> None:
    vectors = np.random.default_rng(1).standard_normal((100, 8))
    order = np.random.default_rng(2).permutation(100)
    np.testing.assert_allclose(project(vectors).coordinates[order], project(vectors[order]).coordinates, atol=1e-6)


def test_axes_that_there_are_not_are_zero() -> None:
    one = project(np.array([[0.0], [2.0], [4.0]]))
    assert one.coordinates.tolist() == [[-2, 0], [0, 0], [2, 0]] and one.shares.tolist() == [1, 0]
    same = project(np.ones((3, 4)))
    assert not same.coordinates.any() and np.isnan(same.shares).all()


def test_what_cannot_be_projected_is_told() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(N, D\)"):
        project(np.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        project(np.array([[np.nan, 1.0]]))
