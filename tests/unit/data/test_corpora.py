"""Named datasets become the texts that their rows hold, cleaned as the entry says."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import lzma
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from idsweep.data import equations, library_draws
from idsweep.data.corpora import (
    Part,
    choose_sequences,
    load_sequences,
    read_corpus,
    read_labelled,
    split_sequences,
)
from idsweep.data.entries import corpus_file, corpus_files, names_count, offers_splits, reading

LEE = {
    "loader": "text",
    "package": "gensim",
    "file": "test/test_data/lee_background.cor",
    "encoding": "latin-1",
}
REVIEWS = LEE | {"file": "test/test_data/pang_lee_polarity.cor", "remove": r"^__label__\w+ "}


def lines_of(name: str) -> list[str]:
    folder = Path(find_spec("gensim").submodule_search_locations[0]) / "test" / "test_data"
    return (folder / name).read_bytes().decode("latin-1").split("\n")


def text_file(folder: Path, *lines: str, encoding: str = "utf-8") -> dict:
    path = folder / "corpus.txt"
    path.write_text("\n".join(lines), encoding=encoding)
    return {"loader": "text", "path": str(path)}


def test_news_come_one_text_per_line():
    assert load_sequences(LEE) == [line.strip() for line in lines_of("lee_background.cor") if line.strip()]
    assert len(load_sequences(LEE)) == 300


def test_reviews_come_without_their_labels_and_in_their_encoding():
    texts = load_sequences(REVIEWS)
    assert texts == [
        re.sub(r"__label__(pos|neg)", "", line).strip() for line in lines_of("pang_lee_polarity.cor")[:200]
    ]
    assert any("é" in text for text in texts)


def test_corpus_file_is_the_file_that_is_read():
    assert corpus_file(LEE).name == "lee_background.cor"
    assert corpus_file(LEE).is_file()
    assert corpus_file({"loader": "hub", "hub": "someone/something"}) is None


def test_a_changed_file_is_read_anew_even_if_its_time_is_the_same(tmp_path):
    for lines in (["one", "two"], ["six", "ten"]):
        spec = text_file(tmp_path, *lines)
        os.utime(spec["path"], (1e9, 1e9))
        assert load_sequences(spec) == lines


ROWS = [
    {"title": "A", "body": "first", "n": 1},
    {"title": "B", "body": None, "n": 2},
    {"title": "", "body": "", "n": 3},
]


def write_rows(folder: Path, loader: str) -> str:
    path = folder / f"rows.{loader}"
    if loader == "csv":
        path.write_text("title,body,n\nA,first,1\nB,,2\n,,3\n")
    elif loader == "json":
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return str(path)


@pytest.mark.parametrize("loader", ["csv", "json", "parquet"])
def test_a_template_joins_columns_and_missing_values_are_empty(tmp_path, loader):
    spec = {"loader": loader, "path": write_rows(tmp_path, loader)}
    assert load_sequences(spec | {"template": "{title}\n{body}"}) == ["A\nfirst", "B"]
    assert load_sequences(spec | {"column": "body"}) == ["first"]
    assert load_sequences(spec | {"template": "{n}"}) == ["1", "2", "3"]


def zstd(plain: bytes) -> bytes:
    return pa.compress(plain, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)]
)
def test_a_compressed_file_is_unpacked(tmp_path, suffix, compress):
    path = tmp_path / f"corpus.txt{suffix}"
    path.write_bytes(compress("é one\ntwo\n".encode()))
    assert load_sequences({"loader": "text", "path": str(path)}) == ["é one", "two"]
    path.write_bytes(compress("é one\ntwo\n".encode("latin-1")))
    assert load_sequences({"loader": "text", "path": str(path), "encoding": "latin-1"}) == ["é one", "two"]


def test_the_hub_loader_reads_a_split_of_a_dataset_repository(tmp_path):
    (tmp_path / "train.csv").write_text("text\nseen\n")
    (tmp_path / "test.csv").write_text("text\nunseen\n")
    assert load_sequences({"loader": "hub", "hub": str(tmp_path), "split": "test"}) == ["unseen"]
    with pytest.raises(ValueError, match="nowhere"):
        load_sequences({"loader": "hub", "hub": str(tmp_path), "split": "nowhere"})


def test_prefixes_white_space_and_empty_texts(tmp_path):
    spec = text_file(tmp_path, "  # heading", " text ", "", "   ", "= title =")
    assert load_sequences(spec | {"drop_prefixes": ["#", "="]}) == ["text"]
    assert load_sequences(spec | {"strip": False}) == ["  # heading", " text ", "   ", "= title ="]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"package": "no_such_package"}, "pip install no-such-package"),
        ({"file": "test/nowhere.cor"}, "has no 'test/nowhere.cor'"),
        ({"loader": "xml"}, "'xml' is not known; choose one of csv, equations"),
        ({"path": "a.txt"}, "one source.*package, path"),
        ({"loader": "hub"}, "loader 'hub' does not read from 'package'"),
        ({"encodign": "latin-1"}, "no key 'encodign'"),
        ({"encoding": "utf-8"}, "pang_lee_polarity.cor cannot be decoded as utf-8 at byte .* Set 'encoding'"),
        ({"encoding": "latin-99"}, "encoding: 'latin-99' is not an encoding of text that Python knows"),
        ({"encoding": "hex"}, "encoding: 'hex' is not an encoding of text that Python knows"),
        ({"encoding": "undefined"}, "encoding: 'undefined' is not an encoding of text that Python knows"),
        ({"remove": "(["}, r"remove: '\(\[' is no regular expression"),
        ({"template": "{text"}, "template: '{text' cannot be filled in"),
        ({"template": "{}"}, "template: '{}' must name columns"),
        ({"template": "{text} {0}"}, r"template: '\{text\} \{0\}' must name columns"),
        ({"template": "{text:{}}"}, r"template: .* must name columns"),
        ({"template": "one text"}, "template: 'one text' must name columns"),
        ({"template": "{text:{width}}"}, "no column 'width'"),
        ({"where": {1: "a", "text": "b"}}, "where: 1 is not the name of a column; put it in quotes"),
        ({"own_splits": {"train": 0.5, 2: 0.5}}, "own_splits: 2 is not the name of a split; put it in quotes"),
        ({"column": "body"}, "no column 'body'; its columns are text"),
        ({"template": "{title}: {text}"}, "no column 'title'"),
        ({"column": "text", "template": "{text}"}, "either 'column' or 'template'"),
        ({"remove": ".*"}, "no text is left"),
        ({"loader": "parquet", "encoding": "utf-8"}, "encoding: it holds for"),
        ({"own_splits": {"train": 0.8, "test": 0.1, "seed": 1}}, r"proportions .*0\.8.* must be positive and sum to 1"),
        ({"own_splits": {"train": 1.5, "test": -0.5}}, "must be positive and sum to 1"),
        ({"own_splits": {"seed": 1}}, "must be positive and sum to 1"),
        ({"own_splits": {"a": 0.5, "b": 0.5}}, "split: 'train' is none of own_splits: a, b"),
        ({"class_names": ["O"]}, "class_names: they name the classes of 'class_column', which is missing"),
        ({"class_column": "tags"}, "class_column: .* so 'remove' cannot be used"),
        ({"where": {"speaker": "user"}}, "no column 'speaker'; its columns are text"),
        ({"where": {"text": "nothing"}}, "no text is left.*'where'"),
        ({"streaming": True}, "streaming: .* set tokens.sequences"),
    ],
)
def test_what_cannot_be_read_is_told(change, message):
    with pytest.raises(ValueError, match=message):
        load_sequences(REVIEWS | change)


def test_a_missing_or_malformed_file_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file 'nowhere\.txt'"):
        load_sequences({"loader": "text", "path": "nowhere.txt"})
    with pytest.raises(ValueError, match=r"file: there is no file '.*gensim/test'"):
        load_sequences(LEE | {"file": "test"})
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"not a parquet file")
    with pytest.raises(ValueError, match=r"bad\.parquet cannot be read as parquet"):
        load_sequences({"loader": "parquet", "path": str(bad)})


@pytest.mark.parametrize("loader", ["text", "folder"])
def test_a_path_that_cannot_be_looked_for_is_told(loader):
    for path, why in (("~nobody-at-all/a.txt", "home directory"), ("a" * 5000, "File name too long")):
        with pytest.raises(ValueError, match=f"path: '{path}' cannot be looked for: .*{why}.*Mend the path"):
            corpus_file({"loader": loader, "path": path})
    with pytest.raises(ValueError, match=r"file: 'aaa.* cannot be looked for: .*File name too long"):
        corpus_file(LEE | {"file": "a" * 5000})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    folder = folder_of(tmp_path / "texts", a=b"one")
    for spec in (text_file(tmp_path, "one"), folder):
        corpus_file(spec)
        for path in tmp_path.rglob("*.txt"):
            path.chmod(0)
        with pytest.raises(ValueError, match=r"path: .*\.txt' may not be read"):
            corpus_file(spec)
        for path in tmp_path.rglob("*.txt"):
            path.chmod(0o600)
    (tmp_path / "texts").chmod(0)
    with pytest.raises(ValueError, match=r"path: .* cannot be looked for: .*Permission denied"):
        corpus_file({"loader": "text", "path": str(tmp_path / "texts" / "a.txt")})
    (tmp_path / "texts").chmod(0o700)


def test_chosen_sequences_are_the_seed_s():
    assert choose_sequences(10, None, 3).tolist() == list(range(10))
    assert choose_sequences(10, 99, 3).tolist() == list(range(10))
    drawn = choose_sequences(1000, 50, 3)
    assert len(set(drawn.tolist())) == 50 and (np.diff(drawn) > 0).all()
    assert (drawn == choose_sequences(1000, 50, 3)).all()
    assert (drawn != choose_sequences(1000, 50, 4)).any()
    with pytest.raises(ValueError, match="at least 1"):
        choose_sequences(10, 0, 3)


def test_a_split_parts_the_texts_and_keeps_their_order():
    texts = [f"text {i:03}" for i in range(300)]
    train, held_out = split_sequences(texts, 0.1, seed=0)
    assert len(held_out) == 30
    assert sorted(train + held_out) == texts
    assert train == sorted(train) and held_out == sorted(held_out)
    assert held_out == split_sequences(texts, 0.1, seed=0)[1] != split_sequences(texts, 0.1, seed=1)[1]
    for fraction in (0, 1, 0.001):
        with pytest.raises(ValueError, match="leaves one side empty"):
            split_sequences(texts, fraction, seed=0)


def test_reading_a_local_file_asks_no_server(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *address, **_: asked.append(address) or [])
    assert load_sequences(text_file(tmp_path, *TEN)) == TEN
    assert asked == []


def test_the_workflow_can_ask_for_files_without_heavy_imports():
    code = (
        "import sys, idsweep.data.corpora, idsweep.data.entries as entries\n"
        f"entries.corpus_files({LEE!r})\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'gensim', 'pyarrow'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TEN = [f"text {i}" for i in range(10)]


def test_a_random_corpus_is_what_was_always_drawn(tmp_path):
    spec = text_file(tmp_path, *(line for text in TEN for line in (text, "", "# no")))
    spec["drop_prefixes"] = ["#"]
    corpus = read_corpus(spec, number=4, seed=3)
    expected = np.sort(np.random.Generator(np.random.PCG64(3)).choice(10, size=4, replace=False))
    assert corpus.index.tolist() == expected.tolist() and corpus.index.dtype == np.int64
    assert corpus.texts == [TEN[i] for i in expected]
    assert corpus.spans is None
    whole = read_corpus(spec)
    assert whole.texts == TEN and whole.index.tolist() == list(range(10))


def test_more_texts_than_there_are_is_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="idsweep.data.corpora"):
        assert read_corpus(text_file(tmp_path, *TEN), number=11).texts == TEN
    assert "11 sequences were asked for; the corpus has 10" in caplog.text


def folder_of(folder: Path, **files: bytes) -> dict:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".txt").write_bytes(content)
    return {"loader": "folder", "path": str(folder)}


def test_a_folder_is_one_text_for_each_file_in_the_order_of_their_paths(tmp_path):
    spec = folder_of(tmp_path, b=b"two\nlines", a__z=b" one ", c=b"", a__y__x="\xe9".encode("latin-1"))
    (tmp_path / "notes.md").write_text("no text")
    spec["encoding"] = "latin-1"
    assert load_sequences(spec) == ["\xe9", "one", "two\nlines"]
    assert load_sequences(spec | {"template": "{file}: {text}"})[2:] == ["b.txt: two\nlines", "c.txt:"]
    assert load_sequences(reading(spec), tmp_path) == load_sequences(spec)
    assert corpus_file(spec) == tmp_path
    assert [path.relative_to(tmp_path).as_posix() for path in corpus_files(spec)] == [
        "a/y/x.txt",
        "a/z.txt",
        "b.txt",
        "c.txt",
    ]
    with pytest.raises(ValueError, match=r"x\.txt cannot be decoded as utf-8 at byte 0 "):
        load_sequences(spec | {"encoding": "utf-8"})


def test_the_first_texts_are_read_and_nothing_after_them(tmp_path):
    spec = folder_of(tmp_path, a=b"one", b=b"two", c=b"\xff")
    assert read_corpus(spec, number=2, choose="first").texts == ["one", "two"]
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_corpus(spec, number=3, choose="first")
    with pytest.raises(ValueError, match="choose: 'last' is not known"):
        read_corpus(spec, choose="last")


def test_a_folder_without_texts_is_told(tmp_path):
    for path, message in ((tmp_path, r"holds no \*\.txt file"), (tmp_path / "no", "there is no folder")):
        with pytest.raises(ValueError, match=message):
            load_sequences({"loader": "folder", "path": str(path)})


def test_the_byte_that_cannot_be_decoded_is_found_behind_the_first_blocks(tmp_path):
    path = tmp_path / "large.txt"
    # In one mebibyte after the other: the second begins in the middle of an é.
    for plain in ("é\n".encode() * 700_000, b"x" * (2**20 - 1) + "é".encode()):
        path.write_bytes(plain + b"\xff\n")
        with pytest.raises(ValueError, match=rf"large\.txt cannot be decoded as utf-8 at byte {len(plain)} "):
            load_sequences({"loader": "text", "path": str(path)})


def algorithm_r(total: int, number: int, seed: int) -> list[int]:
    """Vitter's reservoir sampling as it is printed, one draw at a time."""
    generator = np.random.Generator(np.random.PCG64(seed))
    held = list(range(number))
    for i in range(number, total):
        slot = generator.integers(i + 1)
        if slot < number:
            held[slot] = i
    return sorted(held)


