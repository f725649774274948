"""Parquet files of vectors, neighbour graphs and estimates: one row group for each piece of a representation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.columns import ESTIMATES, IDENTITY
from idsweep.files.parquet import (
    constant,
    damage_told,
    metadata,
    open_file,
    require_columns,
    seal,
    to_arrow,
    to_numpy,
    write_groups,
)
from idsweep.files.representations import in_order, of_layer

ROWS_PER_GROUP = 65536
FELLOWS = ("members", "fellows", "apart")  # columns of a neighbours file


def describe(path: str | Path) -> str:
    """Rows, columns and size of a Parquet file, for people."""
    file = open_file(path)
    columns = "\n".join(f"  {field.name}: {field.type}" for field in file.schema_arrow)
    contents = f", {', '.join(names)}" if (names := _held(file)) else ""
    size = Path(path).stat().st_size / 1e6
    return f"{path}: {file.metadata.num_rows:,} rows{contents}, {size:,.2f} MB\n{columns}"


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
        self._writer.add_key_value_metadata(metadata(self._provenance()))
        self._writer.close()
        seal(self._path)


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
    """Write neighbour graphs: `representation | variant | point | neighbors[k] | distances[k]`, one variant at a time.

    What estimates of neighbourhoods need of the points beside it, a `WholeGraph`, stands in `members | fellows | apart`.
    """

    def write(
        self,
        representation: int | str,
        variant: str,
        points: np.ndarray,
        indices: np.ndarray,
        distances: np.ndarray,
        fellows: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Append one graph.

        variant: "data", or what else `variants` makes of the cloud. points: int32 (N,), the row of the tokens
        table behind each node (for a null, which has none, of the node in the same place of the data). indices: int32
        (N, k), node numbers 0…N-1. distances: float64 (N, k). fellows: as `neighbors.graph.Fellows`, in all graphs of a
        file or in none.
        """
        columns = {
            "variant": constant(variant, pa.string(), len(points)),
            "point": to_arrow(points, pa.int32()),
            "neighbors": _fixed_size_lists(indices),
            "distances": _fixed_size_lists(distances),
        }
        if fellows is not None:
            offsets, *lists = fellows
            starts = to_arrow(offsets, pa.int32())
            kinds = (pa.int32(), pa.int32(), pa.float64())
            columns |= {
                name: pa.ListArray.from_arrays(starts, to_arrow(values, kind))
                for name, values, kind in zip(FELLOWS, lists, kinds, strict=True)
            }
        super().write(_name(representation), columns)


def _name(layer_or_name: int | str) -> str:
    return layer_or_name if isinstance(layer_or_name, str) else of_layer(layer_or_name)


def _fixed_size_lists(matrix: np.ndarray) -> pa.FixedSizeListArray:
    kind = {"e": pa.float16(), "f": pa.float32(), "d": pa.float64(), "i": pa.int32()}[matrix.dtype.char]
    return pa.FixedSizeListArray.from_arrays(to_arrow(matrix.reshape(-1), kind), matrix.shape[1])


def representations(path: str | Path) -> list[str]:
    """The representations held by an embeddings or neighbours file, layers first, in increasing order."""
    return _held(open_file(path))


def variants(path: str | Path, representation: int | str) -> list[str]:
    """The variants of one representation held by a neighbours file, the data first."""
    groups = _row_groups(open_file(path))
    return list(dict.fromkeys(variant for _, name, variant in groups if name == _name(representation)))


def _held(file: pq.ParquetFile) -> list[str]:
    first = file.metadata.row_group(0).column(0) if file.metadata.num_row_groups else None
    if first is None or file.schema_arrow.names[0] != "representation" or first.statistics is None:
        return []
    return in_order({name for _, name, _ in _row_groups(file)})


