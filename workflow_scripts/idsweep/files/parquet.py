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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.representations import in_order, of_layer
from idsweep.version import __version__

PROVENANCE_KEY = b"idsweep"
FOOTER_KEY = b"idsweep.footer"
NO_DIGEST = b"0" * 64  # stands for the footer's digest while that is computed
MEND = "Delete it and run snakemake again: it is made anew."
FOOTER_END = 8  # bytes: the footer's length, and the letters PAR1
ROWS_PER_GROUP = 65536


def _metadata(provenance: Mapping[str, Any]) -> dict[bytes, bytes]:
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


def _seal(path: Path) -> None:
    """Write the footer's digest into the footer of a finished file."""
    with path.open("r+b") as file:
        footer, place = _footer(file)
        file.seek(place - len(footer), os.SEEK_END)
        file.write(_digest(footer, place))


def _open(path: str | Path) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    with Path(path).open("rb") as file:
        footer, place = _footer(file)
    if place is not None and footer[place : place + len(NO_DIGEST)] != _digest(footer, place):
        raise ValueError(f"{path} is damaged (its footer is not what was written). {MEND}")
    with _damage_told(path):
        opened = pq.ParquetFile(path, page_checksum_verification=True)
        if place is None and PROVENANCE_KEY in (opened.metadata.metadata or {}):
            raise pa.ArrowInvalid("its footer has no checksum, as this version of idsweep writes it")
        return opened


@contextmanager
def _damage_told(path: str | Path) -> Iterator[None]:
    """Raise what pyarrow says of a damaged file as a ValueError that names the file and says what to do."""
    try:
        yield
    except (MemoryError, PermissionError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({str(error).strip()}). {MEND}") from error


def provenance(path: str | Path) -> dict[str, Any]:
    """The provenance stored in a Parquet file of idsweep.

    Raises ValueError if the file is no Parquet or was not written by idsweep.
    """
    metadata = _open(path).metadata.metadata or {}
    if PROVENANCE_KEY not in metadata:
        raise ValueError(f"{path} carries no provenance: it was not written by idsweep.")
    return json.loads(metadata[PROVENANCE_KEY])


def describe(path: str | Path) -> str:
    """Rows, columns and size of a Parquet file, for people."""
    file = _open(path)
    columns = "\n".join(f"  {field.name}: {field.type}" for field in file.schema_arrow)
    held = f", {', '.join(names)}" if (names := _held(file)) else ""
    size = Path(path).stat().st_size / 1e6
    return f"{path}: {file.metadata.num_rows:,} rows{held}, {size:,.2f} MB\n{columns}"


class RepresentationsWriter:
    """Append chunks of columns to a Parquet file, one row group per representation (and variant) and chunk.

    The reader finds one representation through the row groups' statistics, so memory grows neither
    with their number nor with the number of points. Used as a context manager: the file
    appears under its name only when the block ends without an exception. `provenance` is asked for
    then, so that it can tell how long the work took.
    """

    def __init__(self, path: str | Path, provenance: Callable[[], Mapping[str, Any]]) -> None:
        self._final = whole_or_nothing(path)
        self._provenance = provenance
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> RepresentationsWriter:
        self._path = self._final.__enter__()
        return self

    def write(self, representation: str, columns: Mapping[str, pa.Array]) -> None:
        """Append equally long `columns` as rows of one representation."""
        rows = len(next(iter(columns.values())))
        arrays = {"representation": constant(representation, pa.string(), rows), **columns}
        if self._writer is None:
            fields = [pa.field(name, array.type, nullable=False) for name, array in arrays.items()]
            self._writer = pq.ParquetWriter(
                self._path,
                pa.schema(fields),
                compression="lz4",
                use_dictionary=False,
                write_statistics=["representation", "variant"],
                write_page_checksum=True,
            )
        table = pa.Table.from_arrays(list(arrays.values()), schema=self._writer.schema)
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)

    def __exit__(self, kind, error, trace) -> bool | None:
        if kind is not None:
            if self._writer is not None:
                with suppress(OSError):  # what could not be written often can not be closed either
                    self._writer.close()
            return self._final.__exit__(kind, error, trace)
        try:
            self._finish()
        except Exception as failure:
            self._final.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self._final.__exit__(None, None, None)

    def _finish(self) -> None:
        if self._writer is None:
            raise ValueError("nothing was written: no representation held any rows.")
        self._writer.add_key_value_metadata(_metadata(self._provenance()))
        self._writer.close()
        _seal(self._path)


