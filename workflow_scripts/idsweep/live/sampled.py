"""The tokens that are measured again and again: drawn as a sweep draws them, or those of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from idsweep.data.corpora import Corpus
from idsweep.data.tokens import SampledTokens, sample_tokens
from idsweep.files.columns import POINTS, SEQUENCES
from idsweep.files.parquet import read_table, require_columns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def draw_tokens(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    number: int,
    max_length: int,
    select: str,
    seed: int,
) -> SampledTokens:
    """Draw tokens of texts as a sweep draws them from a dataset of these texts; empty ones are left out.

    Raises ValueError as `sample_tokens` does, and if the texts are no list of strings.
    """
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("texts: a list of strings is needed, one for each sequence.")
    kept = [stripped for text in texts if (stripped := text.strip())]
    corpus = Corpus(np.arange(len(kept)), kept, None)
    return sample_tokens(corpus, tokenizer, number=number, max_length=max_length, seed=seed, select=select)


def read_tokens(tokens: str | Path, sequences: str | Path | None = None) -> SampledTokens:
    """The tokens that a sweep has drawn.

    tokens: a file below results/SWEEP/tokens/, or tokens.parquet of a folder of live measurements. sequences: the file of their sequences; if left out, that of the same name below
    results/SWEEP/sequences/.

    Raises ValueError if one of them is missing or holds something else.
    """
    tokens = Path(tokens)
    if (
        sequences is None and (beside := tokens.with_name("sequences.parquet")).is_file()
    ):  # in a folder of live measurements
        sequences = beside
    if sequences is None:
        parts = list(tokens.parts)
        if "tokens" not in parts:
            raise ValueError(f"tokens: {tokens} lies in no folder `tokens` of a sweep, nor beside a sequences.parquet.")
        place = len(parts) - 1 - parts[::-1].index("tokens")
        sequences = Path(*parts[:place], "sequences", *parts[place + 1 :])
    tables = []
    for what, file, columns in (("tokens", tokens, POINTS), ("sequences", Path(sequences), SEQUENCES)):
        if not file.is_file():
            raise ValueError(f"{what}: there is no file {file}. A sweep writes it when it samples tokens.")
        table = read_table(file)
        require_columns(file, table.column_names, columns.names)
        tables.append(table)
    return SampledTokens(*tables)