def _row_groups(file: pq.ParquetFile) -> list[tuple[int, str, str | None]]:
    """Number, representation and variant (None in files without) of each row group."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    has_variants = file.schema_arrow.names[1] == "variant"
    return [
        (i, group.column(0).statistics.min, group.column(1).statistics.min if has_variants else None)
        for i, group in enumerate(groups)
    ]


def _read(
    path: str | Path,
    representation: int | str,
    columns: list[str],
    variant: str | None = None,
    file: pq.ParquetFile | None = None,
) -> pa.Table:
    """file: `path`, where it is open."""
    file = file or open_file(path)
    require_columns(path, file.schema_arrow.names, ["representation", *(["variant"] if variant else []), *columns])
    row_groups = _row_groups(file)
    places = [
        i
        for i, representation_of_group, name in row_groups
        if representation_of_group == _name(representation) and name == variant
    ]
    if not places:
        what = _name(representation) + (f", variant {variant!r}" if variant else "")
        raise ValueError(
            f"{path} holds no {what}; it holds {', '.join(_held(file))}"
            + (f", variants {list(dict.fromkeys(name for *_, name in row_groups))}." if variant else ".")
        )
    with damage_told(path):
        table = file.read_row_groups(places, columns=columns, use_threads=False)
        table.validate(full=True)
        return table


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    lists = column.combine_chunks()
    size = lists.type.list_size
    return to_numpy(lists.values.slice(lists.offset * size, len(lists) * size)).reshape(len(lists), size)


def read_embeddings(path: str | Path, representation: int | str) -> np.ndarray:
    """Read the vectors of one layer or representation from an embeddings file.

    Parameters
    ----------
    path : path
        A file below `embeddings/`.
    representation : int or str
        The number of a layer, or the name of a representation.

    Returns
    -------
    array (N, D), float32
        The vectors, in the order of the sampled tokens (`point`).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file does not hold the representation, holds other columns or is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from idsweep import read_embeddings
    >>> from idsweep.files.vectors import EmbeddingsWriter
    >>> vectors = np.array([[0.0, 1.0], [2.0, 3.0]], dtype=np.float32)
    >>> with TemporaryDirectory() as folder:
    ...     with EmbeddingsWriter(f"{folder}/tiny.parquet", lambda: {"model": "tiny"}) as file:
    ...         file.write(np.arange(2), {0: vectors, 1: vectors + 10})
    ...     read_embeddings(f"{folder}/tiny.parquet", 1).tolist()
    [[10.0, 11.0], [12.0, 13.0]]
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
    """Read one neighbour graph from a neighbours file.

    Parameters
    ----------
    path : path
        A file below `neighbors/`.
    representation : int or str
        The number of a layer, or the name of a representation.
    variant : str
        "data" for the measured points; the file also holds graphs of halves of them, and of nulls where the sweep has
        them.

    Returns
    -------
    points : array (N,), int32
        The sampled token (`point`) behind each node.
    indices : array (N, k), int32
        Node numbers 0 … N-1 of the neighbours, sorted by distance.
    distances : array (N, k), float64
        Distances to them, in the units of the vectors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file does not hold the representation or the variant, holds other columns or is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from idsweep import nearest_neighbors, read_neighbors
    >>> from idsweep.files.vectors import NeighborsWriter
    >>> graph = nearest_neighbors(np.array([[0.0], [1.0], [3.0]]), k=1)
    >>> with TemporaryDirectory() as folder:
    ...     with NeighborsWriter(f"{folder}/tiny.parquet", lambda: {"model": "tiny"}) as file:
    ...         file.write("layer_0", "data", np.arange(3), graph.indices, graph.distances)
    ...     points, indices, distances = read_neighbors(f"{folder}/tiny.parquet", 0)
    >>> points.tolist(), indices.tolist(), distances.tolist()
    ([0, 1, 2], [[1], [0], [1]], [[1.0], [1.0], [2.0]])
    """
    table = _read(path, representation, ["point", "neighbors", "distances"], variant)
    return to_numpy(table["point"]), _matrix(table["neighbors"]), _matrix(table["distances"])


