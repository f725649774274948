"""Every *.txt below a folder, one text each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idsweep.data.decoding import undecodable
from idsweep.data.entries import files_below
from idsweep.data.loaders.registry import Loader, Rows

PATTERN = "*.txt"


@contextmanager
def rows(spec: Mapping[str, Any], path: Path, source: str) -> Iterator[Rows]:
    """A row for each file. Raises ValueError while they are read if one cannot be decoded."""
    yield Rows(_batches(path, spec.get("encoding", "utf-8")))


def _batches(folder: Path, encoding: str) -> Iterator[Mapping[str, list]]:
    for file in files_below(folder, PATTERN):
        try:
            text = file.read_bytes().decode(encoding)
        except UnicodeDecodeError as error:
            raise undecodable(file, encoding, error.start) from error
        yield {"text": [text], "file": [file.relative_to(folder).as_posix()]}


LOADER = Loader(rows=rows, places=frozenset({"local"}), pattern=PATTERN, encoding=True)
