"""Shifts between paired tokens against hand-made values and scipy's paired tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from idsweep.files.columns import ESTIMATES, POINTS
from idsweep.statistics.resampling import mean_interval
from idsweep.tables.shifts import SHIFTS, compare_estimates, paired_shift
from scipy import stats

NAN = float("nan")


def estimates(values: dict[str, list[float]], points=None, scope="local", variant="data") -> pa.Table:
    fixed = {"scope": scope, "variant": variant, "standard_error": NAN, "n_points": 9, "n_undefined": 0}
    rows = [
        fixed | {"estimator": name, "point": point, "value": value}
        for name, of_points in values.items()
        for point, value in zip(points or range(len(of_points)), of_points, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=ESTIMATES)


def tokens(number: int = 6, **changes: tuple[int, int]) -> pa.Table:
    """Two tokens of each sequence; changes: column -> (row, value)."""
    rows = [
        {"point": i, "sequence": i // 2, "position": i % 2, "token_id": 40 + i, "token": "abcdef"[i], "special": False}
        | {"drawn": i}
        for i in range(number)
    ]
    for column, (row, value) in changes.items():
        rows[row][column] = value
    return pa.Table.from_pylist(rows, schema=POINTS)


def test_a_shift_of_few_tokens_is_what_the_hand_computes():
    found = paired_shift(
        (np.array([0, 1, 2, 3]), np.array([10.0, 12.0, 8.0, 10.0])),
        (np.array([3, 2, 1, 0]), np.array([9.0, 9.0, 8.0, 8.0])),
        np.array([0, 0, 1, 1]),
    )
    assert found.keys() == set(SHIFTS.names) - {"estimator"}
    assert (found["n_pairs"], found["n_sequences"]) == (4, 2)
    assert (found["base_mean"], found["mean"], found["shift"]) == (10, 8.5, -1.5)
    # differences -2, -4, 1, -1; of sequences -3 and 0, of which two are drawn
    assert found["effect_size"] == pytest.approx(-1.5 / np.sqrt(13 / 3), rel=1e-12)
    assert found["share_lower"] == 0.75
    assert (found["lower"], found["upper"]) == (-3, 0)


def test_the_shift_of_many_tokens_is_that_of_a_paired_test_and_its_interval_that_of_the_differences():
    rng = np.random.default_rng(0)
    sequences = np.sort(rng.integers(0, 60, size=500))
    base = rng.gamma(9, size=500)
    tuned = base - 0.5 + rng.standard_normal(500) + rng.standard_normal(60)[sequences]
    points = np.arange(500)
    found = paired_shift((points, base), (points, tuned), sequences, seed=4)
    test = stats.ttest_rel(tuned, base)
    assert found["effect_size"] == pytest.approx(test.statistic / np.sqrt(500), rel=1e-10)
    interval = mean_interval(tuned - base, sequences, seed=4)
    assert (found["shift"], found["lower"], found["upper"]) == interval
    plain = test.confidence_interval()
    assert interval.upper - interval.lower > 1.5 * (plain.high - plain.low)  # tokens of a sequence move together
    back = paired_shift((points, tuned), (points, base), sequences)
    assert (back["shift"], back["effect_size"]) == pytest.approx((-found["shift"], -found["effect_size"]), rel=1e-12)
    mixed, other = rng.permutation(500), rng.permutation(500)
    shuffled = paired_shift((points[mixed], base[mixed]), (points[other], tuned[other]), sequences, seed=4)
    assert shuffled == pytest.approx(found, rel=1e-12)


def test_pairs_are_points_that_both_have_with_defined_values():
    sequences = np.arange(10)
    whole = paired_shift(
        (np.array([2, 5, 7]), np.array([1.0, 2, 3])), (np.array([2, 5, 7]), np.array([2.0, 5, 3])), sequences
    )
    found = paired_shift(
        (np.array([0, 2, 4, 5, 7, 9]), np.array([99, 1, NAN, 2, 3, 7.0])),
        (np.array([1, 2, 4, 5, 7, 9]), np.array([99, 2, 1.0, 5, 3, NAN])),
        sequences,
    )
    assert found == whole and found["n_pairs"] == 3


def test_what_too_few_pairs_cannot_tell_is_nan():
    at = np.array([0, 1])
    none = paired_shift((at, np.array([NAN, 1])), (at, np.array([1, NAN])), at)
    assert (none["n_pairs"], none["n_sequences"]) == (0, 0)
    assert np.isnan([none[key] for key in SHIFTS.names[3:]]).all()
    one = paired_shift((at, np.array([3.0, NAN])), (at, np.array([2.0, 1.0])), at)
    assert (one["shift"], one["share_lower"]) == (-1, 1) and np.isnan([one["lower"], one["effect_size"]]).all()
    same_sequence = paired_shift((at, np.array([3.0, 3])), (at, np.array([2.0, 1])), np.zeros(2, dtype=int))
    assert np.isnan(same_sequence["upper"]) and same_sequence["effect_size"] == pytest.approx(-1.5 / np.sqrt(0.5))
    equal = paired_shift((at, np.array([3.0, 4])), (at, np.array([2.0, 3])), at)
    assert (equal["shift"], equal["lower"], equal["upper"]) == (-1, -1, -1) and np.isnan(equal["effect_size"])


def test_all_estimators_of_both_tables_are_compared_at_local_values_of_the_data():
    base = pa.concat_tables(
        [
            estimates({"twonn": [9.0, 8, 7, 6, 5, 4], "mle": [5.0, 5, 5, 5, 5, NAN], "lpca": [1.0] * 6}),
            estimates({"twonn": [0.0] * 6}, variant="data/2"),
            estimates({"twonn": [0.0]}, [None], scope="mean"),
            estimates({"mle": [0.0] * 6}, [None] * 6, variant="gaussian"),
        ]
    )
    tuned = estimates({"mle": [4.0, 4, 6, 4, 4, 4], "twonn": [8.0, 8, 6, 6, 3, 4], "fishers": [2.0] * 6})
    found = compare_estimates(base, tuned, tokens(), tokens(), samples=300, seed=2)
    assert found.schema.equals(SHIFTS)
    rows = found.to_pylist()
    assert [(row["estimator"], row["n_pairs"], row["n_sequences"]) for row in rows] == [("mle", 5, 3), ("twonn", 6, 3)]
    at, of = np.arange(6), np.repeat(np.arange(3), 2)
    values = np.array([9.0, 8, 7, 6, 5, 4]), np.array([8.0, 8, 6, 6, 3, 4])
    assert rows[1] == {"estimator": "twonn"} | paired_shift((at, values[0]), (at, values[1]), of, samples=300, seed=2)
    assert rows[1]["share_lower"] == 0.5  # three of six fall, three stay
    assert rows[0]["shift"] == pytest.approx(-0.6) and rows[0]["share_lower"] == 0.8


def test_tables_without_local_estimates_have_no_shifts():
    of_global = estimates({"mle": [5.0]}, [None], scope="global")
    assert compare_estimates(of_global, of_global, tokens(), tokens()).equals(SHIFTS.empty_table())


@pytest.mark.parametrize(("column", "value"), [("token_id", 7), ("sequence", 9), ("position", 5)])
def test_other_tokens_are_not_compared(column, value):
    table = estimates({"mle": [1.0] * 6})
    with pytest.raises(
        ValueError, match=r"1 of 6 points .* point 3 is 'd' \(id 43\) at position 1 of sequence 1 in the base"
    ):
        compare_estimates(table, table, tokens(), tokens(**{column: (3, value)}))


def test_models_without_a_common_estimator_or_point_are_told():
    with pytest.raises(ValueError, match="the base model has mle, the fine-tuned one twonn"):
        compare_estimates(estimates({"mle": [1.0]}), estimates({"twonn": [1.0]}), tokens(), tokens())
    with pytest.raises(ValueError, match="base model has 2 points and the fine-tuned one 3, with none in common"):
        compare_estimates(
            estimates({"mle": [1.0, 2]}, [0, 1]), estimates({"mle": [1.0, 2, 3]}, [2, 3, 4]), tokens(), tokens()
        )
    with pytest.raises(ValueError, match="fine-tuned model has points from 2 to 8; the sampled tokens are 0 to 5"):
        compare_estimates(estimates({"mle": [1.0]}), estimates({"mle": [1.0, 2]}, [2, 8]), tokens(), tokens())


def test_points_that_repeat_or_lack_values_are_told():
    good = np.array([0, 1]), np.array([1.0, 2])
    with pytest.raises(ValueError, match="The base model has points that repeat"):
        paired_shift((np.array([1, 1]), good[1]), good, np.arange(2))
    with pytest.raises(ValueError, match="The fine-tuned model has 2 points and 3 values"):
        paired_shift(good, (good[0], np.ones(3)), np.arange(2))
