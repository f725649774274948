"""Parquet in and out: hidden states, neighbour graphs, tidy tables and the provenance they carry.

Every file is written under a temporary name and renamed when it is whole, so that a killed job
leaves nothing that looks finished. The provenance is one JSON object in the file's metadata.

What a disk has changed is noticed: pages carry Parquet's own checksums, and the footer, which has none in Parquet,
one that stands in its metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from idsweep.files.atomic import whole_or_nothing
from idsweep.version import __version__

PROVENANCE_KEY = b"idsweep"
FOOTER_KEY = b"idsweep.footer"
NO_DIGEST = b"0" * 64  # stands for the footer's digest while that is computed
MEND = "Delete it and run snakemake again: it is made anew."
FOOTER_END = 8  # bytes: the footer's length, and the letters PAR1


def metadata(provenance: Mapping[str, Any]) -> dict[bytes, bytes]:
    return {PROVENANCE_KEY: json.dumps(provenance, sort_keys=True).encode(), FOOTER_KEY: NO_DIGEST}


def _footer(file: BinaryIO) -> tuple[bytes, int | None]:
    """The last bytes of a Parquet file, from its footer on, and where among them the footer's digest stands."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - FOOTER_END))
    length = int.from_bytes(file.read(4), "little") + FOOTER_END
    file.seek(max(0, size - length))
    footer = file.read()
    before = FOOTER_KEY + b"\x18" + bytes([len(NO_DIGEST)])  # as Thrift writes a string after another
    found = footer.rfind(before)
    return footer, found + len(before) if found >= 0 else None


def _digest(footer: bytes, place: int) -> bytes:
    """The digest of a footer in which none stands at its place yet."""
    without = footer[:place] + NO_DIGEST + footer[place + len(NO_DIGEST) :]
    return hashlib.sha256(without).hexdigest().encode()


def seal(path: Path) -> None:
    """Write the footer's digest into the footer of a finished file."""
    with path.open("r+b") as file:
        footer, place = _footer(file)
        file.seek(place - len(footer), os.SEEK_END)
        file.write(_digest(footer, place))


def open_file(path: str | Path) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    with Path(path).open("rb") as file:
        footer, place = _footer(file)
    if place is not None and footer[place : place + len(NO_DIGEST)] != _digest(footer, place):
        raise ValueError(f"{path} is damaged (its footer is not what was written). {MEND}")
    with damage_told(path):
        opened = pq.ParquetFile(path, page_checksum_verification=True)
        if place is None and PROVENANCE_KEY in (opened.metadata.metadata or {}):
            raise pa.ArrowInvalid("its footer has no checksum, as this version of idsweep writes it")
        return opened


@contextmanager
def damage_told(path: str | Path) -> Iterator[None]:
    """Raise what pyarrow says of a damaged file as a ValueError that names the file and says what to do."""
    try:
        yield
    except (MemoryError, PermissionError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({str(error).strip()}). {MEND}") from error


def provenance(path: str | Path) -> dict[str, Any]:
    """Read the provenance stored in a Parquet file of idsweep.

    Parameters
    ----------
    path : path
        Any Parquet file that the workflow wrote.

    Returns
    -------
    dict
        What made the file: its settings, inputs, versions, device and seconds; see docs/files.md.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is not Parquet, or was not written by idsweep.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from tempfile import TemporaryDirectory
    >>> from idsweep import provenance
    >>> from idsweep.files.parquet import write_table
    >>> with TemporaryDirectory() as folder:
    ...     write_table(f"{folder}/table.parquet", pa.table({"step": [1, 2]}), {"model": "tiny", "seed": 0})
    ...     provenance(f"{folder}/table.parquet")
    {'model': 'tiny', 'seed': 0}
    """
    metadata = open_file(path).metadata.metadata or {}
    if PROVENANCE_KEY not in metadata:
        raise ValueError(f"{path} carries no provenance: it was not written by idsweep.")
    return json.loads(metadata[PROVENANCE_KEY])


# pyarrow's own conversions from and to numpy import pandas, which would be a fifth of the time of a light job.
def is_current(path: str | Path, signature: str) -> bool:
    """Whether a file is there, whole, and of the job with that signature."""
    try:
        return Path(path).is_file() and provenance(path).get("signature") == signature
    except ValueError:
        return False


def to_arrow(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Numbers (n,) as an Arrow array without nulls; NaN stays NaN."""
    values = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def to_numpy(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Numbers without nulls as a numpy array (n,), not writeable."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.from_dlpack(column)


def constant(value: str | float | bool | None, kind: pa.DataType, number: int) -> pa.Array:
    """One value `number` times; nulls for None."""
    if value is None:
        return pa.nulls(number, kind)
    if kind == pa.string():
        text = value.encode()
        ends = np.arange(number + 1, dtype=np.int32) * len(text)
        return pa.Array.from_buffers(kind, number, [None, pa.py_buffer(ends), pa.py_buffer(text * number)])
    if kind == pa.bool_():
        bits = np.packbits(np.full(number, value, dtype=bool), bitorder="little")
        return pa.Array.from_buffers(kind, number, [None, pa.py_buffer(bits)])
    return to_arrow(np.full(number, value), kind)


def require_columns(path: str | Path, names: list[str], needed: Iterable[str]) -> None:
    """Raise ValueError if a file with columns `names` lacks some, naming the version of idsweep that wrote it."""
    if missing := [name for name in needed if name not in names]:
        known = json.loads((open_file(path).metadata.metadata or {}).get(PROVENANCE_KEY, b"{}"))
        version = known.get("versions", {}).get("idsweep")
        writer = f"idsweep {version}" if version else "another program or version"
        raise ValueError(
            f"{path} was written by {writer} with columns {', '.join(names)}; this is idsweep {__version__}, "
            f"which needs {', '.join(missing)}. {MEND}"
        )


def write_table(path: str | Path, table: pa.Table, provenance: Mapping[str, Any]) -> None:
    """Write a tidy table with its provenance."""
    table = table.replace_schema_metadata(None)
    write_groups(path, table.schema, [table], provenance)


def write_groups(
    path: str | Path, schema: pa.Schema, tables: Iterable[pa.Table], provenance: Mapping[str, Any]
) -> None:
    """Write tables of one schema, each as row groups of its own."""
    with whole_or_nothing(path) as unfinished:
        with pq.ParquetWriter(unfinished, schema, compression="lz4", write_page_checksum=True) as file:
            for table in tables:
                file.write_table(table)
            file.add_key_value_metadata(metadata(provenance))
        seal(unfinished)


def read_table(path: str | Path) -> pa.Table:
    """Read a table of idsweep, as those in `tables/`.

    Parameters
    ----------
    path : path
        The Parquet file.

    Returns
    -------
    pyarrow.Table
        All its rows and columns; see docs/files.md.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or is not Parquet.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from tempfile import TemporaryDirectory
    >>> from idsweep import read_table
    >>> from idsweep.files.parquet import write_table
    >>> with TemporaryDirectory() as folder:
    ...     write_table(f"{folder}/table.parquet", pa.table({"step": [1, 2]}), {"model": "tiny"})
    ...     read_table(f"{folder}/table.parquet").to_pydict()
    {'step': [1, 2]}
    """
    file = open_file(path)
    with damage_told(path):
        table = file.read(use_threads=False)
        table.validate(full=True)
        return table
