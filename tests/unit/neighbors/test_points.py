"""From token vectors to a point cloud: closed forms and small hand-made cases."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from idsweep.neighbors.points import prepare_points

VECTORS = np.array([[0, 0], [1, 2], [3, 4], [1, 2], [-0.0, 0], [3, 4], [5, 6]], dtype=np.float32)


def prepare(vectors=VECTORS, **options):
    return prepare_points(vectors, **{"number": len(vectors), "seed": 0, **options})


def test_first_occurrences_stay_in_order():
    rows, vectors = prepare()
    assert rows.tolist() == [0, 1, 2, 6]
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(vectors, VECTORS[[0, 1, 2, 6]])


def test_zero_vectors_are_kept_or_dropped():
    assert prepare(deduplicate=False, zero_vectors="keep").rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert prepare(deduplicate=False, zero_vectors="drop").rows.tolist() == [1, 2, 3, 5, 6]
    assert prepare(zero_vectors="drop").rows.tolist() == [1, 2, 6]


def test_rows_depend_on_size_and_seed_alone():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((200, 3)), rng.standard_normal((200, 5))
    rows = prepare(one, number=50).rows
    assert len(rows) == 50 and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, prepare(other, number=50).rows)
    assert prepare(one, number=50, seed=1).rows.tolist() != rows.tolist()
    # zeros and duplicates elsewhere do not change which rows are drawn
    other[::3] = 0
    left = prepare(other, number=50, zero_vectors="drop").rows
    np.testing.assert_array_equal(left, rows[rows % 3 != 0])


def test_fixed_draw():
    """The draw is part of every published number: it must not change between versions."""
    assert prepare(np.arange(20.0)[:, None], number=5, seed=42).rows.tolist() == DRAWN


DRAWN = [1, 8, 11, 13, 19]


def test_more_points_than_there_are(caplog):
    with caplog.at_level(logging.WARNING):
        points = prepare(number=9, deduplicate=False)
    assert len(points.rows) == 7
    assert "points.number = 9" in caplog.text and "all 7 are used" in caplog.text
    caplog.clear()
    prepare(number=7)
    assert not caplog.records


def test_unit_length_and_zero_vector():
    vectors = prepare(normalize="unit").vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, 1, 1, 1], rtol=1e-6)
    assert vectors.dtype == np.float32


def test_standardize_and_constant_coordinates():
    X = np.random.default_rng(0).standard_normal((100, 3)) * [1, 5, 0] + [3, -2, 0.1]
    vectors = prepare(X, normalize="standardize").vectors
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(vectors.std(axis=0), [1, 1, 0], rtol=1e-12)


def test_center():
    np.testing.assert_allclose(prepare(center=True).vectors.mean(axis=0), 0, atol=1e-6)


def test_noise_has_the_given_standard_deviation_and_seed():
    X = np.random.default_rng(0).standard_normal((2000, 10)) + 7
    noisy = prepare(X, noise=0.5, noise_seed=3).vectors
    assert abs((noisy - X).std() - 0.5) < 0.02
    np.testing.assert_array_equal(noisy, prepare(X, noise=0.5, noise_seed=3).vectors)
    assert (noisy != prepare(X, noise=0.5, noise_seed=4).vectors).all()


def test_given_vectors_are_not_changed():
    before = VECTORS.copy()
    prepare(normalize="standardize", center=True, noise=1.0)
    np.testing.assert_array_equal(VECTORS, before)


def test_half_precision_becomes_single():
    assert prepare(VECTORS.astype(np.float16)).vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vectors": np.array([[1, np.nan], [0, 1], [np.inf, 0]])}, "2 of 3 rows, the first of them row 0"),
        ({"vectors": np.zeros(3)}, r"vectors has shape \(3,\)"),
        ({"number": 0}, "number = 0"),
        ({"zero_vectors": "remove"}, "zero_vectors = 'remove' .* keep, drop"),
        ({"normalize": "l2"}, "normalize = 'l2' .* none, unit, standardize"),
        ({"noise": -1.0}, "noise = -1.0"),
        ({"vectors": np.zeros((4, 2)), "zero_vectors": "drop"}, "all 4 points are zero vectors"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        prepare(**options)
