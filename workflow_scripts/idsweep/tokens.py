"""From sequences of text to the sampled token positions: drawn once, the same for every checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from idsweep.corpora import choose_sequences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

POINTS = pa.schema(
    [
        pa.field("point", pa.int32(), nullable=False),
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
    ]
)
SEQUENCES = pa.schema(
    [
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
    ]
)


class SampledTokens(NamedTuple):
    """What was sampled, and the sequences that hold it.

    points: columns of `POINTS`; `point` is the row number, rows are sorted by sequence and position,
    `position` counts in the sequence's `input_ids`, `token` is the piece as it stands in the vocabulary.
    sequences: columns of `SEQUENCES`; `sequence` is the text's place in the corpus, `input_ids` the whole
    (truncated) sequence that the model is run on, special tokens included.
    """

    points: pa.Table
    sequences: pa.Table


def sample_tokens(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    sequences: int | None = None,
    number: int | None,
    max_length: int,
    seed: int,
    sequence_seed: int | None = None,
    special: bool = False,
) -> SampledTokens:
    """Draw `number` token positions without replacement from all eligible ones, by PCG64 from `seed`.

    First `sequences` texts are chosen (all if None) by `sequence_seed` (the first ones if None). Each is
    tokenised as its model expects it, with the tokenizer's special tokens, and truncated to `max_length`
    tokens. Special tokens can be drawn only if `special`; the unknown token stands for text and is not
    counted as special. If fewer than `number` positions are eligible, or if it is None, all are taken.

    Raises ValueError if `number` is not positive or nothing is eligible.
    """
    if number is not None and number < 1:
        raise ValueError(f"tokens: {number} were asked for, at least 1 is needed.")
    chosen = choose_sequences(len(texts), sequences, sequence_seed)
    if sequences is not None and len(chosen) < sequences:
        logger.warning("%d sequences were asked for; the corpus has %d: all are used.", sequences, len(chosen))
    if len(chosen) == 0:
        raise ValueError("No token can be sampled: the corpus has no text.")
    encoded = tokenizer(
        [texts[i] for i in chosen],
        truncation=True,
        max_length=max_length,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    ids = [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"]]
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    token_id = np.concatenate(ids)
    row = np.repeat(np.arange(len(ids)), lengths)
    position = np.arange(len(token_id)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    added = np.concatenate([np.asarray(mask, dtype=bool) for mask in encoded["special_tokens_mask"]])
    is_special = added | np.isin(token_id, sorted(_special_ids(tokenizer)))

    eligible = np.arange(len(token_id)) if special else np.flatnonzero(~is_special)
    if len(eligible) == 0:
        raise ValueError(
            f"No token can be sampled: {len(chosen)} texts give {len(token_id)} tokens, "
            f"{int(is_special.sum())} of them special. Check the corpus, max_length and 'special'."
        )
    if number is not None and number > len(eligible):
        logger.warning("%d tokens were asked for; %d are eligible: all are used.", number, len(eligible))
    if number is not None and number < len(eligible):
        drawn = np.random.Generator(np.random.PCG64(seed)).choice(len(eligible), size=number, replace=False)
        eligible = eligible[np.sort(drawn)]

    points = pa.Table.from_arrays(
        [
            pa.array(np.arange(len(eligible), dtype=np.int32)),
            pa.array(chosen[row[eligible]].astype(np.int32)),
            pa.array(position[eligible].astype(np.int32)),
            pa.array(token_id[eligible]),
            pa.array(tokenizer.convert_ids_to_tokens(token_id[eligible].tolist()), pa.string()),
            pa.array(is_special[eligible]),
        ],
        schema=POINTS,
    )
    used = np.unique(row[eligible])
    held = pa.Table.from_arrays(
        [
            pa.array(chosen[used].astype(np.int32)),
            pa.array([texts[i] for i in chosen[used]], pa.string()),
            pa.array([ids[i] for i in used], pa.list_(pa.int32())),
        ],
        schema=SEQUENCES,
    )
    return SampledTokens(points, held)


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    # GPT-2 uses one token as unknown, begin and end: it is special by its other roles.
    roles = {role: token for role, token in tokenizer.special_tokens_map.items() if role != "unk_token"}
    tokens = [token for value in roles.values() for token in ([value] if isinstance(value, str) else value)]
    return set(tokenizer.convert_tokens_to_ids([str(token) for token in tokens]))