def read_fellows(path: str | Path, representation: int | str, variant: str) -> list[np.ndarray]:
    """What a neighbours file holds beside one graph, as `neighbors.graph.Fellows`: offsets, members, fellows, apart.

    Raises FileNotFoundError, or ValueError if the file does not hold it or is damaged.
    """
    lists = [column.combine_chunks() for column in _read(path, representation, [*FELLOWS], variant).columns]
    offsets = to_numpy(lists[0].offsets).astype(np.int64)
    values = [to_numpy(one.values.slice(offsets[0], offsets[-1] - offsets[0])) for one in lists]
    return [offsets - offsets[0], *values]


def write_estimates(
    path: str | Path,
    estimates: Mapping[str, pa.Table],
    identities: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write the estimates of several representations: name -> columns as in `ESTIMATES`.

    identities: name -> values of the columns `IDENTITY`, which stand before them, the same in all rows; null for what is left
    out. All files have the same columns of the same types, so that many of them are one table to any reader of Parquet.
    """
    # The representation comes first, by whose statistics a reader finds its row groups.
    fields = [IDENTITY.field("representation"), *(field for field in IDENTITY if field.name != "representation")]
    schema = pa.schema([*fields, *ESTIMATES])

    def identified() -> Iterator[pa.Table]:
        for name, table in estimates.items():
            identity = {**identities[name], "representation": name}
            constants = [constant(identity.get(field.name), field.type, len(table)) for field in fields]
            yield pa.Table.from_arrays([*constants, *table.columns], schema=schema)

    write_groups(path, schema, identified(), provenance)


def read_identities(path: str | Path) -> dict[str, dict[str, Any]]:
    """Representation -> what identifies its estimates in an estimates file: values of the columns `IDENTITY`.

    Raises FileNotFoundError, or ValueError if the file holds other columns or is damaged.
    """
    return _identities(path, open_file(path))


def _identities(path: str | Path, file: pq.ParquetFile) -> dict[str, dict[str, Any]]:
    require_columns(path, file.schema_arrow.names, IDENTITY.names)
    first = {name: group for group, name, _ in reversed(_row_groups(file))}
    with damage_told(path):
        rows = {
            name: next(file.iter_batches(1, row_groups=[first[name]], columns=IDENTITY.names, use_threads=False))
            for name in _held(file)
        }
        return {name: row.to_pylist()[0] for name, row in rows.items()}


def read_estimates(path: str | Path, representation: int | str) -> pa.Table:
    """Read the estimates of one layer or representation from an estimates file.

    Parameters
    ----------
    path : path
        A file below `estimates/`.
    representation : int or str
        The number of a layer, or the name of a representation.

    Returns
    -------
    pyarrow.Table
        The columns of `files.columns.ESTIMATES`: one row for each local value, with its `point`, and one for each global
        estimate, where `point` is null. Undefined values are NaN.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file does not hold the representation, holds other columns or is damaged.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from tempfile import TemporaryDirectory
    >>> from idsweep import read_estimates
    >>> from idsweep.files.columns import ESTIMATES
    >>> from idsweep.files.vectors import write_estimates
    >>> row = {"estimator": "twonn", "scope": "global", "variant": "data", "value": 7.5, "standard_error": 0.5}
    >>> table = pa.Table.from_pylist([{**row, "n_points": 100, "n_undefined": 0}], ESTIMATES)
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/tiny.parquet"
    ...     write_estimates(path, {"layer_0": table}, {"layer_0": {"model": "tiny", "layer": 0}}, {"model": "tiny"})
    ...     read_estimates(path, 0).select(["estimator", "value"]).to_pylist()
    [{'estimator': 'twonn', 'value': 7.5}]
    """
    return _read(path, representation, ESTIMATES.names)


def each_representation(path: str | Path) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """What `read_identities` and `read_estimates` say of each representation of an estimates file, which is opened once."""
    file = open_file(path)
    for name, identity in _identities(path, file).items():
        yield identity, _read(path, name, ESTIMATES.names, file=file)