class EmbeddingsWriter(RepresentationsWriter):
    """Stream vectors to an embeddings file: `representation | point | vector[D]`.

    storage: the type on the disk, float32 or float16. float16 rounds values to 11 bits, and those below 6e-5 in size to
    a multiple of 6e-8.
    """

    def __init__(self, path: str | Path, provenance: Callable[[], Mapping[str, Any]], storage: str = "float32") -> None:
        super().__init__(path, provenance)
        self._storage = np.dtype(storage)

    def write(self, points: np.ndarray, vectors: Mapping[int | str, np.ndarray]) -> None:
        """Append vectors.

        points: int32 (m,), rows of the tokens table. vectors: layer or representation -> finite float32 or float16 (m, D).

        Raises ValueError if a value is beyond the range of what it is stored as.
        """
        for key, matrix in vectors.items():
            stored = self._stored(_name(key), matrix)
            columns = {"point": to_arrow(points, pa.int32()), "vector": _fixed_size_lists(stored)}
            super().write(_name(key), columns)

    def _stored(self, name: str, matrix: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            stored = matrix.astype(self._storage, copy=False)
        if stored.dtype != matrix.dtype and not np.isfinite(stored).all():
            raise ValueError(
                f"{name} holds {matrix.flat[np.abs(matrix).argmax()]:g}, beyond ±{np.finfo(self._storage).max:g}, the "
                f"largest {self._storage}. Set extraction.storage to float32."
            )
        return stored


class NeighborsWriter(RepresentationsWriter):
    """Write neighbour graphs: `representation | variant | point | neighbors[k] | distances[k]`, one variant at a time."""

    def write(
        self, representation: int | str, variant: str, points: np.ndarray, indices: np.ndarray, distances: np.ndarray
    ) -> None:
        """Append one graph.

        variant: "data", or what else `variants` makes of the cloud. points: int32 (N,), the row of the tokens
        table behind each node (for a null, which has none, of the node in the same place of the data). indices: int32
        (N, k), node numbers 0…N-1. distances: float64 (N, k).
        """
        columns = {
            "variant": constant(variant, pa.string(), len(points)),
            "point": to_arrow(points, pa.int32()),
            "neighbors": _fixed_size_lists(indices),
            "distances": _fixed_size_lists(distances),
        }
        super().write(_name(representation), columns)


def _name(layer_or_name: int | str) -> str:
    return layer_or_name if isinstance(layer_or_name, str) else of_layer(layer_or_name)


# pyarrow's own conversions from and to numpy import pandas, which would be a fifth of the time of a light job.
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


def _fixed_size_lists(matrix: np.ndarray) -> pa.FixedSizeListArray:
    kind = {"e": pa.float16(), "f": pa.float32(), "d": pa.float64(), "i": pa.int32()}[matrix.dtype.char]
    return pa.FixedSizeListArray.from_arrays(to_arrow(matrix.reshape(-1), kind), matrix.shape[1])


def representations(path: str | Path) -> list[str]:
    """The representations held by an embeddings or neighbours file, layers first, in increasing order."""
    return _held(_open(path))


def variants(path: str | Path, representation: int | str) -> list[str]:
    """The variants of one representation held by a neighbours file, the data first."""
    groups = _row_groups(_open(path))
    return list(dict.fromkeys(variant for _, of, variant in groups if of == _name(representation)))


def _held(file: pq.ParquetFile) -> list[str]:
    first = file.metadata.row_group(0).column(0) if file.metadata.num_row_groups else None
    if first is None or file.schema_arrow.names[0] != "representation" or first.statistics is None:
        return []
    return in_order({name for _, name, _ in _row_groups(file)})


def _row_groups(file: pq.ParquetFile) -> list[tuple[int, str, str | None]]:
    """Number, representation and variant (None in files without) of each row group."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    held = file.schema_arrow.names[1] == "variant"
    return [
        (i, group.column(0).statistics.min, group.column(1).statistics.min if held else None)
        for i, group in enumerate(groups)
    ]


def _read(path: str | Path, representation: int | str, columns: list[str], variant: str | None = None) -> pa.Table:
    file = _open(path)
    _require_columns(path, file.schema_arrow.names, ["representation", *(["variant"] if variant else []), *columns])
    held = _row_groups(file)
    wanted = [i for i, of, name in held if of == _name(representation) and name == variant]
    if not wanted:
        what = _name(representation) + (f", variant {variant!r}" if variant else "")
        raise ValueError(
            f"{path} holds no {what}; it holds {', '.join(_held(file))}"
            + (f", variants {list(dict.fromkeys(name for *_, name in held))}." if variant else ".")
        )
    with _damage_told(path):
        table = file.read_row_groups(wanted, columns=columns, use_threads=False)
        table.validate(full=True)
        return table


def _require_columns(path: str | Path, names: list[str], needed: Iterable[str]) -> None:
    """Raise ValueError if a file with columns `names` lacks some, naming the version of idsweep that wrote it."""
    if missing := [name for name in needed if name not in names]:
        known = json.loads((_open(path).metadata.metadata or {}).get(PROVENANCE_KEY, b"{}"))
        made = known.get("versions", {}).get("idsweep")
        writer = f"idsweep {made}" if made else "another program or version"
        raise ValueError(
            f"{path} was written by {writer} with columns {', '.join(names)}; this is idsweep {__version__}, "
            f"which needs {', '.join(missing)}. {MEND}"
        )


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    lists = column.combine_chunks()
    size = lists.type.list_size
    return to_numpy(lists.values.slice(lists.offset * size, len(lists) * size)).reshape(len(lists), size)


def read_embeddings(path: str | Path, representation: int | str) -> np.ndarray:
    """One layer's or representation's vectors, float32 (N, D), in the order of the sampled tokens (`point`).

    Raises FileNotFoundError, or ValueError if it is not held or the file is damaged.
    """
    table = _read(path, representation, ["point", "vector"])
    order = np.argsort(to_numpy(table["point"]), kind="stable")
    return _matrix(table["vector"])[order].astype(np.float32, copy=False)


def read_points(path: str | Path, representation: int | str) -> np.ndarray:
    """The `point` ids behind the rows of `read_embeddings`, int32 (N,), increasing."""
    return np.sort(to_numpy(_read(path, representation, ["point"])["point"]))


def read_neighbors(
    path: str | Path, representation: int | str, variant: str = "data"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One neighbour graph: points int32 (N,), indices int32 (N, k), distances float64 (N, k)."""
    table = _read(path, representation, ["point", "neighbors", "distances"], variant)
    return to_numpy(table["point"]), _matrix(table["neighbors"]), _matrix(table["distances"])


def write_table(path: str | Path, table: pa.Table, provenance: Mapping[str, Any]) -> None:
    """Write a tidy table with its provenance."""
    table = table.replace_schema_metadata(None)
    _write_groups(path, table.schema, [table], provenance)


def _write_groups(
    path: str | Path, schema: pa.Schema, tables: Iterable[pa.Table], provenance: Mapping[str, Any]
) -> None:
    """Write tables of one schema, each as row groups of its own."""
    with whole_or_nothing(path) as unfinished:
        with pq.ParquetWriter(unfinished, schema, compression="lz4", write_page_checksum=True) as file:
            for table in tables:
                file.write_table(table)
            file.add_key_value_metadata(_metadata(provenance))
        _seal(unfinished)


def read_table(path: str | Path) -> pa.Table:
    """A tidy table written by `write_table`. Raises FileNotFoundError, or ValueError if damaged."""
    file = _open(path)
    with _damage_told(path):
        table = file.read(use_threads=False)
        table.validate(full=True)
        return table


POINTS = pa.schema(
    [
        pa.field("point", pa.int32(), nullable=False),
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
        pa.field("token_class", pa.string()),
        pa.field("count", pa.int64()),
    ]
)
SEQUENCES = pa.schema(
    [
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
    ]
)
MEAN_POSITION = -1  # of a point that stands for the mean over a sequence
ESTIMATES = pa.schema(
    [
        pa.field("estimator", pa.string(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("point", pa.int32()),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("standard_error", pa.float64(), nullable=False),
        pa.field("n_points", pa.int32(), nullable=False),
        pa.field("n_undefined", pa.int32(), nullable=False),
        pa.field("n_neighbors", pa.int32()),
        pa.field("scale", pa.float64()),
        pa.field("scale_stable", pa.bool_()),
    ]
)


def write_estimates(path: str | Path, estimates: Mapping[str, pa.Table], provenance: Mapping[str, Any]) -> None:
    """Write the estimates of several representations: name -> columns as in `ESTIMATES`."""
    schema = pa.schema([pa.field("representation", pa.string(), nullable=False), *ESTIMATES])
    named = (
        pa.Table.from_arrays([constant(name, pa.string(), len(table)), *table.columns], schema=schema)
        for name, table in estimates.items()
    )
    _write_groups(path, schema, named, provenance)


def read_estimates(path: str | Path, representation: int | str) -> pa.Table:
    """The estimates of one layer or representation, columns as in `ESTIMATES`; undefined values are NaN.

    Raises FileNotFoundError, or ValueError if the file does not hold it, holds other columns or is damaged.
    """
    return _read(path, representation, ESTIMATES.names)
