"""What a model is run on: sequences with sampled points, packed by a budget of tokens and padded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from idsweep.files.columns import MEAN_POSITION
from idsweep.files.parquet import to_numpy
from idsweep.models.sharing import Sharing, padded


class Rows(NamedTuple):
    """R sequences to run, the longest first, and the N points sampled from them, in the order of the rows.

    Row i is the sequence `numbers[i]`, tokens starts[i] … starts[i] + lengths[i] of `ids`; it holds the points
    bounds[i] … bounds[i + 1]. A position of -1 stands for the mean over the sequence. If `mask_token` is given, each
    row has one point and is run with that token in its place.

    numbers: int32 (R,). starts, lengths: int64 (R,). bounds: int64 (R + 1,). points, positions: int32 (N,). ids: int32.
    """

    numbers: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    bounds: np.ndarray
    points: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    mask_token: int | None

    def __len__(self) -> int:
        return len(self.numbers)

    def tokens(self, row: int) -> np.ndarray:
        """The token ids of a row, as they were before masking."""
        return self.ids[self.starts[row] : self.starts[row] + self.lengths[row]]


class Batch(NamedTuple):
    """Rows that run together, padded.

    rows: which. ids: int64 (rows, length), masked if the rows are. mask: int64 (rows, length), 1 where there is a token.
    begins: int64 (rows,), the column of each row's first token.
    """

    rows: range
    ids: np.ndarray
    mask: np.ndarray
    begins: np.ndarray

    def __str__(self) -> str:
        return f"{len(self.rows)} sequences of {self.ids.shape[1]} tokens"


def rows_to_run(points: pa.Table, sequences: pa.Table, mask_token: int | None = None) -> Rows:
    """The rows for the tables that `idsweep.data.tokens.sample_tokens` returns; sequences without a point are left out.

    With a `mask_token` each point gets a copy of its sequence to itself.

    Raises ValueError if there is no point, if a point's sequence is not there or lacks its position, or if a
    mean is asked for under masking.
    """
    if not points.num_rows or not sequences.num_rows:
        raise ValueError(
            "There is nothing to extract: the tokens table is empty, or its tokens are in none of the sequences."
        )
    numbers, of_point = to_numpy(sequences["sequence"]), to_numpy(points["sequence"])
    position = to_numpy(points["position"])
    lists = sequences["input_ids"].combine_chunks()
    ids, offsets = to_numpy(lists.values), to_numpy(lists.offsets).astype(np.int64)
    starts, lengths = offsets[:-1], np.diff(offsets)
    by_number = np.argsort(numbers, kind="stable")
    found = np.searchsorted(numbers, of_point, sorter=by_number)
    source = by_number[np.minimum(found, len(numbers) - 1)]
    _check_points(of_point, position, numbers[source], lengths[source])
    if mask_token is None:
        used = np.unique(source)
        used = used[np.lexsort((numbers[used], -lengths[used]))]
        row_of_sequence = np.empty(len(numbers), dtype=np.int64)
        row_of_sequence[used] = np.arange(len(used))
        row = row_of_sequence[source]
        order = np.argsort(row, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(row))])
    else:
        if (position == MEAN_POSITION).any():
            raise ValueError(
                "A mean over the sequence (position -1) has no token to mask: "
                "choose tokens of the sequence, or leave out masked."
            )
        order = np.lexsort((position, numbers[source], -lengths[source]))
        used, bounds = source[order], np.arange(len(order) + 1)
    point = to_numpy(points["point"])[order]
    return Rows(numbers[used], starts[used], lengths[used], bounds, point, position[order], ids, mask_token)


def _check_points(of_point: np.ndarray, position: np.ndarray, number: np.ndarray, length: np.ndarray) -> None:
    wrong = (number != of_point) | (position < MEAN_POSITION) | (position >= length) | (length == 0)
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    if number[first] != of_point[first]:
        raise ValueError(
            f"A point is in sequence {of_point[first]}, which the file of sequences does not have: sample again."
        )
    raise ValueError(
        f"A point is at position {position[first]} of sequence {number[first]}, which has {length[first]} tokens: "
        "positions are 0 … tokens - 1, or -1 for the mean. Sample again."
    )


def next_batch(
    rows: Rows,
    first: int,
    batch_tokens: int,
    pad: int,
    padding_side: str = "right",
    sharing: Sharing = Sharing.ANY,
) -> Batch:
    """The rows from `first` on whose number x the longest's length fits `batch_tokens`, and that may share a batch; one at least.

    pad: the token id that fills up the shorter ones, on the `padding_side` ("left" or "right").
    """
    length = int(rows.lengths[first])
    last = min(len(rows), first + max(1, batch_tokens // length))
    if sharing is Sharing.NONE:
        last = first + 1
    elif sharing is Sharing.EQUAL_LENGTHS:
        last = first + int((rows.lengths[first:last] == length).sum())  # they are sorted
    batch = range(first, last)
    ids, mask, begins = padded([rows.tokens(row) for row in batch], pad, padding_side)
    if rows.mask_token is not None:
        ids[np.arange(len(batch)), begins + rows.positions[batch.start : batch.stop]] = rows.mask_token
    return Batch(batch, ids, mask, begins)