def test_a_stream_is_sampled_evenly_in_one_pass(tmp_path):
    texts = [f"t{i}" for i in range(9000)]
    spec = text_file(tmp_path, *texts) | {"streaming": True}
    corpus = read_corpus(spec, number=500, seed=1)
    assert corpus.texts == [texts[i] for i in corpus.index]
    assert (np.diff(corpus.index) > 0).all() and len(corpus.index) == 500
    assert corpus.index.tolist() == read_corpus(spec, number=500, seed=1).index.tolist()
    assert corpus.index.tolist() != read_corpus(spec, number=500, seed=2).index.tolist()
    # 500 of 9000: each ninth of the stream holds 55.6 on average, with a standard deviation of 6.8.
    counts = np.histogram(corpus.index, bins=9, range=(0, 9000))[0]
    assert counts.min() > 28 and counts.max() < 84
    assert read_corpus(spec, number=9, choose="first").index.tolist() == list(range(9))
    assert read_corpus(spec, number=9000).texts == texts


def test_every_text_of_a_stream_is_as_likely_as_in_algorithm_r(tmp_path):
    spec = folder_of(tmp_path, **{text: text.encode() for text in "abcdefghij"}) | {"streaming": True}
    ours, theirs = (
        np.bincount(np.concatenate([draw(seed) for seed in range(600)]), minlength=10)
        for draw in (lambda seed: read_corpus(spec, number=3, seed=seed).index, lambda seed: algorithm_r(10, 3, seed))
    )
    # 600 draws of 3 of 10: 180 each, with a standard deviation of 11.2.
    assert ours.min() > 180 - 45 and ours.max() < 180 + 45
    assert theirs.min() > 180 - 45 and theirs.max() < 180 + 45


