"""Rows hold every point once; batches keep to the budget and are padded on either side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from builders.tiny_models import MASK, tables
from idsweep.extraction.batches import next_batch, rows_to_run
from idsweep.models.sharing import Sharing


def batches(rows, batch_tokens, padding_side, sharing=Sharing.ANY):
    found, done = [], 0
    while done < len(rows):
        found.append(next_batch(rows, done, batch_tokens, 0, padding_side, sharing))
        done = found[-1].rows.stop
    return found


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("mask_token", [None, MASK])
@pytest.mark.parametrize("batch_tokens", [1, 90, 10_000])
def test_every_point_is_found_where_its_token_stands(padding_side, mask_token, batch_tokens):
    points, sequences = tables()
    rows = rows_to_run(points, sequences, mask_token)
    ids_of = {row["sequence"]: row["input_ids"] for row in sequences.to_pylist()}
    found = {}
    for batch in batches(rows, batch_tokens, padding_side):
        assert batch.ids.size <= batch_tokens or len(batch.rows) == 1
        for place, row in enumerate(batch.rows):
            expected = list(ids_of[rows.numbers[row]])
            for i in range(rows.bounds[row], rows.bounds[row + 1]):
                found[int(rows.points[i])] = (int(rows.numbers[row]), int(rows.positions[i]))
                if mask_token is not None:
                    expected[rows.positions[i]] = mask_token
            begin = batch.begins[place]
            held = slice(begin, begin + len(expected))
            assert batch.ids[place, held].tolist() == expected
            assert batch.mask[place, held].all() and batch.mask[place].sum() == len(expected)
            assert begin == (batch.ids.shape[1] - len(expected) if padding_side == "left" else 0)
    assert found == {p["point"]: (p["sequence"], p["position"]) for p in points.to_pylist()}


@pytest.mark.parametrize("mask_token", [None, MASK])
def test_only_rows_that_may_share_a_batch_do(mask_token):
    rows = rows_to_run(*tables(60, longest=9), mask_token)
    equal = batches(rows, 30, "right", Sharing.EQUAL_LENGTHS)
    assert [len(set(rows.lengths[batch.rows].tolist())) for batch in equal] == [1] * len(equal)
    assert all(batch.mask.all() and len(batch.rows) * batch.ids.shape[1] <= 30 for batch in equal)
    for one, other in pairwise(equal):  # no batch could have taken the next row
        length = one.ids.shape[1]
        assert other.ids.shape[1] < length or (len(one.rows) + 1) * length > 30
    assert [batch.rows for batch in batches(rows, 30, "right", Sharing.NONE)] == [
        range(i, i + 1) for i in range(len(rows))
    ]


def test_rows_are_sorted_by_length_and_sequences_without_a_point_are_left_out():
    points, sequences = tables()
    some = points.filter(pa.compute.less(points["sequence"], 70))
    rows = rows_to_run(some, sequences)
    assert sorted(rows.numbers) == list(range(0, 70, 7))
    assert (np.diff(rows.lengths) <= 0).all()


def test_the_order_of_the_sequences_and_of_the_points_does_not_matter():
    points, sequences = tables()
    backwards = np.arange(len(sequences))[::-1]
    rows, same = rows_to_run(points, sequences), rows_to_run(points, sequences.take(backwards))
    assert rows.numbers.tolist() == same.numbers.tolist() and rows.points.tolist() == same.points.tolist()
    assert all(rows.tokens(i).tolist() == same.tokens(i).tolist() for i in range(len(rows)))


def test_parts_of_tables_are_read_as_such():
    points, sequences = tables()
    few = sequences.slice(3, 2)
    rows = rows_to_run(points.filter(pa.compute.is_in(points["sequence"], few["sequence"].combine_chunks())), few)
    ids_of = {row["sequence"]: row["input_ids"] for row in few.to_pylist()}
    assert {int(n): rows.tokens(i).tolist() for i, n in enumerate(rows.numbers)} == ids_of


def one(sequence: int, position: int, ids: list[int]) -> tuple[pa.Table, pa.Table]:
    kind = pa.int32()
    points = {
        "point": pa.array([0], kind),
        "sequence": pa.array([sequence], kind),
        "position": pa.array([position], kind),
    }
    return pa.table(points), pa.table({"sequence": pa.array([5], kind), "input_ids": pa.array([ids], pa.list_(kind))})


@pytest.mark.parametrize(
    ("sequence", "position", "ids", "message"),
    [
        (6, 0, [8, 9], "sequence 6, which the file of sequences does not have"),
        (4, 0, [8, 9], "sequence 4, which the file of sequences does not have"),
        (5, 2, [8, 9], "position 2 of sequence 5, which has 2 tokens"),
        (5, -2, [8, 9], "position -2 of sequence 5"),
        (5, -1, [], "position -1 of sequence 5, which has 0 tokens"),
    ],
)
def test_points_without_a_token_are_told(sequence, position, ids, message):
    with pytest.raises(ValueError, match=message):
        rows_to_run(*one(sequence, position, ids))


def test_nothing_to_run_is_told():
    points, sequences = tables()
    for nothing in ((points[:0], sequences), (points, sequences[:0])):
        with pytest.raises(ValueError, match="nothing to extract"):
            rows_to_run(*nothing)
