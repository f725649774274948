"""Named datasets become the texts that their rows hold, cleaned as the entry says."""

from __future__ import annotations

import gzip
import json
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
from idsweep.corpora import choose_sequences, corpus_file, load_sequences, split_sequences

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
    assert load_sequences(spec | {"column": "n"}) == ["1", "2", "3"]


def test_a_compressed_file_is_unpacked(tmp_path):
    path = tmp_path / "corpus.txt.gz"
    path.write_bytes(gzip.compress("é one\ntwo\n".encode()))
    assert load_sequences({"loader": "text", "path": str(path)}) == ["é one", "two"]
    with pytest.raises(ValueError, match="compressed files are read as UTF-8 only; unpack"):
        load_sequences({"loader": "text", "path": str(path), "encoding": "latin-1"})


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
        ({"loader": "xml"}, "'xml' is not known; choose one of text, csv"),
        ({"path": "a.txt"}, "one source.*package, path"),
        ({"encodign": "latin-1"}, "no key 'encodign'"),
        ({"encoding": "utf-8"}, "pang_lee_polarity.cor cannot be decoded as utf-8"),
        ({"encoding": "latin-99"}, "encoding: 'latin-99' is not known to Python"),
        ({"remove": "(["}, r"remove: '\(\[' is no regular expression"),
        ({"template": "{text"}, "template: '{text' cannot be filled in"),
        ({"column": "body"}, "no column 'body'; its columns are text"),
        ({"template": "{title}: {text}"}, "no column 'title'"),
        ({"column": "text", "template": "{text}"}, "either 'column' or 'template'"),
        ({"remove": ".*"}, "no text is left"),
        ({"loader": "parquet", "encoding": "utf-8"}, "encoding: it holds for"),
    ],
)
def test_what_cannot_be_read_is_told(change, message):
    with pytest.raises(ValueError, match=message):
        load_sequences(REVIEWS | change)


def test_a_missing_or_malformed_file_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file 'nowhere\.txt'"):
        load_sequences({"loader": "text", "path": "nowhere.txt"})
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"not a parquet file")
    with pytest.raises(ValueError, match=r"bad\.parquet cannot be read as parquet"):
        load_sequences({"loader": "parquet", "path": str(bad)})


def test_chosen_sequences_are_the_seed_s():
    assert choose_sequences(10, None, 3).tolist() == list(range(10))
    assert choose_sequences(10, 99, 3).tolist() == list(range(10))
    assert choose_sequences(10, 4, None).tolist() == [0, 1, 2, 3]
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


def test_the_workflow_can_ask_for_files_without_heavy_imports():
    code = (
        "import sys, idsweep.corpora as c, idsweep.checkpoints\n"
        f"c.corpus_file({LEE!r})\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'gensim', 'pyarrow'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
