"""Files of word vectors are read as gensim reads them; what is wrong with one is told."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import load_facebook_vectors
from idsweep.files.packages import path_in_package
from idsweep.models.static_vectors import load_vectors


def published(name: str) -> Path:
    return path_in_package("gensim", f"test/test_data/{name}")


def zipped(path: Path, folder: Path) -> Path:
    packed = folder / f"{path.name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


READ_BY_GENSIM = {
    # name: format, how gensim reads it
    "word2vec_pre_kv_c": ("word2vec", {}),
    "lee_fasttext.vec": ("word2vec", {}),
    "crime-and-punishment.vec": ("word2vec", {}),
    "euclidean_vectors.bin": ("word2vec_binary", {"binary": True}),
    "poincare_vectors.bin": ("word2vec_binary", {"binary": True}),
    "test_glove.txt": ("glove", {"no_header": True}),
}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # gensim's
@pytest.mark.parametrize("name", READ_BY_GENSIM)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("given", [False, True], ids=["guessed", "given"])
def test_words_and_vectors_are_those_that_gensim_reads(name, packed, given, tmp_path):
    format, options = READ_BY_GENSIM[name]
    expected = KeyedVectors.load_word2vec_format(str(published(name)), **options)
    path = zipped(published(name), tmp_path) if packed else published(name)
    words, vectors = load_vectors(path, format if given else None)
    assert words == expected.index_to_key
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, expected.vectors)


@pytest.mark.parametrize("name", ["lee_fasttext.bin", "lee_fasttext_new.bin", "crime-and-punishment.bin"])
def test_a_fasttext_model_is_read(name, tmp_path):
    expected = load_facebook_vectors(str(published(name)))
    words, vectors = load_vectors(published(name))
    assert words == expected.index_to_key
    same = [word != "</s>" for word in words]
    assert sum(same) >= len(words) - 1
    np.testing.assert_array_equal(vectors[same], expected.vectors[same])
    assert vectors.dtype == np.float32
    with pytest.raises(ValueError, match=r"cannot be read as fasttext: .* unpack it with gunzip"):
        load_vectors(zipped(published(name), tmp_path))


@pytest.mark.parametrize("name", ["lee_fasttext", "crime-and-punishment"])
def test_vectors_of_a_fasttext_model_are_those_that_fasttext_printed(name):
    # Both have </s>, which fastText treats unlike other words since version 12: that of crime-and-punishment.
    words, vectors = load_vectors(published(f"{name}.bin"))
    printed_words, printed = load_vectors(published(f"{name}.vec"), "fasttext")
    assert words == printed_words
    np.testing.assert_allclose(vectors, printed, rtol=1e-4, atol=1e-4)  # five digits are printed


def test_words_may_hold_spaces_of_any_kind_and_may_come_twice(tmp_path):
    lines = {
        "glove": ["a 1 2 3", ". . . 4 5 6", "at name@domain.com 7 8 9", "\u00a0 1 0 0", "\x85 0 1 0", "a 9 9 9"],
        "word2vec": [
            "6 3",
            "a 1 2 3 ",
            ". . . 4 5 6 ",
            "at name@domain.com 7 8 9",
            "\u00a0 1 0 0",
            "\x85 0 1 0",
            "a 9 9 9",
        ],
    }
    for format, rows in lines.items():
        (tmp_path / "vectors.txt").write_bytes("\n".join(rows).encode() + b"\n")
        words, vectors = load_vectors(tmp_path / "vectors.txt")
        assert words == ["a", ". . .", "at name@domain.com", "\u00a0", "\x85", "a"], format
        np.testing.assert_array_equal(vectors, [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 0, 0], [0, 1, 0], [9, 9, 9]])


def test_rows_of_word2vec_may_end_with_a_line_break(tmp_path):
    content = b"2 2\n" + b"".join(
        word + b" " + struct.pack("<2f", *values) + b"\n" for word, values in ((b"to", (1, 2)), (b"be", (10, 32)))
    )
    (tmp_path / "vectors.bin").write_bytes(content)
    words, vectors = load_vectors(tmp_path / "vectors.bin")
    assert words == ["to", "be"]
    np.testing.assert_array_equal(vectors, [[1, 2], [10, 32]])


@pytest.mark.parametrize(
    "name", ["lee_fasttext.vec", "euclidean_vectors.bin", "test_glove.txt", "lee_fasttext.bin", "lee_fasttext_new.bin"]
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_files_that_were_cut_short_are_told(name, packed, tmp_path):
    source = zipped(published(name), tmp_path) if packed else published(name)
    whole = source.read_bytes()
    cut = tmp_path / f"cut_{source.name}"
    for share in (0.0, 0.001, 0.1, 0.5, 0.99):
        cut.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=rf"cut_{source.name} cannot be read as "):
            load_vectors(cut)


def test_files_of_another_format_are_told(tmp_path):
    for name, format, message in (
        ("word2vec_pre_kv_c", "glove", "first line is not a word and its values"),
        ("word2vec_pre_kv_c", "word2vec_binary", "cannot be read as word2vec_binary"),
        ("test_glove.txt", "fasttext", "cannot be read as fasttext"),
        ("euclidean_vectors.bin", "word2vec", "cannot be read as word2vec: line"),
        ("euclidean_vectors.bin", "fasttext", "cannot be read as fasttext"),
        ("test_glove.txt", "word2vec", "first line does not say how many rows and columns"),
        ("test_glove.txt", "word2vec_binary", "first line does not say how many rows and columns"),
        ("lee_fasttext.bin", "word2vec_binary", "first line does not say how many rows and columns"),
        ("lee_background.cor", None, "cannot be read as glove"),
        ("pang_lee_polarity_fasttext.bin", None, "it was trained on labels"),
        ("pretrained.vec", None, "says 3 rows, but it has 1"),  # a header that is wrong, in gensim's own collection
    ):
        with pytest.raises(ValueError, match=message):
            load_vectors(published(name), format)
    longer = tmp_path / "longer.bin"
    longer.write_bytes(published("euclidean_vectors.bin").read_bytes() + b"more")
    with pytest.raises(ValueError, match="it has more rows than the 2747"):
        load_vectors(longer)
    with pytest.raises(
        ValueError, match="format: 'numpy' is not known; choose one of word2vec_binary, word2vec, glove"
    ):
        load_vectors(longer, "numpy")
    with pytest.raises(ValueError, match="There is no file of word vectors"):
        load_vectors(tmp_path / "nowhere.bin")


def test_compressed_files_that_were_damaged_are_told(tmp_path):
    packed = zipped(published("lee_fasttext.vec"), tmp_path)
    content = bytearray(packed.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    packed.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as word2vec"):
        load_vectors(packed)


@pytest.mark.parametrize("name", ["pang_lee_polarity_fasttext.vec", "cp852_fasttext.bin"])
def test_words_that_are_not_utf_8_are_told(name):
    with pytest.raises(ValueError, match=r"cannot be read as .*'utf-8' codec can't decode byte"):
        load_vectors(published(name))


def test_values_that_are_not_finite_are_told(tmp_path):
    values = {b"a": 1, b"b": np.nan, b"c": np.inf}
    binary = b"".join(word + b" " + struct.pack("<2f", 1, value) for word, value in values.items())
    for name, content in (("glove.txt", b"a 1 2\nb 3 nan\nc inf 1\n"), ("vectors.bin", b"3 2\n" + binary)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"the vector of 'b' holds NaN or infinity \(2 of 3 do\)"):
            load_vectors(tmp_path / name)


def test_lines_of_another_width_are_told(tmp_path):
    (tmp_path / "glove.txt").write_bytes(b"a 1 2 3\nb 1 2\n")
    with pytest.raises(ValueError, match="line 2 has 2 values instead of 3"):
        load_vectors(tmp_path / "glove.txt")


def test_gensim_is_imported_for_fasttext_alone():
    code = (
        "import sys; from idsweep.models.static_vectors import load_vectors; "
        f"load_vectors({str(published('test_glove.txt'))!r}); print('gensim' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"2 99999999999\na 1 2 3\n", "a row of 99,999,999,999 numbers is more than any has"),
        (b"2 3\n" + b"a" * 20_000, "it has a word of more than 10,000 bytes"),
    ],
)
def test_sizes_that_no_vectors_have_take_neither_memory_nor_time(tmp_path, content, told):
    (tmp_path / "vectors.bin").write_bytes(content)
    with pytest.raises(ValueError, match=rf"vectors\.bin cannot be read as word2vec_binary: {told}"):
        load_vectors(tmp_path / "vectors.bin", "word2vec_binary")
