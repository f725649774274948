"""What is read is what stands in a file, by every loader; what is no text is refused with its place and what to set."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import lzma
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from idsweep.data import readers
from idsweep.data.corpora import check_beginning, load_sequences, read_corpus, read_labelled
from idsweep.data.written import filled

ODD = [
    "null",
    "NA",
    "nan",
    "007",
    "7.0",
    "1e5",
    "2024-01-02",
    "2024-01-02T03:04:05Z",
    "true",
    "-",
    "0x1f",
    "[1, 2]",
    '{"a": 1}',
]
ODD += [
    "'quoted'",
    '"doubled"',
    "a,b;c\td",
    "two\nlines",
    "carriage\r\nreturn",
    "é — \u2028 line",
    "ﬁn\ufeffal",
    "\\n",
    "None",
]


def written(folder: Path, loader: str, rows: list[dict[str, Any]]) -> dict:
    path = folder / f"rows.{loader}"
    if loader == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    elif loader == "json":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif loader == "list":
        path.write_text(json.dumps(rows, indent=1))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return {"loader": {"list": "json"}.get(loader, loader), "path": str(path)}


@pytest.mark.parametrize("loader", ["csv", "json", "list", "parquet"])
def test_texts_stay_as_they_are_written(tmp_path, loader):
    spec = written(tmp_path, loader, [{"text": text, "n": i} for i, text in enumerate(ODD)])
    assert load_sequences(spec) == ODD
    assert read_corpus(spec | {"streaming": True}, number=99).texts == ODD
    assert load_sequences(spec | {"template": "{n}: {text}"}) == [f"{i}: {text}" for i, text in enumerate(ODD)]
    assert load_sequences(spec | {"where": {"n": [3, 5]}}) == ["007", "1e5"]
    assert load_sequences(spec | {"where": {"text": "007"}}) == ["007"]


@pytest.mark.parametrize(
    "columns", [{"text": ["1", "2", "3"]}, {"text": ["2024-01-02"] * 3}, {"text": ["", "true", "false"]}]
)
def test_columns_that_look_like_another_type_are_text(tmp_path, columns):
    rows = [{"text": text, "label": label} for text, label in zip(columns["text"], ("0", "1", ""), strict=True)]
    for loader in ("csv", "json"):
        assert load_sequences(written(tmp_path, loader, rows)) == [text for text in columns["text"] if text]


@pytest.mark.parametrize("place", [0, 2000, 2999])
@pytest.mark.parametrize("odd", [42, 4.5, True, {"a": 1}, [1], [{"role": "user"}], [["a"]]])
def test_one_odd_row_changes_no_other_and_is_told(tmp_path, place, odd):
    rows = [{"text": f"row {i}", "keep": True} for i in range(3000)]
    rows[place] = {"text": odd, "keep": False}
    spec = written(tmp_path, "json", rows)
    with pytest.raises(ValueError, match=rf"rows\.json, row {place + 1}: column 'text' holds .*, which is no text"):
        load_sequences(spec)
    kept = [f"row {i}" for i in range(3000) if i != place]
    assert load_sequences(spec | {"where": {"keep": True}}) == kept


# Keys in the order of the alphabet, into which older versions of pyarrow put them.
CHAT = [[{"content": f"question {i}", "role": "user"}, {"content": "answer", "role": "assistant"}] for i in range(3)]


@pytest.mark.parametrize("loader", ["json", "list", "parquet"])
@pytest.mark.parametrize(
    ("value", "says", "serves", "texts"),
    [
        (CHAT[0], "[{'content': 'question 0', 'role': 'user'}", "{text[0][content]}", ["question 0"]),
        ({"n": 1, "title": "A"}, "{'n': 1, 'title': 'A'}", "{text[title]}", ["A"]),
        (7, "7", "{text}", ["7"]),
        (7.5, "7.5", "{text}", ["7.5"]),
        (True, "True", "{text}", ["True"]),
    ],
)
def test_what_is_no_text_is_refused_with_the_key_that_serves(tmp_path, loader, value, says, serves, texts):
    spec = written(tmp_path, loader, [{"text": value}])
    with pytest.raises(ValueError) as refused:
        load_sequences(spec)
    assert "row 1: column 'text' holds" in str(refused.value) and says in str(refused.value)
    assert f'template: "{serves}"' in str(refused.value)
    assert load_sequences(spec | {"template": serves}) == texts


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"Hello world", "b'Hello world', which is no text. Write it as text"),
        (datetime.datetime(2024, 1, 2), 'set template: "{text}"'),
        (datetime.date(2024, 1, 2), 'set template: "{text}"'),
        (Decimal("1.10"), 'set template: "{text}"'),
        ([b"a"], "no text. Write it as text"),
    ],
)
def test_values_that_only_parquet_has_are_refused(tmp_path, value, says):
    spec = written(tmp_path, "parquet", [{"text": value}])
    with pytest.raises(ValueError, match="row 1: column 'text' holds") as refused:
        load_sequences(spec)
    assert says in str(refused.value)
    if isinstance(value, bytes | list):
        with pytest.raises(ValueError, match="which is no text"):
            load_sequences(spec | {"template": "{text}"})
    else:
        assert load_sequences(spec | {"template": "<{text}>"}) == [f"<{value}>"]


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("{text[0][content]} / {text[1][content]}", [f"question {i} / answer" for i in range(3)]),
        ("{text[0][content]!s:>12}", [f"{f'question {i}':>12}".strip() for i in range(3)]),
    ],
)
def test_a_template_takes_parts_of_objects(tmp_path, template, texts):
    assert (
        load_sequences(written(tmp_path, "json", [{"text": chat} for chat in CHAT]) | {"template": template}) == texts
    )


@pytest.mark.parametrize("template", ["{text[2][content]}", "{text[0][name]}", "{text.role}", "{text[0]}", "{text!r}"])
def test_a_part_that_a_row_does_not_have_is_told(tmp_path, template):
    spec = written(tmp_path, "json", [{"text": chat} for chat in CHAT]) | {"template": template}
    with pytest.raises(ValueError, match=r"rows\.json, row 1: "):
        load_sequences(spec)


def test_numbers_of_json_print_as_they_are_written(tmp_path):
    (tmp_path / "a.json").write_text(
        '{"n": 1.10, "i": 100000000000000000001}\n{"n": 1e5, "i": -0}\n{"n": null, "i": NaN}\n'
    )
    spec = {"loader": "json", "path": str(tmp_path / "a.json"), "template": "{n} {i}"}
    assert load_sequences(spec) == ["1.10 100000000000000000001", "1e5 0"]
    assert load_sequences(spec | {"template": "{n:.2f}", "where": {"n": [1.1, 100000]}}) == ["1.10", "100000.00"]


@pytest.mark.parametrize("last", ["", None])
@pytest.mark.parametrize("loader", ["csv", "json", "parquet", "pandas"])
def test_labels_stay_whole_numbers_beside_empty_rows(tmp_path, loader, last):
    rows = [{"text": text, "label": label} for text, label in (("one", 0), ("two", 1), ("", None))]
    if loader == "pandas":
        pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")  # as floats: 0.0, 1.0, NaN
        spec = {"loader": "parquet", "path": str(tmp_path / "rows.parquet")}
    else:
        spec = written(tmp_path, loader, [*rows[:2], {"text": last, "label": None}])
    labelled = spec | {"label_column": "label"}
    assert read_labelled(labelled) == (["one", "two"], ["0", "1"])
    assert read_labelled(labelled | {"where": {"label": 1}}) == (["two"], ["1"])
    assert load_sequences(spec | {"where": {"label": None}, "template": "x{text}"}) == ["x"]


MARKS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-32-le": b"\xff\xfe\0\0"}


@pytest.mark.parametrize("packed", [None, gzip, lzma])
@pytest.mark.parametrize("loader", ["text", "folder", "csv", "json"])
@pytest.mark.parametrize("encoding", [*MARKS, "utf-8-sig", "utf-16"])
def test_byte_order_marks_and_line_breaks_are_read_alike_by_all_loaders(tmp_path, loader, encoding, packed):
    rows = {"csv": "text\r\nré one\r\ntwo\r\n", "json": '{"text": "ré one"}\r\n{"text": "two"}\r\n'}
    content = MARKS.get(encoding, b"") + rows.get(loader, "ré one\r\ntwo\r\n").encode(encoding)
    path = tmp_path / "file.txt"
    path.write_bytes(packed.compress(content) if packed else content)
    marked = {"utf-16-le": "utf-16", "utf-16-be": "utf-16", "utf-32-le": "utf-32"}.get(encoding, encoding)
    spec = {"loader": loader, "path": str(tmp_path if loader == "folder" else path)}
    for named in (encoding, marked):
        assert load_sequences(spec | {"encoding": named}) == (
            ["ré one\ntwo"] if loader == "folder" else ["ré one", "two"]
        )
    if marked not in ("utf-8", "utf-8-sig"):
        with pytest.raises(ValueError, match=f"file.txt begins with the byte order mark of {marked}, not of utf-8"):
            load_sequences(spec)
    else:
        assert load_sequences(spec)[0].startswith("ré one")
        with pytest.raises(ValueError, match="begins with the byte order mark of utf-8, not of latin-1"):
            load_sequences(spec | {"encoding": "latin-1"})


def test_a_mark_within_a_text_is_text_and_old_line_breaks_part_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("one\rtwo\ufeff\n\x0cthree\x85\u2028\r\n".encode())
    assert load_sequences({"loader": "text", "path": str(path), "strip": False}) == [
        "one",
        "two\ufeff",
        "\x0cthree\x85\u2028",
    ]


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ("text,n\na,1\nb\n", {}, r"a\.csv, row 2 has 1 fields, but there are 2 columns \(text, n\)"),
        ("text\nHello, world\n", {}, r"row 1 has 2 fields, but there are 1 columns .* a comma stands in quotes"),
        ('text\n"one\ntwo\n', {}, r"a\.csv, line 3: unexpected end of data"),
        ('text\n"one" two\n', {}, r"a\.csv, line 2: ',' expected after '\"'"),
        ("text,text\na,b\n", {}, r"a\.csv has 2 columns called 'text'"),
        ("text\tn\na\t1\n", {}, r"has one column, 'text\\tn'\. .*, set 'delimiter', as in delimiter: \"\\t\""),
        ("text;n\na;1\n", {}, r"set 'delimiter', as in delimiter: \";\""),
        ("a,b\nc,d\n", {}, r"a\.csv has no column 'text'; its columns are a, b"),
        ("text,n\na,1\n", {"template": "{n:03d}"}, "row 1: template '{n:03d}' cannot be filled in"),
        ("", {}, r"no text is left"),
    ],
)
def test_a_csv_file_that_is_not_as_it_says_is_told(tmp_path, content, keys, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_sequences({"loader": "csv", "path": str(path)} | keys)


def test_a_csv_file_may_have_other_delimiters_long_texts_and_empty_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\tn\n\nred, green\t1\n" + "x" * 300_000 + "\t2\n")
    spec = {"loader": "csv", "path": str(path), "delimiter": "\t"}
    assert load_sequences(spec) == ["red, green", "x" * 300_000]
    with pytest.raises(ValueError, match="delimiter: it holds for the loader 'csv', not for 'json'"):
        load_sequences(spec | {"loader": "json"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n\n{"text": "b"\n', r"a\.json, line 3 is no JSON value: .*Give one object a line, or a list"),
        ('{\n  "text": "a"\n}\n', r"a\.json, line 1 is no JSON value"),
        ('{"text": "a"}\n3\n', r"a\.json, row 2 holds 3, no object"),
        ('[{"text": "a"}, [1]]', r"a\.json, row 2 holds \[1\], no object"),
        ('[{"text": "a"}, {"text": ]', r"a\.json: element 2 of its list is no JSON value"),
        ('[{"text": "a"} {"text": "b"}]', r"element 2 of its list is no JSON value: a comma or \] is missing"),
        ('[{"text": "a"}', r"element 1 of its list is no JSON value: it does not end"),
        ('[{"text": "a"}]\n[{"text": "b"}]', r"a\.json goes on after its list"),
        ('{"text": "a", "text": "b"}\n', r"a\.json, line 1 is no JSON value: the key 'text' is there twice"),
        ('{"texts": "a"}\n', r"a\.json has no column 'text'; its columns are texts"),
        ('{"text": "a\\ud800"}\n', r"row 1: the text has '\\ud800' at character 1, half of a pair of surrogates"),
        ("[" * 100_000, r"element 1 of its list is no JSON value"),
    ],
)
def test_a_json_file_that_is_none_is_told(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_sequences({"loader": "json", "path": str(path)})


def test_objects_may_lack_columns_and_strings_are_texts(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    spec = {"loader": "json", "path": str(path)}
    path.write_text(
        "\n \n".join(json.dumps(row) for row in ({"id": 1}, {"text": "a", "more": 2}, {"text": None}, {"text": "b"}))
    )
    assert load_sequences(spec) == ["a", "b"]
    path.write_text('["one", "two"]')
    assert load_sequences(spec) == ["one", "two"]
    path.write_text("".join(json.dumps({"id": i}) + "\n" for i in range(1500)) + '{"text": "late"}\n')
    assert load_sequences(spec) == ["late"]
    for step in (1, 2, 7):  # elements that are cut anywhere
        monkeypatch.setattr(readers, "CHARACTERS_AT_ONCE", step)
        path.write_text(' [ {"text": "a, ] \\" b", "n": [1, {"m": 23}]} ,{"text":"é"},\n{"text": "c"} ] \n')
        assert load_sequences(spec) == ['a, ] " b', "é", "c"]


@pytest.mark.parametrize(
    ("content", "loader", "message"),
    [
        (b"PK\x03\x04rest", "text", "is no text but a zip archive: unpack it"),
        (b"PAR1rest", "csv", "is no text but a Parquet file: set 'loader: parquet'"),
        (gzip.compress(b"one\n" * 1000, mtime=0)[:-20], "text", "cannot be read to its end: .* Is it cut short"),
        (lzma.compress(b"one\n" * 1000)[:-20], "json", "cannot be read to its end: .* Is it cut short"),
        (pa.compress(b"one\n" * 1000, codec="zstd", asbytes=True)[:-5], "text", "cannot be read to its end"),
        (
            "plain text\n".encode("utf-16-le"),
            "csv",
            "holds NUL bytes, so it is no text in utf-8. If it is one, set 'encoding'",
        ),
        (gzip.compress(b"a.txt" + bytes(507) + b"hello", mtime=0), "text", "holds NUL bytes"),
        (gzip.compress(b"caf\xe9\n", mtime=0), "text", "cannot be decoded as utf-8 at byte 3 "),
    ],
)
def test_a_file_that_is_no_text_is_told(tmp_path, content, loader, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_sequences({"loader": loader, "path": str(path)})


def test_parquet_has_many_types_of_text(tmp_path):
    texts = ["one", "two", "one", None]
    columns = {
        "text": pa.array(texts, pa.large_string()),
        "category": pa.array(texts).dictionary_encode(),
        "view": pa.array(texts, pa.string_view()),
        "words": pa.array([["a", None, "b"], [], None, ["c"]], pa.list_(pa.string())),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=3)
    spec = {"loader": "parquet", "path": str(tmp_path / "a.parquet")}
    twice = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["text", "text", "other"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match=r"twice\.parquet has 2 columns called 'text'"):
        load_sequences(spec | {"path": str(tmp_path / "twice.parquet")})
    buffers = [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")]
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 1, buffers)}), tmp_path / "bytes.parquet")
    with pytest.raises(ValueError, match=r"bytes\.parquet, rows 1 to 1: a text is no UTF-8"):
        load_sequences(spec | {"path": str(tmp_path / "bytes.parquet")})
    for column in ("text", "category", "view"):
        assert load_sequences(spec | {"column": column}) == ["one", "two", "one"]
    assert load_sequences(spec | {"column": "words"}) == ["a  b", "c"]


def test_ids_of_classes_may_be_text_and_names_may_be_numbers(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["1", "2", "3"])})
    Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features).to_parquet(tmp_path / "a.parquet")
    spec = {"loader": "parquet", "path": str(tmp_path / "a.parquet"), "label_column": "label"}
    assert read_labelled(spec).labels == ["1", "2"]


@pytest.mark.parametrize("loader", ["csv", "json", "list", "parquet"])
def test_the_first_rows_tell_what_is_wrong_with_a_dataset(tmp_path, loader):
    good = written(tmp_path, loader, [{"text": f"{i}", "label": "a"} for i in range(1500)])
    check_beginning(good | {"own_splits": {"train": 0.5, "test": 0.5}})
    check_beginning({"loader": "hub", "hub": "someone/something"})
    check_beginning({"loader": "equations", "task": "addition", "modulus": 7})
    with pytest.raises(ValueError, match="no column 'body'"):
        check_beginning(good | {"column": "body"})
    with pytest.raises(ValueError, match="body"):
        check_beginning(good | {"template": "{body}: {label}"})
    with pytest.raises(ValueError, match=r"no text is left.* looked for in 'text'"):
        check_beginning(good | {"where": {"label": "b"}})
    late = written(tmp_path, loader, [{"text": "", "label": "a"}] * 2500 + [{"text": "late", "label": "a"}])
    check_beginning(late)
    unlabelled = written(tmp_path, loader, [{"text": "one", "label": None}, {"text": "two", "label": "a"}])
    check_beginning(unlabelled | {"label_column": "label"})
    with pytest.raises(ValueError, match="row 1: the text 'one' has no label"):
        check_beginning(unlabelled | {"label_column": "label"}, labels=True)
    if loader != "csv":
        bad = written(tmp_path, loader, [{"text": {"a": "b"}}])
        with pytest.raises(ValueError, match=r"row 1: column 'text' holds \{'a': 'b'\}"):
            check_beginning(bad)


MEASURE = """
import resource, sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from idsweep.data.rows import rows_of
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path = Path(sys.argv[2])
rows = sum(len(batch["text"]) for batch in rows_of({"a": partial(nullcontext, path)}, sys.argv[1], {}).batches)
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("loader", ["text", "csv", "json", "list"])
def test_rows_stream(tmp_path, loader):
    """Of 30 MB in a file, or in one line of it, a few are in memory at a time."""
    text = "word " * 200
    path = tmp_path / "a"
    content = {
        "text": f"{text}\n",
        "csv": f"{text}\n",
        "json": json.dumps({"text": text}) + "\n",
        "list": json.dumps(text) + ",",
    }
    begin, end = {"csv": ("text\n", ""), "list": ("[", '"end"]')}.get(loader, ("", ""))
    path.write_text(begin + content[loader] * 30_000 + end)
    code = [sys.executable, "-c", MEASURE, {"list": "json"}.get(loader, loader), str(path)]
    rows, kilobytes = map(int, subprocess.run(code, capture_output=True, text=True, check=True).stdout.split())
    assert rows == 30_000 + (loader == "list") and kilobytes < 15_000