def test_a_hub_dataset_can_be_streamed(tmp_path):
    (tmp_path / "train.csv").write_text("text\n" + "\n".join(TEN) + "\n")
    spec = {"loader": "hub", "hub": str(tmp_path), "streaming": True}
    assert read_corpus(spec, number=2, choose="first").texts == TEN[:2]
    assert set(read_corpus(spec, number=5).texts) < set(TEN)
    assert reading(spec) == spec
    with pytest.raises(ValueError, match="nowhere"):
        read_corpus(spec | {"split": "nowhere"}, number=5)


@pytest.mark.parametrize("streaming", [False, True])
def test_own_splits_part_the_rows(tmp_path, streaming):
    texts = [f"text {i:04}" for i in range(2500)]
    spec = text_file(tmp_path, *texts) | {"streaming": streaming}

    def part(split: str, **own) -> list[str]:
        shares = {"train": 0.8, "validation": 0.15, "test": 0.05, "seed": 42} | own
        return read_corpus(spec | {"own_splits": shares, "split": split}, number=2500).texts

    parts = [part(split) for split in ("train", "validation", "test")]
    assert sorted(text for texts in parts for text in texts) == texts
    assert all(texts == sorted(texts) for texts in parts)
    sizes = [len(texts) for texts in parts]
    if not streaming:
        assert sizes == [2000, 375, 125]
    assert np.abs(np.array(sizes) - [2000, 375, 125]).max() < 80  # 4 standard deviations
    assert part("test") == parts[2] != part("test", seed=43)
    backwards = {"seed": 42, "test": 0.05, "validation": 0.15, "train": 0.8}
    assert read_corpus(spec | {"own_splits": backwards, "split": "test"}, number=2500).texts == parts[2]


