"""How tokenizers write pieces of words: which begin a word, which continue one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.files.columns import MEAN_POSITION
from idsweep.files.parquet import to_numpy

PARTS = ("special", "word_start", "continuation")
WORDPIECE, BYTE_LEVEL, SENTENCEPIECE = "WordPiece", "byte-level BPE", "SentencePiece"
MARKS = {WORDPIECE: r"##[^#]", BYTE_LEVEL: "[ĠĊĉč]", SENTENCEPIECE: "▁"}  # how pieces begin
LEAST_MARKED = 0.01  # share of distinct pieces; words of word vectors may begin as a mark does by chance


def parts(tokens: pa.Table) -> np.ndarray:
    """special, word_start or continuation for each token, as strings, (M,).

    tokens: columns `token`, `special` and `position` of columns.POINTS. How pieces are marked is read off all of them
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


CONTEXT = 8  # tokens on either side
LONGEST_PIECE = 24  # characters of a piece that is not known
FALLBACK_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
UNKNOWN = "…"


def readable(pieces: Sequence[str | None], scheme: str | None) -> str:
    """Text that pieces (None: not known) make together; white space is one space between words, none at the ends."""
    known = [UNKNOWN if piece is None else piece for piece in pieces]
    if scheme == BYTE_LEVEL:
        text = b"".join(BYTES.get(character) or character.encode() for piece in known for character in piece)
    elif scheme == SENTENCEPIECE:
        text = b"".join(
            bytes.fromhex(byte[1]) if (byte := FALLBACK_BYTE.fullmatch(piece)) else piece.replace("▁", " ").encode()
            for piece in known
        )
    elif scheme == WORDPIECE:
        text = "".join(piece[2:] if re.match(MARKS[WORDPIECE], piece) else f" {piece}" for piece in known).encode()
    else:
        text = " ".join(known).encode()
    return " ".join(text.decode(errors="replace").split())


def _bytes() -> dict[str, bytes]:
    """The byte behind each character of byte-level BPE (Radford et al. 2019, GPT-2's encoder.py)."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in itself]
    characters = {chr(byte): byte for byte in itself} | {chr(256 + place): byte for place, byte in enumerate(others)}
    return {character: bytes([byte]) for character, byte in characters.items()}


BYTES = _bytes()


def context(text: str, pieces: Sequence[str | None], position: int, scheme: str | None) -> tuple[str, str]:
    """What stands before and after the token at a position; pieces are those of the whole sequence, None: not known."""
    if position == MEAN_POSITION:
        return "", " ".join(text.split()[:CONTEXT])
    first, last = max(position - CONTEXT, 0), min(position + 1 + CONTEXT, len(pieces))
    begins = _align(text, pieces, slice(first, last), scheme)
    if begins is None:
        return readable(pieces[first:position], scheme), readable(pieces[position + 1 : last], scheme)
    before, after = text[begins[first] : begins[position]], text[begins[position + 1] : begins[last]]
    return " ".join(before.split()), " ".join(after.split())


def align(text: str, pieces: Sequence[str | None], scheme: str | None) -> list[int] | None:
    """Where each piece begins in a text, and where the last one ends, (n + 1,); pieces and text as in `_align`."""
    return _align(text, pieces, slice(None), scheme)


def _align(text: str, pieces: Sequence[str | None], window: slice, scheme: str | None) -> list[int] | None:
    """Where each piece begins in a text, and where the last one ends, (n + 1,).

    Pieces and text are compared without white space, case and accents. A piece that is not known, or is nowhere in the
    text (special tokens, parts of a character), is what is left between others: at most `LONGEST_PIECE` characters, of one
    word where that is possible. None if the pieces do not lead through the text from its beginning, or none in the
    window is found in it.
    """
    text = text[: LONGEST_PIECE * len(pieces)]
    folded, place, word = "", [], []
    for number, character in enumerate(text):
        kept = _folded(character)
        begins = number == 0 or text[number - 1].isspace()
        word += [len(folded) if begins or not word else word[-1]] * len(kept)
        place += [number] * len(kept)
        folded += kept
    place.append(len(text))
    surfaces = [None if piece is None else _folded(readable([piece], scheme)) for piece in pieces]
    surfaces = [surface if surface is not None and surface in folded else None for surface in surfaces]
    if not any(surfaces[window]):
        return None
    reached = [{0}]  # before each piece
    for surface in surfaces:
        if surface is None:
            furthest = ((start, min(start + LONGEST_PIECE, len(folded))) for start in reached[-1])
            reached.append({end for start, stop in furthest for end in range(start, stop + 1)})
        else:
            reached.append({start + len(surface) for start in reached[-1] if folded.startswith(surface, start)})
    if not reached[-1]:
        return None
    end = len(folded) if len(folded) in reached[-1] else min(reached[-1])
    begins = [end]
    for surface, starts in zip(reversed(surfaces), reversed(reached[:-1]), strict=True):
        if surface is not None:
            end -= len(surface)
        else:
            possible = [start for start in starts if end - LONGEST_PIECE <= start <= end]
            in_word = [start for start in possible if end > 0 and start >= word[end - 1]]
            end = min(in_word, default=max(possible))
        begins.append(end)
    return [place[begin] for begin in reversed(begins)]


def _folded(text: str) -> str:
    """A text without white space, case, accents and control characters."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not character.isspace() and unicodedata.category(character) not in ("Mn", "Cc", "Cf")
    )
