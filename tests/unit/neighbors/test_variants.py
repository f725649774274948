"""Halves are samples of the data, nulls keep what they promise and lose the rest, and none depends on another."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from idsweep.estimators import estimate_global
from idsweep.neighbors.variants import is_null, of_cloud

RNG = np.random.default_rng(0)
CLOUD = RNG.standard_normal((400, 6)).astype(np.float32)


def made(X, **options):
    return {variant.name: variant for variant in of_cloud(X, **options)}


def test_the_data_come_first_and_as_they_are():
    found = list(of_cloud(CLOUD, halvings=2, nulls=["permuted", "gaussian"]))
    assert [variant.name for variant in found] == ["data", "data/2", "data/4", "permuted", "gaussian"]
    assert found[0].vectors is CLOUD
    assert [is_null(variant.name) for variant in found] == [False, False, False, True, True]
    assert all(variant.vectors.dtype == np.float32 for variant in found)


def test_halves_are_nested_samples_of_the_data():
    found = made(CLOUD, halvings=3)
    assert [len(variant.rows) for variant in found.values()] == [400, 200, 100, 50]
    for larger, smaller in zip(list(found.values()), list(found.values())[1:], strict=False):
        assert set(smaller.rows) < set(larger.rows)
        assert (np.diff(smaller.rows) > 0).all()
        np.testing.assert_array_equal(smaller.vectors, CLOUD[smaller.rows])


def test_halves_too_small_for_their_neighbours_are_left_out(caplog):
    with caplog.at_level(logging.WARNING, logger="idsweep"):
        assert list(made(CLOUD, halvings=5, neighbors=50)) == ["data", "data/2", "data/4"]
    assert "data/8 is left out: 50 points are too few for 50 neighbours" in caplog.text


@pytest.mark.parametrize("dimension", [5, 300], ids=["more points than coordinates", "fewer"])
def test_the_gaussian_null_has_the_mean_and_covariance_of_the_data(dimension):
    mixing = RNG.standard_normal((3, dimension))
    X = (RNG.exponential(1, (200, 3)) @ mixing + 1e3).astype(np.float64)
    draws = np.concatenate([made(X, nulls=["gaussian"], seed=seed)["gaussian"].vectors for seed in range(100)])
    covariance = np.cov(X.T)
    assert np.abs(draws.mean(axis=0) - X.mean(axis=0)).max() < 0.05 * np.sqrt(np.diag(covariance)).max()
    assert np.linalg.norm(np.cov(draws.T) - covariance) < 0.05 * np.linalg.norm(covariance)
    # the rank is that of the data
    centred = draws[:200] - draws[:200].mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    assert values[3] < 1e-5 * values[0] < values[2]
    # its coordinates along the data's axes are normal: no skewness, whereas the exponential law's is 2
    along = centred @ np.linalg.pinv(mixing)
    assert np.abs((along**3).mean(axis=0) / along.std(axis=0) ** 3).max() < 0.6


def test_a_constant_coordinate_stays_constant_in_the_gaussian_null():
    X = np.column_stack([CLOUD, np.full(400, 7.0, dtype=np.float32)])
    assert np.abs(made(X, nulls=["gaussian"])["gaussian"].vectors[:, -1] - 7).max() < 1e-5
    assert np.abs(made(np.full((9, 2), 3.0), nulls=["gaussian"])["gaussian"].vectors - 3).max() < 1e-5


def test_the_permuted_null_keeps_each_coordinate_and_loses_their_ties():
    X = np.repeat(RNG.standard_normal((500, 1)), 4, axis=1)
    found = made(X, nulls=["permuted"])["permuted"].vectors
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(X, axis=0))
    assert np.abs(np.corrcoef(found.T)[~np.eye(4, dtype=bool)]).max() < 0.15


def test_variants_are_streams_of_their_own():
    alone = made(CLOUD, nulls=["permuted"], seed=3)["permuted"].vectors
    among = made(CLOUD, halvings=4, nulls=["gaussian", "permuted"], seed=3)["permuted"].vectors
    np.testing.assert_array_equal(alone, among)
    other = made(CLOUD, nulls=["permuted"], seed=4)["permuted"].vectors
    assert (alone != other).any()


def test_curvature_is_what_the_gaussian_null_lacks():
    """A curled line looks flat and wide to the null: its dimension is that of the linear spread."""
    t = RNG.random((1000, 1))
    X = np.concatenate([np.cos(9 * t), np.sin(9 * t), np.cos(17 * t), np.sin(17 * t)], axis=1)
    found = made(X, nulls=["gaussian", "permuted"])
    dimension = {name: estimate_global(variant.vectors, "twonn").value for name, variant in found.items()}
    assert dimension["data"] == pytest.approx(1, abs=0.1)
    assert dimension["gaussian"] > 3 and dimension["permuted"] > 2.5