def test_rows_are_those_that_the_library_datasets_takes(tmp_path):
    """Cleaned, then split twice, shuffled, and the first taken, all by the library itself."""
    lines = ["", " = Heading = ", *(f" text {i} " if i % 7 else "" for i in range(500))]
    spec = text_file(tmp_path, *lines) | {"drop_prefixes": [" = "]}
    own_splits = {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 0, "by": "datasets"}
    cleaned = Dataset.from_dict(
        {"text": [text for text in map(str.strip, lines) if text and not text.startswith("= ")]}
    )
    first = cleaned.train_test_split(test_size=0.2, shuffle=True, seed=0)
    second = first["test"].train_test_split(test_size=0.5, shuffle=True, seed=0)
    expected = {"train": first["train"], "validation": second["train"], "test": second["test"]}
    for name, rows in expected.items():
        found = read_corpus(spec | {"own_splits": own_splits, "split": name})
        assert sorted(found.texts) == sorted(rows["text"])
        assert [cleaned["text"][int(i)] for i in found.index] == found.texts and (np.diff(found.index) > 0).all()
        drawn = read_corpus(spec | {"own_splits": own_splits, "split": name}, number=20, choose="shuffled", seed=778)
        assert sorted(drawn.texts) == sorted(rows.shuffle(seed=778)["text"][:20])
        first_rows = read_corpus(spec | {"own_splits": own_splits, "split": name}, number=20, choose="first")
        assert sorted(first_rows.texts) == sorted(rows["text"][:20])
    shuffled = read_corpus(spec, number=50, choose="shuffled", seed=778)
    assert sorted(shuffled.texts) == sorted(cleaned.shuffle(seed=778)["text"][:50])
    for total in (10, 11, 97, 1000):
        rows = Dataset.from_dict({"row": range(total)})
        for share in (0.2, 0.3, 1 / 3):
            both = rows.train_test_split(test_size=share, seed=5)
            found = library_draws.split(total, {"train": 1 - share, "test": share}, 5)
            assert {name: places.tolist() for name, places in found.items()} == {n: both[n]["row"][:] for n in both}
    with pytest.raises(ValueError, match="1 texts are too few; nothing is left for train"):
        library_draws.split(1, {"train": 0.5, "test": 0.5}, 0)
    two = {"train": 0.75, "test": 0.25, "seed": 3, "by": "datasets"}
    expected = cleaned.train_test_split(test_size=0.25, seed=3)["test"]["text"]
    assert sorted(read_corpus(spec | {"own_splits": two, "split": "test"}).texts) == sorted(expected)


