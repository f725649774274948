"""Texts that a user names: a file or folder to an entry of the catalog of datasets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from idsweep.data import readers
from idsweep.data.decoding import opened
from idsweep.machine.names import nearest_name
from idsweep.sweep.models import safe

LOADERS = {
    ".txt": "text", ".text": "text", ".cor": "text", ".md": "text",
    ".csv": "csv", ".tsv": "csv",
    ".json": "json", ".jsonl": "json", ".ndjson": "json",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
PACKED = (".gz", ".bz2", ".xz", ".zst")
# Columns that hold the texts where there are several, the likeliest first.
USUAL = ("text", "content", "body", "sentence", "document", "story", "article", "comment", "utterance", "prompt")
ROWS_LOOKED_AT = 100
WORD = re.compile(r"[^\W\d_]")  # a letter; numbers have none


def entry_of(path: str, column: str | None = None, encoding: str | None = None) -> tuple[str, dict[str, Any]]:
    """A name for a file or folder of texts, and its entry in the catalog.

    column: that of the texts; told from the first rows if None. encoding: UTF-8 if None.

    Raises
    ------
    ValueError
        If there is no such file, its ending says no format that is read, or it does not say which column holds the texts.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "posts.jsonl")
    >>> _ = file.write_text('{"id": "a", "body": "It rains."}')
    >>> entry_of(str(file))[1]["column"]
    'body'
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise ValueError(f"--text: there is no file or folder {path!r}.")
    if place.is_dir():
        if not any(place.rglob("*.txt")):
            raise ValueError(f"--text: the folder {path!r} holds no *.txt file. Name a folder of texts, or one file.")
        entry = {"loader": "folder", "path": path} | ({"encoding": encoding} if encoding else {})
        return _name(place.resolve().name), entry
    endings = [ending.lower() for ending in place.suffixes if ending.lower() not in PACKED]
    loader = LOADERS.get(endings[-1]) if endings else None
    if loader is None:
        raise ValueError(
            f"--text: the ending of {path!r} says no format that is read here. Expected {', '.join(LOADERS)} (also packed: "
            f"{', '.join(PACKED)}), or a folder of *.txt files."
        )
    entry: dict[str, Any] = {"loader": loader, "path": path} | ({"encoding": encoding} if encoding else {})
    if loader == "csv" and (delimiter := _delimiter(place, encoding)) != ",":
        entry["delimiter"] = delimiter
    name = _name(_stem(place))
    if loader == "text":
        if column is not None:
            raise ValueError(f"--column: {path} holds lines and no columns; leave it out.")
        return name, entry
    return name, entry | {"column": _column(place, entry, column)}


def _stem(file: Path) -> str:
    """The name of a file without what says its format: posts.2020 of posts.2020.jsonl.gz."""
    while file.suffix.lower() in PACKED or file.suffix.lower() in LOADERS:
        file = file.with_suffix("")
    return file.name


def _name(stem: str) -> str:
    return re.sub(r"\W+", "_", safe(stem)).strip("_") or "texts"


def _delimiter(path: Path, encoding: str | None) -> str:
    """What parts the columns in the line of their names."""
    with opened(path, str(path), encoding or "utf-8", newline="") as file:
        first = file.readline()
    # A tab stands in no name of a column; a comma may.
    return next((one for one in "\t," if one in first), max(",;|", key=first.count))


def _column(path: Path, entry: dict[str, Any], given: str | None) -> str:
    """The column of the texts: the one that is given, or the only one of texts, or one of a usual name."""
    rows = list(islice(_rows(path, entry), ROWS_LOOKED_AT))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        raise ValueError(f"--text: {path} holds no rows.")
    if given is not None:
        if given not in columns:
            near = nearest_name(given, columns)
            raise ValueError(
                f"--column: {path} has no column {given!r}"
                + (f"; did you mean {near!r}?" if near else f"; it has {', '.join(columns)}.")
            )
        return given
    worded = [name for name in columns if any(WORD.search(value) for value in _strings(rows, name))]
    if usual := [name for name in USUAL if name in worded]:
        return usual[0]
    if len(worded) == 1 and _reads_like_texts(_strings(rows, worded[0])):
        return worded[0]
    nested = [name for name in columns if any(_is_nested(row.get(name)) for row in rows)]
    flat = [name for name in columns if name not in nested]
    raise ValueError(
        f"--text: which column of {path} holds the texts? It has {', '.join(worded if len(worded) > 1 and not nested else columns)}."
        + (f" Say it, as --column {(worded or flat)[0]}." if flat else "")
        + (
            f" What lies inside {nested[0]} cannot be named: write the texts to a column of their own."
            if nested
            else ""
        )
    )


def _strings(rows: Sequence[dict[str, Any]], column: str) -> list[str]:
    return [value for row in rows if isinstance(value := row.get(column), str) and value.strip()]


def _is_nested(value: Any) -> bool:
    """Whether a value holds others that are no words; a list of words is read as a text."""
    return isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(one, str) for one in value))


def _reads_like_texts(values: Sequence[str]) -> bool:
    """Whether most values have several words, as ids and labels have not; writing without spaces counts as words."""
    several = sum(1 for value in values if len(value.split()) > 1 or not value.isascii())
    return 2 * several > len(values)


def _rows(path: Path, entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first rows, with all columns; of a Parquet file the values of its texts alone."""
    if entry["loader"] == "json":
        with opened(path, str(path), entry.get("encoding", "utf-8")) as file:
            for row in readers.json_rows(file, str(path)):
                yield row if isinstance(row, dict) else {}
        return
    read = _read_csv if entry["loader"] == "csv" else _read_parquet
    with read(path, (), entry) as batches:
        columns = list(next(batches, {}))
    with read(path, columns, entry) as batches:
        batch = next(batches, {})
        for i in range(max(map(len, batch.values()), default=0)):
            yield {name: values[i] if values else None for name, values in batch.items()}


@contextmanager
def _read_csv(path: Path, columns: Sequence[str], entry: dict[str, Any]) -> Iterator[Iterator[readers.Batch]]:
    options = {"delimiter": entry["delimiter"]} if "delimiter" in entry else {}
    with opened(path, str(path), entry.get("encoding", "utf-8"), newline="") as file:
        yield readers.read_csv(file, columns, str(path), **options)


@contextmanager
def _read_parquet(path: Path, columns: Sequence[str], entry: dict[str, Any]) -> Iterator[Iterator[readers.Batch]]:
    yield readers.read_parquet(path, columns, str(path))
