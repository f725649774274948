"""Vectors without words: one matrix in a file of numpy, of safetensors or in a Parquet file, a row for each vector.

npy          an array of two dimensions, as `numpy.save` writes it
safetensors  a tensor of two dimensions, by its name where the file holds several
parquet      a column of lists of equal length, by its name where there are several; or, without such a column, one column of
             floats for each coordinate
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from idsweep.files.representations import MATRIX_FORMATS

FORMATS = MATRIX_FORMATS
EXACT = 2**24  # whole numbers up to here are float32 exactly
# Rounding to float32 may move vectors by this share of their spread. Of 20,000 points of a curve, whose neighbours are nearest, 8e-6
# raise the mean of TwoNN from 1.02 to 1.15, and 5e-7 leave it at 1.03.
MOST_ROUNDED = 1e-6


def load_matrix(path: Path, format: str, name: str | None = None) -> np.ndarray:
    """The matrix of a file.

    Parameters
    ----------
    path, format
        The file, and one of `FORMATS`.
    name
        Of the tensor, or of the column; needed where the file holds several.

    Returns
    -------
    ndarray, float32 (N, D)

    Raises
    ------
    ValueError
        If the file cannot be read, holds no such matrix or several, or values that are no real numbers or cannot be rounded to
        float32 without moving the vectors. NaN and infinity are left to the caller.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "vectors.npy")
    >>> np.save(file, np.eye(3, 2))
    >>> load_matrix(file, "npy").shape
    (3, 2)
    """
    read = {"npy": _npy, "safetensors": _safetensors, "parquet": _parquet}
    matrix = read[format](path, name)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f"it holds an array of shape {matrix.shape}; expected one row for each vector, (number, width)"
            + (". Save each layer's matrix in a file of its own" if matrix.ndim == 3 else "")
        )
    return _rounded(matrix)


def shape_of(path: Path, format: str, name: str | None = None) -> tuple[int, int] | None:
    """Number and width of the vectors, where the beginning of the file says it; None where it does not."""
    try:
        if format == "npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            return shape if len(shape) == 2 else None
        if format == "parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                first = next(file.iter_batches(1, columns=[_list_column(file.schema_arrow, name)]))
                return file.metadata.num_rows, len(first.column(0)[0])
        return load_matrix(path, format, name).shape
    except (ValueError, OSError, EOFError, StopIteration, TypeError):
        return None


def said_to_hold(path: Path, format: str, name: str | None = None) -> str:
    """What of the file is taken: which tensor or columns; empty for an .npy file. Meant for files that `load_matrix` has read."""
    if format == "safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            return f"tensor {name or next(key for key in file.keys() if len(file.get_slice(key).get_shape()) == 2)}"  # noqa: SIM118
    if format == "parquet":
        import pyarrow.parquet as pq

        schema = pq.read_schema(path)
        if name is not None or any(map(_is_list, schema.types)):
            return f"column {_list_column(schema, name)}"
        return f"columns {', '.join(schema.names) if len(schema.names) < 4 else f'{schema.names[0]}, {schema.names[1]} … {schema.names[-1]}'}"
    return ""


def _npy(path: Path, name: str | None) -> np.ndarray:
    _no_name(name, "an .npy file")
    matrix = np.load(path, allow_pickle=False)
    if not isinstance(matrix, np.ndarray):
        raise ValueError("it is an archive of several arrays (.npz); save the one that is meant with numpy.save")
    return matrix


def _safetensors(path: Path, name: str | None) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            matrices = [key for key, shape in shapes.items() if len(shape) == 2]
            chosen = _chosen(name, matrices, list(shapes), "tensor of two dimensions")
            tensor = file.get_tensor(chosen)
    except SafetensorError as error:
        raise ValueError(f"it is not a whole safetensors file ({error})") from error
    if tensor.is_floating_point() and tensor.itemsize < 4:  # numpy has no bfloat16
        tensor = tensor.float()
    return tensor.numpy()


def _parquet(path: Path, name: str | None) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        if name is None and not any(map(_is_list, schema.types)):
            return _coordinates(pq.read_table(path))
        column = pq.read_table(path, columns=[_list_column(schema, name)]).column(0).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it is not a whole Parquet file ({error})") from error
    if column.null_count:
        raise ValueError(f"{column.null_count} of its {len(column)} rows hold no vector")
    values = column.flatten()
    if values.null_count:
        raise ValueError(f"{values.null_count} coordinates of its vectors are missing")
    widths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
    if len(widths) > 1:
        raise ValueError(f"its vectors have widths from {widths[0]} to {widths[-1]}; all must have one")
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _coordinates(table: Any) -> np.ndarray:
    """The matrix whose columns are those of a table."""
    import pyarrow as pa

    others = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    if others or not table.num_columns:
        raise ValueError(
            f"no column holds lists of numbers. Columns of single floats are taken as coordinates where there are no others, but it "
            f"has {', '.join(others[:5]) or 'no columns'}"
        )
    if missing := [name for name in table.column_names if table[name].null_count]:
        raise ValueError(f"column {missing[0]!r}: a coordinate is missing")
    return np.column_stack([column.to_numpy() for column in table.columns])


def _list_column(schema: Any, name: str | None) -> str:
    lists = [field.name for field in schema if _is_list(field.type)]
    return _chosen(name, lists, schema.names, "column of lists of numbers")


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return any(is_one(kind) for is_one in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)) and (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )


def _chosen(name: str | None, matrices: list[str], there: list[str], what: str) -> str:
    """The name that is meant, which must be that of a matrix."""
    if name is None and len(matrices) == 1:
        return matrices[0]
    shown = ", ".join(matrices[:8]) + (f" … ({len(matrices)} in all)" if len(matrices) > 8 else "")
    if name is None:
        raise ValueError(
            f"it holds {len(matrices)} {what.replace(' ', 's ', 1)}, {shown}: say which by `array` (--array of idsweep measure)"
            if matrices
            else f"it holds no {what}; it has {', '.join(there[:8]) or 'nothing'}"
        )
    if name not in matrices:
        raise ValueError(f"array: {name!r} is no {what} in it; there are {shown or 'none'}")
    return name


def _no_name(name: str | None, what: str) -> None:
    if name is not None:
        raise ValueError(f"array: {what} holds one array, which has no name; leave the key out")


def _rounded(matrix: np.ndarray) -> np.ndarray:
    """The matrix as float32. Raises ValueError if that moves the vectors, or if it holds no real numbers."""
    if matrix.dtype.kind not in "fiu":
        raise ValueError(f"its values are of type {matrix.dtype}; expected real numbers")
    if matrix.dtype.kind in "iu":
        if matrix.max() > EXACT or matrix.min() < -EXACT:
            raise ValueError(f"it holds whole numbers beyond {EXACT:,}, which 32-bit floats do not tell apart")
        return np.ascontiguousarray(matrix, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.ascontiguousarray(matrix, dtype=np.float32)
    if matrix.dtype.itemsize <= 4 or not np.isfinite(matrix).all():
        return single
    if not np.isfinite(single).all():
        raise ValueError("it holds numbers beyond the range of 32-bit floats; scale it down")
    moved, spread = np.sqrt(np.mean((matrix - single) ** 2)), np.sqrt(np.mean(np.var(matrix, axis=0)))
    if moved > MOST_ROUNDED * spread:
        raise ValueError(
            f"its vectors are measured in 32-bit floats, which would move them by {moved / spread if spread else np.inf:.1e} of their "
            "spread. Subtract the mean from each coordinate before you save them"
        )
    return single
