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


def test_the_first_are_those_that_were_sampled_first():
    order = np.array([3, 5, 0, 1, 4, 2, 6])
    assert prepare(number=3, choose="first", order=order, deduplicate=False).rows.tolist() == [2, 3, 5]
    assert prepare(number=3, choose="first", deduplicate=False).rows.tolist() == [0, 1, 2]
    # rows 2 and 5 are equal, and 2 was sampled before 5; rows 0 and 4: 0 before 4
    assert prepare(number=4, choose="first", order=order).rows.tolist() == [0, 2, 3]
    assert prepare(number=4, choose="first", order=order[::-1].copy()).rows.tolist() == [3, 4, 6]


@pytest.mark.parametrize("choose", ["random", "first"])
def test_distinct_points_are_counted_after_duplicates(choose):
    """As numpy finds them: zero vectors out, first of equal vectors, then N of those that are left."""
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 3, (400, 3)).astype(np.float32)
    order = rng.permutation(400)
    options = {"draw": "distinct", "choose": choose, "order": order, "zero_vectors": "drop"}
    points = prepare(vectors, number=20, **options)
    assert len(points.rows) == 20 and (np.diff(points.rows) > 0).all() and points.rows.dtype == np.int32
    np.testing.assert_array_equal(points.vectors, vectors[points.rows])
    first = {}
    for row in np.argsort(order) if choose == "first" else range(400):
        if vectors[row].any():
            first.setdefault(tuple(vectors[row]), int(row))
    assert len(first) == 26 and set(points.rows.tolist()) <= set(first.values())
    if choose == "first":
        assert points.rows.tolist() == sorted(list(first.values())[:20])
    assert prepare(vectors, number=26, **options).rows.tolist() == sorted(first.values())


def test_distinct_points_of_clouds_with_other_duplicates_are_mostly_the_same():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((2000, 3))
    other = one.copy()
    other[rng.choice(2000, 100)] = 0
    rows = [set(prepare(cloud, number=500, draw="distinct").rows.tolist()) for cloud in (one, other)]
    assert len(rows[0] & rows[1]) > 460
    assert len(set(prepare(one, number=500, draw="distinct", seed=1).rows.tolist()) & rows[0]) < 200


def test_too_few_distinct_points_are_all_taken_and_told(caplog):
    with caplog.at_level(logging.WARNING):
        assert len(prepare(number=5, draw="distinct").rows) == 4
    assert "points.number = 5, but there are only 4 vectors: all are used" in caplog.text
    with pytest.raises(ValueError, match="'distinct' leaves duplicates out"):
        prepare(draw="distinct", deduplicate=False)


def test_more_points_than_there_are(caplog):
    with caplog.at_level(logging.WARNING):
        points = prepare(number=9, deduplicate=False)
    assert len(points.rows) == 7
    assert "points.number = 9, but there are only 7 vectors: all are used" in caplog.text
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
