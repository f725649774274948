"""Rows of files: local ones, and those of repositories on the hub that an entry names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from idsweep.data import hub_revisions, readers
from idsweep.data.decoding import opened
from idsweep.data.entries import needed_columns, source_split
from idsweep.data.loaders.registry import Rows

File = Callable[[], AbstractContextManager[Path | BinaryIO]]  # opens it, or says where it lies

# Readers of text and how they want their lines ended: CSV keeps what stands within quotes.
OF_TEXT: Mapping[str, tuple[Callable[..., Iterator[readers.Batch]], str | None]] = {
    "text": (readers.read_lines, None),
    "csv": (readers.read_csv, ""),
    "json": (readers.read_json, None),
}


@contextmanager
def of_files(spec: Mapping[str, Any], path: Path | None, source: str) -> Iterator[Rows]:
    """Rows of a local file, or of the files of a repository on the hub, by the reader of the loader's name.

    Raises ValueError, also while rows are read, if the source is missing, cannot be decoded or parsed or has no such column.
    """
    if "hub" not in spec:
        yield rows_of({source: partial(nullcontext, path)}, spec["loader"], spec)
        return
    commit = hub_revisions.resolve(spec["hub"], spec.get("revision"))
    pattern = spec["file"].replace("{split}", source_split(spec))
    names = hub_revisions.names_of_files(spec["hub"], commit, pattern)
    yield rows_of(
        hub_revisions.files(spec["hub"], commit, names, bool(spec.get("streaming"))), spec["loader"], spec, commit
    )


def rows_of(files: Mapping[str, File], loader: str, spec: Mapping[str, Any], commit: str | None = None) -> Rows:
    """Rows of files, one after the other; `files` are named for messages."""
    names = {}
    if loader == "parquet":
        with next(iter(files.values()))() as first:
            names = readers.class_names(first, next(iter(files)))
    return Rows(_batches(files, loader, spec), names, commit)


def _batches(files: Mapping[str, File], loader: str, spec: Mapping[str, Any]) -> Iterator[readers.Batch]:
    needed = needed_columns(spec)
    for name, open_file in files.items():
        with open_file() as file:
            if loader == "parquet":
                yield from readers.read_parquet(file, needed, name)
                continue
            read, newline = OF_TEXT[loader]
            options = {"delimiter": spec["delimiter"]} if "delimiter" in spec else {}
            with opened(file, name, spec.get("encoding", "utf-8"), newline) as text:
                yield from read(text, needed, name, **options)