@pytest.mark.parametrize(
    ("changes", "choose", "message"),
    [
        (
            {"own_splits": {"train": 0.5, "dev": 0.5, "by": "datasets"}},
            "random",
            "makes train and validation, test or both",
        ),
        ({"own_splits": {"train": 0.5, "test": 0.5, "by": "datasets"}, "streaming": True}, "random", "needs all texts"),
        ({"streaming": True}, "shuffled", "'shuffled' needs all texts at once"),
    ],
)
def test_what_the_library_cannot_draw_is_told(tmp_path, changes, choose, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(text_file(tmp_path, *TEN) | changes, number=3, choose=choose)


def test_own_splits_are_those_of_a_permutation(tmp_path):
    spec = text_file(tmp_path, *TEN) | {"own_splits": {"train": 0.7, "test": 0.3, "seed": 5}}
    order = np.random.Generator(np.random.PCG64(5)).permutation(10)
    assert load_sequences(spec | {"split": "test"}) == [TEN[i] for i in sorted(order[:3])]
    assert load_sequences(spec) == [TEN[i] for i in sorted(order[3:])]


def test_own_splits_part_one_split_of_the_source_before_anything_is_left_out(tmp_path):
    rows = "".join(f"{text},{'even' if i % 2 == 0 else 'odd'}\n" for i, text in enumerate(TEN))
    (tmp_path / "validation.csv").write_text("text,kind\n" + rows)
    (tmp_path / "train.csv").write_text("text,kind\nother,even\n")
    shares = {"a": 0.5, "b": 0.5, "of": "validation"}
    spec = {"loader": "hub", "hub": str(tmp_path), "own_splits": shares, "split": "a"}
    half = load_sequences(spec)
    assert len(half) == 5 and set(half) < set(TEN)
    assert load_sequences(spec | {"where": {"kind": "even"}}) == [text for text in half if int(text[-1]) % 2 == 0]


def test_only_rows_with_certain_values_are_read(tmp_path):
    spec = {"loader": "parquet", "path": write_rows(tmp_path, "parquet"), "template": "{title}{n}"}
    assert load_sequences(spec | {"where": {"n": [1, 3]}}) == ["A1", "3"]
    assert load_sequences(spec | {"where": {"n": [1, 2], "title": "B"}}) == ["B2"]
    assert load_sequences(spec | {"where": {"body": None}}) == ["B2"]


NAMES = ["O", "B-person", "I-person"]
WORDS = [["Ada", "Lovelace", "wrote"], ["", "Bob"], [], ["  two words ", "x"]]
TAGS = [[1, 2, 0], [0, 1], [], [1, 0]]


def words_file(folder: Path, tags: list, loader: str = "json") -> dict:
    path = folder / f"words.{loader}"
    if loader == "parquet":
        features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=NAMES))})
        Dataset.from_dict({"tokens": WORDS, "tags": tags}, features=features).to_parquet(path)
    else:
        rows = zip(WORDS, tags, strict=True)
        path.write_text("\n".join(json.dumps({"tokens": words, "tags": of_words}) for words, of_words in rows))
    return {"loader": loader, "path": str(path), "column": "tokens"}


def test_a_list_of_words_is_joined_by_spaces(tmp_path):
    spec = words_file(tmp_path, TAGS)
    assert load_sequences(spec) == ["Ada Lovelace wrote", "Bob", "two words  x"]
    assert read_corpus(spec).spans is None
    template = {key: value for key, value in spec.items() if key != "column"} | {"template": "<{tokens}>"}
    assert load_sequences(template)[0] == "<Ada Lovelace wrote>"


@pytest.mark.parametrize("source", ["features", "class_names", "names"])
def test_classes_of_words_become_spans_of_the_text(tmp_path, source):
    if source == "features":
        spec = words_file(tmp_path, TAGS, "parquet")
    elif source == "class_names":
        spec = words_file(tmp_path, TAGS) | {"class_names": NAMES}
    else:
        spec = words_file(tmp_path, [[NAMES[tag] for tag in tags] for tags in TAGS])
    corpus = read_corpus(spec | {"class_column": "tags"})
    assert corpus.texts == ["Ada Lovelace wrote", "Bob", "two words  x"]
    assert [
        [(text[begin:end], name) for begin, end, name in spans]
        for text, spans in zip(corpus.texts, corpus.spans, strict=True)
    ] == [
        [("Ada", "B-person"), ("Lovelace", "I-person"), ("wrote", "O")],
        [("Bob", "B-person")],
        [("two words ", "B-person"), ("x", "O")],
    ]
    whole = read_corpus(spec | {"class_column": "tags", "strip": False})
    assert [
        text[begin:end] for text, spans in zip(whole.texts, whole.spans, strict=True) for begin, end, _ in spans
    ] == [word for words in WORDS for word in words if word]
    drawn = read_corpus(spec | {"class_column": "tags"}, number=1, seed=2)
    assert drawn.spans == [corpus.spans[drawn.index[0]]]


