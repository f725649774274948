"""Static vectors: one vector for each word of a vocabulary, as word2vec, GloVe and fastText publish them, or rows of any matrix.

The formats of word vectors, which the projects' own programs write:

word2vec         a line "rows width"; then per row the word, a space and its values as text, one row a line.
                 fastText's .vec files are the same.
word2vec_binary  the same first line; then per row the word, a space and its values as little-endian float32.
glove            as word2vec without the first line. Words may hold spaces (those of 840B do).
fasttext         fastText's own model (.bin), read by gensim: the vector of a word is the mean of its own and those of its
                 character n-grams, as fastText prints it. A .vec file is taken for what it is.

All but fastText's own model may be compressed (.gz). A text that was cut short at the end of a line can be told from a whole one
only where the first line gives the number of rows.

A matrix without words is of one of `matrices.FORMATS`. Its rows are called by their numbers, from 0.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from idsweep.models import matrices

LARGEST_ROW, LONGEST_WORD = 4 * 2**20, 10_000  # bytes
WORD_FORMATS = ("word2vec_binary", "word2vec", "glove", "fasttext")
FORMATS = (*WORD_FORMATS, *matrices.FORMATS)
FASTTEXT_MAGIC = 793712314  # the first four bytes of a model since fastText 0.1.0
FASTTEXT_VERSION = 12  # the next four, in every release since
END_OF_SENTENCE = "</s>"

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
HEADER = re.compile(rb"(\d+) (\d+)\s*")


def load_vectors(path: str | Path, format: str | None = None, array: str | None = None) -> tuple[list[str], np.ndarray]:
    """The words of a file and their vectors, in the file's order: V words and float32 (V, D).

    `format` is one of `FORMATS`. If None, names that end in .npy, .safetensors and .parquet are taken as these; those that
    end in .bin or .bin.gz as word2vec_binary where the first line says how many rows there are, and as fasttext where
    not; other names as word2vec and glove likewise. `array`: the tensor or column that holds the vectors, see `matrices`.

    Raises ValueError if the file is absent, not of the format, cut short, if it holds another number of rows than
    it says, words that are not UTF-8, or values that are not finite.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise ValueError(f"format: {format!r} is not known; choose one of {', '.join(FORMATS)}.")
    if not path.is_file():
        raise ValueError(f"There is no file of word vectors {str(path)!r}.")
    format = format or _told_format(path)
    if format in matrices.FORMATS:
        vectors = _matrix(path, format, array)
        return _finite(path, list(map(str, range(len(vectors)))), vectors)
    if array is not None:
        raise ValueError(
            f"array: this key is only for {', '.join(matrices.FORMATS)}; {path} is none of these. Remove it."
        )
    try:
        read = {
            "word2vec_binary": _read_word2vec_binary,
            "word2vec": _read_word2vec,
            "glove": _read_glove,
            "fasttext": _read_fasttext,
        }
        words, vectors = read[format](path)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read as {format}: {error}. "
            f"Check 'format' (one of {', '.join(FORMATS)}), and fetch the file again if it was cut short."
        ) from error
    return _finite(path, words, vectors)


def told_format(path: Path) -> str:
    """The format that a file's name, and the first line of word vectors, tell."""
    if (ending := path.suffix[1:]) in matrices.FORMATS:
        return ending
    if ".bin" in path.suffixes[-2:]:
        return "word2vec_binary" if _says_size(path) else "fasttext"
    return "word2vec" if _says_size(path) else "glove"


def _told_format(path: Path) -> str:
    try:
        return told_format(path)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read as word vectors: {error}. Check 'format' (one of {', '.join(FORMATS)}), and fetch the file again "
            "if it was cut short."
        ) from error


def _matrix(path: Path, format: str, array: str | None) -> np.ndarray:
    try:
        return matrices.load_matrix(path, format, array)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be measured as {format}: {error}.") from error


