"""Every *.txt below a folder, one text each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idsweep.data.decoding import opened
from idsweep.data.entries import files_below
from idsweep.data.loaders.registry import Loader, Rows

PATTERN = "*.txt"


@contextmanager
def rows(spec: Mapping[str, Any], path: Path, source: str) -> Iterator[Rows]:
    """A row for each file. Raises ValueError while they are read if one cannot be decoded."""
    yield Rows(_batches(path, spec.get("encoding", "utf-8")))


def _batches(folder: Path, encoding: str) -> Iterator[Mapping[str, list]]:
    for file in files_below(folder, PATTERN):
        with opened(file, str(file), encoding) as text:
            yield {"text": [text.read()], "file": [file.relative_to(folder).as_posix()]}


LOADER = Loader(rows=rows, places=frozenset({"local"}), pattern=PATTERN, encoding=True)