@pytest.mark.parametrize(
    ("meant", "kept"),
    [
        (1, "abd"),
        ("1", "b"),
        (True, "e"),
        ("true", "e"),
        (datetime.date(2024, 1, 2), "f"),
        (None, "g"),
        ([1, None], "abdg"),
    ],
)
def test_rows_of_csv_are_chosen_by_what_is_written(tmp_path, meant, kept):
    (tmp_path / "a.csv").write_text("text,n\na,1.0\nb,1\nc,2\nd,1e0\ne,true\nf,2024-01-02\ng,\nh,None\n")
    spec = {"loader": "csv", "path": str(tmp_path / "a.csv")}
    assert "".join(load_sequences(spec | {"where": {"n": meant}})) == kept


def test_truth_is_no_number_and_labels_have_no_white_space_around_them(tmp_path):
    spec = written(tmp_path, "json", [{"text": "a", "n": True}, {"text": "b", "n": 1}, {"text": "c", "n": " 1 "}])
    assert load_sequences(spec | {"where": {"n": 1}}) == ["b", "c"]
    assert load_sequences(spec | {"where": {"n": True}}) == ["a"]
    assert read_labelled(spec | {"label_column": "n"}).labels == ["True", "1", "1"]


@pytest.mark.parametrize("width", [10**6, "99999999999", "٩٩٩٩٩٩٩٩٩٩٩"])
def test_a_width_from_a_column_has_a_bound(width):
    with pytest.raises(ValueError, match=r"row 1: template .* cannot be filled in: .*more than 10,000 characters"):
        filled("{text:{width}}", {"text": "a", "width": width}, "row 1")
    assert filled("{text:>{width}}", {"text": "a", "width": 3}, "row 1") == "  a"