@pytest.mark.parametrize(
    ("tags", "keys", "message"),
    [
        ([[1, 2], [0, 1], [], [1, 0]], {"class_names": NAMES}, "row 1: there are 3 words, but 2 classes"),
        (
            [[1, 2, 0], [0, 1], [], [1, 3]],
            {"class_names": NAMES},
            "row 4: class 3 has no name; there are 3 class_names",
        ),
        (TAGS, {}, "row 1: class 1 has no name; there are no class_names. Set 'class_names'"),
        (TAGS, {"class_column": "ner"}, "no column 'ner'; its columns are tokens, tags"),
    ],
)
def test_classes_that_do_not_fit_are_told(tmp_path, tags, keys, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(words_file(tmp_path, tags) | {"class_column": "tags"} | keys)


def test_the_row_of_a_misfit_is_told_far_into_a_file(tmp_path):
    rows = [{"text": ["a", "b"], "tags": ["O", "O"], "kind": i % 2} for i in range(2500)]
    rows[2200]["tags"] = ["O"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    spec = {"loader": "parquet", "path": str(tmp_path / "rows.parquet"), "class_column": "tags", "where": {"kind": 0}}
    with pytest.raises(ValueError, match=r"rows\.parquet, row 2201: there are 2 words, but 1 classes"):
        read_corpus(spec)


def test_words_without_a_list_have_no_classes(tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps({"text": "one", "tags": "O"}))
    with pytest.raises(ValueError, match="row 1: class_column needs a list of words and a list of classes"):
        read_corpus({"loader": "json", "path": str(tmp_path / "rows.json"), "class_column": "tags"})


def test_headings_that_begin_with_a_space_are_dropped_before_white_space_is(tmp_path):
    spec = text_file(tmp_path, " = Title = ", " = = Part = = ", " Text = text", "", "= no heading")
    assert load_sequences(spec | {"drop_prefixes": [" = "]}) == ["Text = text", "= no heading"]


HUB_FILE = {"loader": "json", "hub": "a/b", "file": "data/{split}.jsonl"}


@pytest.mark.parametrize(
    ("spec", "offers"),
    [
        ({"loader": "hub", "hub": "a/b"}, True),
        (HUB_FILE, True),
        (HUB_FILE | {"file": "data/all.jsonl"}, False),
        (HUB_FILE | {"file": "data/all.jsonl", "own_splits": {"train": 0.5, "test": 0.5}}, True),
        ({"loader": "parquet", "release": "sgd", "path": "sgd.zip"}, True),
        (LEE, False),
        (LEE | {"own_splits": {"train": 0.5, "test": 0.5}}, True),
        ({"loader": "text", "path": "a.txt"}, False),
        ({"loader": "text", "package": "gensim", "file": "{split}.txt"}, False),
        ({"loader": "folder", "path": "texts"}, False),
    ],
)
def test_where_another_split_is_other_rows(spec, offers):
    assert offers_splits(spec) == offers


def test_a_local_file_without_splits_reads_the_same_under_any_split(tmp_path):
    spec = text_file(tmp_path, *TEN)
    assert not offers_splits(spec)
    assert load_sequences(spec | {"split": "nowhere"}) == load_sequences(spec) == TEN


@pytest.mark.parametrize(
    "change", [{}, {"template": "{file}: {text}"}, {"where": {"file": ["a.txt", "z.txt"]}}, {"column": "file"}]
)
def test_where_names_of_files_shape_the_texts(tmp_path, change):
    read = []
    for name in "ab":
        spec = folder_of(tmp_path / name, **{name: b"one"}, z=b"two") | change
        read.append(load_sequences(spec))
    assert (read[0] != read[1]) == names_count(spec) == bool(change)
    assert not names_count(LEE | {"column": "file"})


RELEASE = {"loader": "parquet", "release": "sgd", "path": "sgd.zip"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"loader": "parquet", "hub": "a/b"}, "one source: .*'hub' .with 'file' for any loader but hub"),
        ({"loader": "hub", "hub": "a/b", "file": "c.csv"}, "one source"),
        ({"loader": "folder", "hub": "a/b", "file": "c"}, "loader 'folder' does not read from 'hub'"),
        ({"loader": "parquet", "url": "https://a.org/b.zip"}, "url: only a 'release' is fetched"),
        (RELEASE | {"release": "dstc"}, "release: 'dstc' is not known; choose one of multiwoz, sgd, emowoz"),
        (RELEASE | {"loader": "json"}, "release: .* takes the loader 'parquet'"),
        (RELEASE | {"url": "https://a.org/b.zip"}, "one source"),
        *(
            ({"loader": "parquet", "release": "sgd", "url": url}, "url: .* does not begin with http:// or https://")
            for url in ("sgd.zip", "file:///sgd.zip", "ftp://a.org/b.zip", "https://", "https:/b.zip")
        ),
        (RELEASE | {"split": "dev"}, "split: 'dev' is no split of a release; choose train, validation, test"),
        (RELEASE | {"own_splits": {"train": 1.0}}, "own_splits: a release has its own splits"),
        (RELEASE, "there is no file 'sgd.zip'"),
    ],
)
def test_a_source_that_is_none_is_told(spec, message):
    with pytest.raises(ValueError, match=message):
        corpus_file(spec)


def test_a_release_is_read_from_its_parquet(tmp_path):
    spec = RELEASE | {"path": str(tmp_path)}
    assert corpus_file(spec) == tmp_path
    assert corpus_file({"loader": "parquet", "release": "sgd", "url": "HTTPS://a.org/b.zip"}) is None
    with pytest.raises(ValueError, match="release: sgd is read from the Parquet made of it"):
        load_sequences(spec)
    rows = {"text": ["one", "two"], "split": ["train", "test"], "speaker": ["user", "user"]}
    pq.write_table(pa.table(rows), tmp_path / "said.parquet")
    for entry in (spec, reading(spec)):
        assert load_sequences(entry, tmp_path / "said.parquet") == ["one"]


SUMS = {"loader": "equations", "task": "addition", "modulus": 11}


