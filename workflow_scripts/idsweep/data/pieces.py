"""How tokenizers write pieces of words: which begin a word, which continue one."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.files.parquet import to_numpy

PARTS = ("special", "word_start", "continuation")
WORDPIECE, BYTE_LEVEL, SENTENCEPIECE = "WordPiece", "byte-level BPE", "SentencePiece"
MARKS = {WORDPIECE: r"##[^#]", BYTE_LEVEL: "[ĠĊĉč]", SENTENCEPIECE: "▁"}  # how pieces begin
LEAST_MARKED = 0.01  # share of distinct pieces; words of word vectors may begin as a mark does by chance


def parts(tokens: pa.Table) -> np.ndarray:
    """special, word_start or continuation for each token, as strings, (M,).

    tokens: columns `token`, `special` and `position` of store.POINTS. How pieces are marked is read off all of them
    together: WordPiece continues a word with ##, byte-level BPE begins one with Ġ (a space), Ċ, ĉ or č (line and
    column breaks), SentencePiece with ▁. In the latter two the first token of a sequence begins a word as well: at
    position 0, or at 1 where no text stands at 0. Punctuation that has no mark counts as its piece does: it
    continues in byte-level BPE and SentencePiece, and begins in WordPiece. Where pieces have no marks (word
    vectors, equations), all begin words.
    """
    distinct = pc.dictionary_encode(tokens["token"].combine_chunks())
    pieces, codes = distinct.dictionary.to_pylist(), to_numpy(distinct.indices)
    special, position = np.asarray(tokens["special"]), to_numpy(tokens["position"])
    scheme = scheme_of(pieces)
    begins = np.ones(len(codes), dtype=bool)
    if scheme is not None:
        marked = np.array([re.match(MARKS[scheme], piece) is not None for piece in pieces], dtype=bool)[codes]
        begins = ~marked if scheme == WORDPIECE else marked | _first_of_sequence(position, special)
    return np.where(special, PARTS[0], np.where(begins, PARTS[1], PARTS[2]))


def scheme_of(pieces: Iterable[str]) -> str | None:
    """How a vocabulary marks words: the mark that most distinct pieces have, if enough of them have it."""
    pieces = set(pieces)
    marked = {scheme: sum(re.match(mark, piece) is not None for piece in pieces) for scheme, mark in MARKS.items()}
    scheme = max(marked, key=marked.__getitem__)
    return scheme if marked[scheme] > LEAST_MARKED * len(pieces) else None


def _first_of_sequence(position: np.ndarray, special: np.ndarray) -> np.ndarray:
    # Entries of a vocabulary all stand at 0; they are no sequences.
    text = position[~special]
    first = int(text.min(initial=2))
    return (position == first) & (first in (0, 1)) & (text.max(initial=0) > first)
