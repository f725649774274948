"""Rows of files, as they stand in them: no value is guessed to be of another type, and none is left out.

Each reader takes what `decoding.opened` gives (Parquet: a path or an open binary file) and the columns that are needed, and yields
batches of rows, column -> values. All of them stream: one batch is in memory at a time.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, BinaryIO

from idsweep.data.written import shortened

ROWS_AT_ONCE = 1000
CHARACTERS_AT_ONCE = 2**20
DELIMITERS = re.compile(r"[,;\t|]")
SPACE = re.compile(r"[ \t\n\r]*")

Batch = Mapping[str, list]


class Written(float):
    """A number of a JSON file that prints as it is written there: 1.10 stays 1.10."""

    def __new__(cls, written: str) -> Written:
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __str__(self) -> str:
        return self.written

    def __format__(self, spec: str) -> str:
        return super().__format__(spec) if spec else self.written


def read_lines(file: IO[str], needed: Sequence[str], name: str) -> Iterator[Batch]:
    """The lines of a text file, as the column `text`."""
    while lines := list(islice(file, ROWS_AT_ONCE)):
        yield {"text": [line.removesuffix("\n") for line in lines]}


def read_csv(file: IO[str], needed: Sequence[str], name: str, delimiter: str = ",") -> Iterator[Batch]:
    """The rows of a CSV file (RFC 4180) below its line of column names; values are text, None where nothing stands.

    file: opened with `newline=""`. Raises ValueError if a needed column is there twice, if a row has more or fewer fields
    than there are columns, or if quotes do not match.
    """
    csv.field_size_limit(sys.maxsize)
    rows, number = csv.reader(file, delimiter=delimiter, strict=True), 0
    try:
        columns = next(rows, [])
        if len(columns) == 1 and columns[0] not in needed and (other := DELIMITERS.search(columns[0])):
            raise ValueError(
                f"{name} has one column, {shortened(columns[0])}. Its first line must hold the names of the columns. If they are not "
                f"parted by {delimiter!r}, set 'delimiter', as in delimiter: {json.dumps(other[0])}."
            )
        _check_unique(needed, columns, name)
        places = {column: columns.index(column) for column in needed if column in columns}
        while lines := list(islice(rows, ROWS_AT_ONCE)):
            batch = [row for row in lines if row]  # an empty line is no row
            if wrong := next((place for place, row in enumerate(batch, number + 1) if len(row) != len(columns)), None):
                raise ValueError(
                    f"{name}, row {wrong} has {len(batch[wrong - number - 1])} fields, but there are {len(columns)} columns "
                    f"({', '.join(columns)}). Mend the row: a text that holds a comma stands in quotes."
                )
            number += len(batch)
            read = {column: [row[place] or None for row in batch] for column, place in places.items()}
            yield {key: [] for key in columns} | read
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {rows.line_num}: {error}. A text that holds quotes stands in quotes, with each quote doubled."
        ) from None


def read_json(file: IO[str], needed: Sequence[str], name: str) -> Iterator[Batch]:
    """The objects of a JSON file, one a line or in a list; None where an object lacks a column. A string is a column `text`.

    Raises ValueError, with the number of the line or row, for what is no JSON or no object, and at the end if no object has
    a needed column.
    """
    found: dict[str, None] = {}
    number = 0
    rows = json_rows(file, name)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        for place, row in enumerate(batch, number + 1):
            if not isinstance(row, dict):
                raise ValueError(
                    f"{name}, row {place} holds {shortened(row)}, no object. Give one object a line, or a list of objects."
                )
            if not row.keys() <= found.keys():
                found |= dict.fromkeys(row)
        number += len(batch)
        if len(batch) < ROWS_AT_ONCE:
            check_columns(needed, found, name)
        yield {column: [row.get(column) for row in batch] for column in needed}
    if number:
        check_columns(needed, found, name)


def json_rows(file: IO[str], name: str) -> Iterator[Any]:
    """What the lines of a file hold, or the elements of the list that it is."""
    decoder = json.JSONDecoder(parse_float=Written, object_pairs_hook=_unique)
    before = ""
    while (first := file.read(1)).isspace():
        before += first
    values = _elements(file, decoder, name) if first == "[" else _values(file, before.count("\n"), first, decoder, name)
    return ({"text": value} if isinstance(value, str) else value for value in values)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return found


def _values(file: IO[str], before: int, first: str, decoder: json.JSONDecoder, name: str) -> Iterator[Any]:
    for number, line in enumerate(chain([first + file.readline()], file), before + 1):
        if not line.isspace() and line:
            try:
                yield decoder.decode(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(
                    f"{name}, line {number} is no JSON value: {error}. Give one object a line, or a list of objects."
                ) from None


def _elements(file: IO[str], decoder: json.JSONDecoder, name: str) -> Iterator[Any]:
    """The elements of the list whose bracket was read, decoded one after the other from as much text as one takes."""
    text, place, number, step = "", 0, 0, CHARACTERS_AT_ONCE
    while True:
        place = SPACE.match(text, place).end()
        if text[place : place + 1] == "]":
            break
        try:
            if number and text[place : place + 1] != ",":
                raise ValueError("a comma or ] is missing")
            value, end = decoder.raw_decode(text, SPACE.match(text, place + bool(number)).end())
            if end == len(text):  # 12 may go on as 123
                raise ValueError("it does not end")
        except (ValueError, RecursionError) as error:
            if not (more := file.read(step)):
                raise ValueError(f"{name}: element {number + 1} of its list is no JSON value: {error}.") from None
            text, place, step = text[place:] + more, 0, 2 * step
            continue
        yield value
        place, number, step = end, number + 1, CHARACTERS_AT_ONCE
    if (text[place + 1 :] + file.read(CHARACTERS_AT_ONCE)).strip():
        raise ValueError(f"{name} goes on after its list. Give one object a line, or one list of objects.")


def read_parquet(file: Path | BinaryIO, needed: Sequence[str], name: str) -> Iterator[Batch]:
    """The rows of a Parquet file. Raises ValueError if it is damaged or none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            _check_unique(needed, names, name)
            number = 0
            for batch in opened.iter_batches(ROWS_AT_ONCE, columns=[column for column in names if column in needed]):
                try:
                    read = {column: batch.column(column).to_pylist() for column in batch.schema.names}
                except UnicodeDecodeError as error:
                    rows = f"rows {number + 1} to {number + len(batch)}"
                    raise ValueError(f"{name}, {rows}: a text is no UTF-8 ({error}). Mend the file.") from None
                number += len(batch)
                yield {key: [] for key in names} | read
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name} cannot be read as parquet: {error}") from error


def class_names(file: Path | BinaryIO, name: str) -> dict[str, list[str]]:
    """Names of the classes whose ids columns of a Parquet file hold, as the library `datasets` notes them in the file.

    Raises ValueError if it is damaged or none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        noted = json.loads((pq.read_schema(file).metadata or {}).get(b"huggingface", b"{}"))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name} cannot be read as parquet: {error}") from error
    features = noted.get("info", {}).get("features") or {}
    found = {column: _names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _names(feature: Any) -> list[str] | None:
    if isinstance(feature, list):
        return _names(feature[0]) if feature else None
    return feature.get("names") or _names(feature.get("feature", []))


def _check_unique(needed: Iterable[str], columns: Sequence[str], name: str) -> None:
    if twice := [column for column in needed if columns.count(column) > 1]:
        raise ValueError(f"{name} has {columns.count(twice[0])} columns called {twice[0]!r}. Rename one.")


def check_columns(needed: Iterable[str], columns: Iterable[str], name: str) -> None:
    """Raise ValueError if a needed column is not among the columns of a source."""
    columns = list(columns)
    if missing := [column for column in needed if column not in columns]:
        raise ValueError(f"{name} has no column {missing[0]!r}; its columns are {', '.join(columns)}.")