def test_equations_are_texts_whose_words_have_classes():
    corpus = read_corpus(SUMS)
    assert corpus.index.tolist() == list(range(121))
    assert corpus.texts[:2] == ["0 o 0 =", "0 o 1 ="]
    assert corpus.spans[12] == [(0, 1, "operand"), (2, 3, "operator"), (4, 5, "operand"), (6, 7, "equals")]
    assert corpus_file(SUMS) is None and corpus_files(SUMS) == []


def test_nothing_but_the_task_shapes_equations():
    assert reading(SUMS | {"split": "train", "strip": False, "streaming": False, "drop_prefixes": []}) == SUMS


def test_a_part_of_the_equations_is_what_a_training_of_that_fraction_and_seed_takes():
    train, validation = (
        read_corpus(SUMS, part=Part(name, 5, trained_fraction=0.3)) for name in ("train", "validation")
    )
    expected = equations.split(121, 0.3, 5)
    assert train.index.tolist() == expected[0].tolist()
    assert validation.index.tolist() == expected[1].tolist()
    assert not set(train.texts) & set(validation.texts)
    drawn = read_corpus(SUMS, number=10, seed=1, part=Part("train", 5, trained_fraction=0.3))
    assert len(drawn.texts) == 10 and set(drawn.texts) <= set(train.texts)


def test_a_part_of_texts_is_what_a_training_takes_or_holds_out():
    texts = load_sequences(LEE)
    train, held_out = split_sequences(texts, 0.1, 3)
    assert read_corpus(LEE, part=Part("train", 3, held_out_fraction=0.1)).texts == train
    part = read_corpus(LEE, part=Part("validation", 3, held_out_fraction=0.1))
    assert part.texts == held_out == [texts[i] for i in part.index]
    drawn = read_corpus(LEE, number=5, seed=0, part=Part("validation", 3, held_out_fraction=0.1))
    assert len(drawn.texts) == 5 and set(drawn.texts) <= set(held_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "powers"}, "task: 'powers' is not known; choose one of addition"),
        ({"column": "text"}, "column: the loader 'equations' takes no such key; it takes task, modulus, degree"),
        ({"split": "test"}, "split: the loader 'equations' has none; each training takes its own part"),
        ({"loader": "text"}, "modulus: it holds for the loader 'equations', not for 'text'"),
    ],
)
def test_what_is_wrong_about_equations_is_told(changes, message):
    with pytest.raises(ValueError, match=message):
        corpus_file(SUMS | changes)


LABELS = {"label_pattern": r"^__label__(\w+) "}


def test_labels_are_found_in_the_lines_before_they_are_removed():
    lines = [line.split(" ", 1) for line in lines_of("pang_lee_polarity.cor") if line.strip()]
    read = read_labelled(REVIEWS | LABELS)
    assert read.texts == load_sequences(REVIEWS) == [text.strip() for _, text in lines]
    assert read.labels == [label.removeprefix("__label__") for label, _ in lines]
    assert {label: read.labels.count(label) for label in set(read.labels)} == {"pos": 100, "neg": 100}


def test_labels_stay_with_their_texts_in_splits_and_draws():
    label_of = dict(zip(*read_labelled(REVIEWS | LABELS), strict=True))
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    parts = [
        read_labelled(REVIEWS | LABELS | {"own_splits": shares, "split": split})
        for split in ("train", "validation", "test")
    ]
    assert [len(part.texts) for part in parts] == [140, 20, 40]
    assert sorted(text for part in parts for text in part.texts) == sorted(label_of)
    drawn = read_labelled(REVIEWS | LABELS, number=30, seed=4)
    assert drawn.texts == read_corpus(REVIEWS, number=30, seed=4).texts
    for part in (*parts, drawn):
        assert part.labels == [label_of[text] for text in part.texts]
        assert set(part.labels) == {"pos", "neg"}


def test_only_an_entry_with_labels_has_labels():
    assert read_corpus(REVIEWS).labels is None
    assert read_corpus(SUMS).labels is None
    assert read_corpus(REVIEWS | LABELS, number=3, choose="first").labels is None
    assert read_corpus(REVIEWS | LABELS, number=3, choose="first", labels=True).labels == ["neg"] * 3
    assert read_corpus(REVIEWS, labels=True).labels is None
    with pytest.raises(ValueError, match=r"label_column: the dataset names no labels\. Give the column"):
        read_labelled(REVIEWS)


def rows_with_labels(folder: Path, column: pa.Array) -> dict:
    pq.write_table(pa.table({"text": ["one", "two", "", "four"], "label": column}), folder / "rows.parquet")
    return {"loader": "parquet", "path": str(folder / "rows.parquet"), "label_column": "label"}


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (["joy", "anger", None, "joy"], ["joy", "anger", "joy"]),
        ([2, 0, None, 10], ["2", "0", "10"]),
        ([True, False, None, True], ["True", "False", "True"]),
    ],
)
def test_a_column_of_labels_becomes_text_and_an_empty_text_needs_none(tmp_path, column, labels):
    spec = rows_with_labels(tmp_path, pa.array(column))
    assert read_labelled(spec) == (["one", "two", "four"], labels)
    assert read_labelled(spec | {"where": {"label": column[0]}}).labels == [x for x in labels if x == labels[0]]
    assert read_labelled(reading(spec, labels=True), tmp_path / "rows.parquet").labels == labels


