"""Sampled tokens and the texts that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.data.pieces import PARTS, UNKNOWN, align, parts, readable, scheme_of
from idsweep.files.columns import MEAN_POSITION
from idsweep.files.parquet import to_numpy

NO_COUNT = -1
BEYOND_BMP = 0xFFFF


def describe_tokens(tokens: pa.Table, sequences: pa.Table | None, kept: np.ndarray) -> dict[str, Any]:
    """The kept tokens, a value for each in every column, and the texts that they stand in.

    tokens: columns of columns.POINTS. sequences: columns.SEQUENCES; None of a vocabulary, which has no texts. kept: int (P,), rows of `tokens`.

    `sequence`: int32, place in `texts`, or the number of the sequence where there are none. `begin`, `end`: int32, where the token stands
    in its text, in units of UTF-16; -1 without a text. `token`: codes int32 into `words`. `part`: uint8, places in `parts`. `token_class`: codes
    int32 into `classes`, -1 without one. `count`: int32, `NO_COUNT` without one.
    """
    part = parts(tokens)
    rows = tokens.take(pa.array(kept))
    words = pc.dictionary_encode(rows["token"].combine_chunks())
    classes = pc.dictionary_encode(rows["token_class"].combine_chunks())
    numbers, sequence = np.unique(to_numpy(rows["sequence"]), return_inverse=True)
    described = {
        "point": to_numpy(rows["point"]).astype(np.int32),
        "sequence": sequence.astype(np.int32),
        "position": to_numpy(rows["position"]).astype(np.int32),
        "token": to_numpy(words.indices).astype(np.int32),
        "words": words.dictionary.to_pylist(),
        "part": np.array([PARTS.index(one) for one in part[kept]], dtype=np.uint8),
        "parts": list(PARTS),
        "token_class": to_numpy(classes.indices.fill_null(-1)).astype(np.int32),
        "classes": classes.dictionary.to_pylist(),
        "count": to_numpy(rows["count"].fill_null(NO_COUNT)).astype(np.int32),
        "texts": None,
        "begin": np.full(len(kept), -1, dtype=np.int32),
        "end": np.full(len(kept), -1, dtype=np.int32),
    }
    if sequences is None:
        return described
    found = sequences.filter(pc.is_in(sequences["sequence"], pa.array(numbers, pa.int32()))).sort_by("sequence")
    piece_of = dict(zip(tokens["token_id"].to_pylist(), tokens["token"].to_pylist(), strict=True))
    scheme = scheme_of(piece_of.values())
    described["texts"] = []
    for place, (text, ids) in enumerate(zip(found["text"].to_pylist(), found["input_ids"].to_pylist(), strict=True)):
        shown, begins = _spans(text, [piece_of.get(id) for id in ids], scheme)
        described["texts"].append(shown)
        of_text = np.flatnonzero(described["sequence"] == place)
        position = described["position"][of_text]
        is_mean = position == MEAN_POSITION
        described["begin"][of_text] = np.where(is_mean, 0, begins[position])
        described["end"][of_text] = np.where(is_mean, begins[-1], begins[np.minimum(position + 1, len(ids))])
    return described


def _spans(text: str, pieces: Sequence[str | None], scheme: str | None) -> tuple[str, np.ndarray]:
    """A text and where each piece begins in it, then where the last one ends, int (n + 1,), in units of UTF-16.

    Where the pieces are not found in the text, it is made of them.
    """
    begins = align(text, pieces, scheme)
    if begins is None:
        shown = [UNKNOWN if piece is None else readable([piece], scheme) or piece for piece in pieces]
        begins = np.cumsum([0, *(len(one) + 1 for one in shown)])
        text = "".join(f"{one} " for one in shown)
    wide = np.cumsum([0, *(ord(character) > BEYOND_BMP for character in text)])
    begins = np.minimum(np.asarray(begins), len(text))
    return text, begins + wide[begins]
