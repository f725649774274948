"""Which sequences may share a batch with each other: what shares it changes the hidden states of some models.

Convolutions, Fourier transforms, landmarks and trigrams read the padding beside a sequence, whatever its attention mask
says. Every model is therefore tried on sequences that it is going to run, and run in batches that change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import numpy as np
import torch

from idsweep.models.differences import repeated, same

# Called as run(ids, mask), both int64 (rows, length), mask 1 where there is a token. Gives the states of each layer, (rows, length, D).
Run = Callable[[np.ndarray, np.ndarray], Sequence[torch.Tensor]]
States = Sequence[torch.Tensor]  # of one sequence in each layer, (tokens, D)
HALVES = (torch.bfloat16, torch.float16)  # in which `same` tells less than `repeated`
NOT_REPEATED = (
    "gives the same sequence other hidden states at another call: it draws at random, or keeps something from call to call. See "
    "whether its config.json has a key against that, as hash_seed of Reformer"
)


class Sharing(Enum):
    """Which sequences can share a batch without changing each other's states."""

    ANY = "sequences of any length"
    EQUAL_LENGTHS = "sequences of equal length"
    NONE = "no sequences"


def padded(
    rows: Sequence[np.ndarray], pad: int, padding_side: str = "right"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A batch of sequences: token ids and mask, int64 (rows, longest), and the column of each one's first token, int64 (rows,).

    The shorter ones are filled up with the token id `pad` on the `padding_side`, "left" or "right".
    """
    lengths = np.array([len(row) for row in rows])
    length = int(lengths.max())
    begins = length - lengths if padding_side == "left" else np.zeros(len(rows), dtype=np.int64)
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        columns = slice(begins[place], begins[place] + len(row))
        ids[place, columns] = row
        mask[place, columns] = 1
    return ids, mask, begins


def find_sharing(
    alone: Run,
    shared: Sequence[Run],
    long: np.ndarray,
    shorter: Sequence[np.ndarray],
    *,
    pad: int,
    padding_side: str = "right",
    experts: bool = False,
) -> tuple[Sharing, Run]:
    """Which sequences can share a batch, and how the model is then to be run.

    Parameters
    ----------
    alone
        Runs the model as it is on sequences that stand alone.
    shared
        Ways to run it on padded batches, the best first. Where none of them serves, it is run as `alone`.
    long, shorter
        Token ids of the longest sequence that may share a batch, and of some shorter ones, the shortest first. Where there
        are none no padding is tried, and `Sharing.ANY` is not found.
    pad, padding_side
        How batches are padded, see `padded`.
    experts
        Whether the model has some, see `repeated`.

    Raises ValueError if a sequence that stands alone has other states at another call.
    """

    def as_before(found: States, expected: States) -> bool:
        return all(repeated(*layer, experts=experts) for layer in zip(found, expected, strict=True))

    rows = [long, *shorter]
    # A model may keep something from longer or from shorter ones: some run before the longest, and the shortest behind it.
    order = [*range(2, len(rows)), *range(min(2, len(rows)))]
    states = {i: _states(alone, [rows[i]])[0] for i in order}
    if not all(as_before(_states(alone, [rows[i]])[0], states[i]) for i in order):
        raise ValueError(f"the model {NOT_REPEATED}.")
    expected_long, *expected = (states[i] for i in range(len(rows)))

    def is_changed(run: Run, row: np.ndarray, expected: States) -> bool:
        of_long, of_row = _states(run, [long, row], pad, padding_side)
        if not (_same(of_long, expected_long) and _same(of_row, expected)):
            return True
        if of_row[0].dtype not in HALVES:
            return False
        _, varied = _states(run, [long[::-1], row], pad, padding_side, filling=long)
        return not as_before(varied, of_row)

    for run in shared if shorter else ():
        if not any(is_changed(run, *one) for one in zip(shorter, expected, strict=True)):
            return Sharing.ANY, run
    found, _ = _states(alone, [long, np.roll(long, 1)])
    varied, _ = _states(alone, [long, long[::-1]])
    equal = _same(found, expected_long) and as_before(varied, found)
    return Sharing.EQUAL_LENGTHS if equal else Sharing.NONE, alone


def _states(
    run: Run, rows: Sequence[np.ndarray], pad: int = 0, padding_side: str = "right", filling: np.ndarray | None = None
) -> list[States]:
    """Of each row that shares a batch its states; `filling`: what stands in place of padding, under the same mask."""
    ids, mask, begins = padded(rows, pad, padding_side)
    if filling is not None:
        ids[mask == 0] = np.resize(filling, int((mask == 0).sum()))
    layers = run(ids, mask)
    return [
        [layer[place, begin : begin + len(row)] for layer in layers]
        for place, (row, begin) in enumerate(zip(rows, begins, strict=True))
    ]


def _same(found: States, expected: States) -> bool:
    return all(same(*layer) for layer in zip(found, expected, strict=True))