def test_ids_get_the_names_of_the_dataset_s_own_features(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["world", "sport"])})
    rows = {"text": ["one", "two", "three"], "label": [1, 0, 1]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    spec = {"loader": "parquet", "path": str(tmp_path / "train.parquet"), "label_column": "label"}
    assert read_labelled(spec).labels == ["sport", "world", "sport"]
    Dataset.from_dict(rows | {"label": [1, -1, 0]}, features=features).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"train\.parquet, row 2: the text 'two' has no label"):
        read_labelled(spec)


def test_texts_without_labels_are_texts_where_nobody_asks_for_labels(tmp_path):
    """GLUE's test splits have -1 for every label."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["world", "sport"])})
    rows = {"text": ["one", "two"], "label": [-1, -1]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "test.parquet")
    spec = {"loader": "parquet", "path": str(tmp_path / "test.parquet"), "label_column": "label"}
    assert load_sequences(spec) == read_corpus(spec, number=2).texts == ["one", "two"]
    patterned = text_file(tmp_path, "pos good", "bad") | {"label_pattern": "^(pos) "}
    assert load_sequences(patterned) == ["pos good", "bad"]
    for unlabelled in (spec, patterned):
        with pytest.raises(ValueError, match="has no label"):
            read_labelled(unlabelled)


def test_labels_shape_no_texts():
    assert reading(REVIEWS | LABELS) == reading(REVIEWS)
    assert reading(REVIEWS | LABELS, labels=True) == reading(REVIEWS) | LABELS
    assert reading({"loader": "hub", "hub": "a/b", "label_column": "label"}) == {"loader": "hub", "hub": "a/b"}


def test_emotions_of_a_release_are_labels_of_what_users_say(tmp_path):
    rows = {
        "text": ["Hi", "How can I help?", "Thanks!", "Useless."],
        "split": ["train", "train", "train", "test"],
        "speaker": ["user", "system", "user", "user"],
        "emotion": ["neutral", None, "satisfied", "dissatisfied"],
    }
    pq.write_table(pa.table(rows), tmp_path / "said.parquet")
    spec = {"loader": "parquet", "release": "emowoz", "path": str(tmp_path), "label_column": "emotion"}
    said_by_users = spec | {"where": {"speaker": "user"}}
    assert read_labelled(said_by_users, tmp_path / "said.parquet") == (["Hi", "Thanks!"], ["neutral", "satisfied"])
    of_test = read_labelled(said_by_users | {"split": "test"}, tmp_path / "said.parquet")
    assert of_test == (["Useless."], ["dissatisfied"])
    with pytest.raises(ValueError, match=r"row 2: the text 'How can I help\?' has no label"):
        read_labelled(spec, tmp_path / "said.parquet")


def test_a_stream_keeps_labels_with_texts(tmp_path):
    spec = text_file(tmp_path, *(f"{'even' if i % 2 == 0 else 'odd'} {i}" for i in range(500)))
    spec |= {"streaming": True, "label_pattern": r"(\w+)", "remove": r"^\w+ "}
    read = read_labelled(spec, number=100, seed=1)
    assert len(read.texts) == 100
    assert read.labels == ["odd" if int(text) % 2 else "even" for text in read.texts]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"label_pattern": "(["}, r"label_pattern: '\(\[' is no regular expression"),
        ({"label_pattern": r"^\w+ "}, r"label_pattern: .* has 0 groups. Give it one, which is the label"),
        ({"label_pattern": r"^(\w+) (\w+)"}, "label_pattern: .* has 2 groups"),
        (
            {"label_pattern": r"^__label__(pos) "},
            r"\.cor, row 1: the text 'simplistic .*' has no label.*'label_pattern'",
        ),
        ({"label_pattern": r"^__label__(pos)? ?"}, r"\.cor, row 1: the text 'simplistic .*' has no label"),
        ({"label_column": "mood"}, "no column 'mood'; its columns are text"),
        (LABELS | {"label_column": "text"}, "either 'label_column' or 'label_pattern', not both"),
    ],
)
def test_labels_that_are_not_there_are_told(keys, message):
    with pytest.raises(ValueError, match=message):
        read_labelled(REVIEWS | keys)


def test_rows_without_a_label_are_told_by_their_number_far_into_a_file(tmp_path):
    labels = ["a"] * 2200 + [None] + ["b"] * 10
    pq.write_table(pa.table({"text": ["x"] * len(labels), "label": labels}), tmp_path / "rows.parquet")
    spec = {"loader": "parquet", "path": str(tmp_path / "rows.parquet"), "label_column": "label"}
    with pytest.raises(ValueError, match=r"rows\.parquet, row 2201: the text 'x' has no label. Mend the row"):
        read_labelled(spec)
    assert set(read_labelled(spec | {"where": {"label": ["a", "b"]}}).labels) == {"a", "b"}


def test_several_labels_of_one_text_are_told(tmp_path):
    spec = rows_with_labels(tmp_path, pa.array([["a"], ["b", "c"], [], ["a"]]))
    with pytest.raises(ValueError, match=r"row 1: label_column 'label' holds \['a'\]. A text has one label"):
        read_labelled(spec)


def test_equations_have_no_labels():
    with pytest.raises(ValueError, match="label_column: the loader 'equations' takes no such key"):
        read_labelled(SUMS | {"label_column": "text"})