def _finite(path: Path, words: list[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    if (broken := np.flatnonzero(~np.isfinite(vectors).all(axis=1))).size:
        raise ValueError(
            f"{path}: the vector of {words[broken[0]]!r} holds NaN or infinity ({broken.size} of {len(words)} do). Remove them."
        )
    return words, vectors


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _says_size(path: Path) -> bool:
    with _open(path) as file:
        return HEADER.fullmatch(file.readline(100)) is not None


def _size(file: BinaryIO) -> tuple[int, int]:
    header = HEADER.fullmatch(file.readline(100))
    if header is None or not int(header[2]):
        raise ValueError("its first line does not say how many rows and columns there are")
    return int(header[1]), int(header[2])


def _read_word2vec(path: Path) -> tuple[list[str], np.ndarray]:
    with _open(path) as file:
        rows, width = _size(file)
        words, vectors = _read_lines(file, width, first=2)
    if len(words) != rows:
        raise ValueError(f"its first line says {rows} rows, but it has {len(words)}")
    return words, vectors


def _read_glove(path: Path) -> tuple[list[str], np.ndarray]:
    with _open(path) as file:
        line = file.readline()
    width = len(line.split(b" ")) - 1
    if not width or HEADER.fullmatch(line):
        raise ValueError("its first line is not a word and its values")
    with _open(path) as file:
        words, vectors = _read_lines(file, width, first=1)
    if all(map(NUMBER.fullmatch, words)) and not all(map(str.isdecimal, words)):
        raise ValueError(
            "each line begins with a number in place of a word. A matrix without words is read from .npy (numpy.save)"
        )
    return words, vectors


def _read_lines(lines: Iterable[bytes], width: int, first: int) -> tuple[list[str], np.ndarray]:
    words, values = [], array("f")
    line = b"\n"
    for number, line in enumerate(lines, first):
        # Only these: a word may be a space of another kind.
        content = line.rstrip(b" \r\n")
        if not content:
            continue
        word, *row = content.rsplit(b" ", width)
        try:
            words.append(word.decode())
            values.extend(map(float, row))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if len(row) != width:
            raise ValueError(f"line {number} has {len(row)} values instead of {width}")
    if not line.endswith(b"\n"):
        raise EOFError("it is cut short: its last line has no end")
    if not words:
        raise ValueError("it holds no rows")
    return words, np.frombuffer(values, dtype=np.float32).reshape(-1, width)


def _read_word2vec_binary(path: Path) -> tuple[list[str], np.ndarray]:
    words, values = [], bytearray()
    with _open(path) as file:
        rows, width = _size(file)
        for _ in range(rows):
            # Some programs end each row with a line break, some do not.
            words.append(_read_until(file, b" ").lstrip(b"\n").decode())
            values += _read_exactly(file, 4 * width)
        if file.read(2).strip(b"\n"):
            raise ValueError(f"it has more rows than the {rows} that its first line says")
    if not words:
        raise ValueError("it holds no rows")
    return words, np.frombuffer(values, dtype="<f4").reshape(rows, width)


def _read_fasttext(path: Path) -> tuple[list[str], np.ndarray]:
    if _says_size(path):
        return _read_word2vec(path)
    if path.suffix == ".gz":
        # gensim 4.4 does not see that smart_open's file is compressed, and takes compressed bytes for numbers.
        raise ValueError("a compressed model cannot be read; unpack it with gunzip")
    version = _check_fasttext(path)
    from gensim.models.fasttext import load_facebook_vectors

    loaded = load_facebook_vectors(str(path))
    vectors = np.asarray(loaded.vectors, dtype=np.float32)
    if version >= FASTTEXT_VERSION and (end := loaded.key_to_index.get(END_OF_SENTENCE)) is not None:
        # fastText gives it no n-grams since this version (Dictionary::initNgrams); gensim 4.4 always does.
        vectors[end] = loaded.vectors_vocab[end]
    return list(loaded.index_to_key), vectors


def _check_fasttext(path: Path) -> int:
    """The version of a model's format, 0 for those before versions were counted, after a check that it is whole.

    gensim takes that on trust: over a model that was cut short, or a file that is none, it may not come to an end.

    The layout is that of FastText::saveModel in fastText's src/fasttext.cc, and for models from before 0.1.0 as in
    gensim.models._fasttext_bin.
    """
    with _open(path) as file:
        magic, version = _unpack(file, "<2i")
        new = magic == FASTTEXT_MAGIC
        _unpack(file, "<12id" if new else "<10id")
        entries, _, labels, _ = _unpack(file, "<3iq")
        if entries <= 0 or labels < 0:
            raise ValueError("it is not a fastText model")
        if labels:
            raise ValueError("it was trained on labels, but only models trained without labels can be read")
        if new:
            _unpack(file, "<q")
        for _ in range(entries):
            _read_until(file, b"\0").decode()
            _unpack(file, "<qb")
        for least_rows in (entries, 1):  # the input and the output matrix
            if new and _unpack(file, "<?")[0]:
                raise ValueError("it is quantised, but only full models can be read")
            rows, width = _unpack(file, "<2q")
            if rows < least_rows or width <= 0:
                raise ValueError("it is not a fastText model")
            for _ in range(rows):
                _read_exactly(file, 4 * width)
    return version if new else 0


def _unpack(file: BinaryIO, layout: str) -> tuple:
    return struct.unpack(layout, _read_exactly(file, struct.calcsize(layout)))


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    if size > LARGEST_ROW:  # room for it would be made at once
        raise ValueError(f"a row of {size // 4:,} numbers is more than any has")
    content = file.read(size)
    if len(content) < size:
        raise EOFError("it is cut short")
    return content


def _read_until(file: BinaryIO, mark: bytes) -> bytes:
    """The bytes before the mark, which is read as well; words are short."""
    found = bytearray()
    while (byte := file.read(1)) != mark:
        if not byte:
            raise EOFError("it is cut short")
        if len(found) > LONGEST_WORD:
            raise ValueError(f"it has a word of more than {LONGEST_WORD:,} bytes")
        found += byte
    return bytes(found)
