"""A file of texts becomes an entry of the catalog by which its texts are read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from idsweep.data.corpora import read_corpus
from idsweep.measuring.texts import entry_of


def texts_of(path: Path, **said: str) -> list[str]:
    """The texts that the entry of a file reads."""
    name, entry = entry_of(str(path), **said)
    assert name.isidentifier()
    filled = {"split": "train", **entry}
    return read_corpus(filled, str(path), number=None, choose="first", seed=0).texts


ROWS = [{"id": "7", "body": "It rains, again."}, {"id": "8", "body": "It snows."}]
EXPECTED = [row["body"] for row in ROWS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("posts.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("posts.json", json.dumps(ROWS)),
        ("posts.csv", 'id,body\n7,"It rains, again."\n8,It snows.\n'),
        ("posts.tsv", "id\tbody\n7\tIt rains, again.\n8\tIt snows.\n"),
        ("posts.txt", "\n".join(EXPECTED)),
    ],
)
def test_formats(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert texts_of(path) == EXPECTED
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    assert texts_of(packed) == EXPECTED


def test_parquet_with_vectors_beside_the_texts(tmp_path: Path) -> None:
    table = {"id": [7, 8], "document": EXPECTED, "embedding": [[1.0, 2.0], [3.0, 4.0]]}
    pq.write_table(pa.table(table), tmp_path / "e.parquet")
    assert texts_of(tmp_path / "e.parquet") == EXPECTED


def test_semicolons_part_columns_where_no_comma_does(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id;body\n7;It rains, again.\n8;It snows.\n")
    assert texts_of(tmp_path / "p.csv") == EXPECTED


@pytest.mark.parametrize("name", ["posts.2020.txt", "posts.2020.jsonl.gz"])
def test_names_of_texts(name: str, tmp_path: Path) -> None:
    content = b'{"body": "It rains, again."}\n'
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert entry_of(str(tmp_path / name))[0] == "posts_2020"


def test_tabs_part_columns_where_a_name_holds_a_comma(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("id\tbody, raw\n7\tIt rains, again.\n8\tIt snows.\n")
    assert texts_of(tmp_path / "p.tsv", column="body, raw") == EXPECTED


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('text,words\n7,"It rains, again."\n8,It snows.\n')
    assert texts_of(tmp_path / "p.csv") == EXPECTED


def test_writing_without_spaces_is_text(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"n": 1, "zh": "今天下雨"}\n', encoding="utf-8")
    assert texts_of(tmp_path / "p.jsonl") == ["今天下雨"]


def test_a_folder_of_files(tmp_path: Path) -> None:
    for i, text in enumerate(EXPECTED):
        (tmp_path / f"{i}.txt").write_text(text)
    assert texts_of(tmp_path) == EXPECTED


def test_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes("id,body\n7,Größe\n".encode("latin-1"))
    assert texts_of(tmp_path / "p.csv", encoding="latin-1") == ["Größe"]


def test_lines_of_strings_are_texts(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('"It rains."\n"It snows."\n')
    assert texts_of(tmp_path / "p.jsonl") == ["It rains.", "It snows."]


def test_the_column_that_a_user_names(tmp_path: Path) -> None:
    (tmp_path / "qa.jsonl").write_text('{"q": "Why?", "a": "So."}\n')
    assert texts_of(tmp_path / "qa.jsonl", column="a") == ["So."]


@pytest.mark.parametrize(
    ("name", "content", "said", "complaint"),
    [
        ("qa.jsonl", '{"q": "Why?", "a": "So."}\n', {}, "which column of .* It has q, a. Say it, as --column q"),
        ("qa.jsonl", '{"question": "Why?"}\n', {"column": "Question"}, "no column 'Question'; did you mean 'question'"),
        ("n.jsonl", '{"n": 1, "m": 2}\n', {}, "which column of .* It has n, m"),
        ("ids.jsonl", '{"id": "a-1", "n": 1}\n{"id": "a-2", "n": 2}\n', {}, "It has id.* Say it, as --column id"),
        ("n.csv", "n\n1\n2\n", {}, "which column of .* It has n. Say it, as --column n"),
        (
            "chat.jsonl",
            '{"id": "a-1", "chat": [{"text": "It rains."}]}\n',
            {},
            "has id, chat.* inside chat cannot be named",
        ),
        ("all.json", '[{"rows": [{"text": "It rains."}]}]', {}, "It has rows. What lies inside rows cannot be named"),
        ("lines.csv", '"It rains, again."\n"It snows."\n', {}, "first line must hold the names of the columns"),
        ("empty.jsonl", "", {}, "holds no rows"),
        ("empty.csv", "", {}, "holds no rows"),
        ("p.txt", "a\n", {"column": "text"}, "holds lines and no columns"),
        ("p.docx", "PK", {}, "says no format that is read here. Expected .txt"),
        ("p", "a\n", {}, "says no format that is read here"),
        ("broken.jsonl", '{"a": ', {}, "line 1 is no JSON value"),
        ("p.csv", b"id,body\n7,Gr\xf6\xdfe\n", {}, "encoding"),
    ],
)
def test_what_is_not_clear_is_told(
    name: str, content: str | bytes, said: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=complaint):
        entry_of(str(tmp_path / name), **said)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--text: there is no file or folder"):
        entry_of(str(tmp_path / "nowhere.txt"))
    with pytest.raises(ValueError, match=r"holds no \*.txt file"):
        entry_of(str(tmp_path))
