"""A table as the report holds it: its columns, packed, and no more rows than a page can bear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_ROWS = 5000


def describe_columns(table: pa.Table, most_rows: int = MOST_ROWS) -> list[dict[str, Any]]:
    """The first rows of a table, column by column.

    Numbers are `values`, float64 (rows,), NaN where there is none, and `whole`, whether these are of whole numbers. All else is texts: `codes`,
    int32 (rows,), -1 where there is none, places in `words`. Columns without any value are left out.
    """
    described = []
    for name, column in zip(table.column_names, table.slice(0, most_rows).columns, strict=True):
        column = column.combine_chunks()
        if column.null_count == len(column):
            continue
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            described.append({"name": name, "values": values, "whole": pa.types.is_integer(column.type)})
        else:
            encoded = pc.dictionary_encode(_as_texts(column))
            codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
            described.append({"name": name, "codes": codes, "words": encoded.dictionary.to_pylist()})
    return described


def _as_texts(column: pa.Array) -> pa.Array:
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "yes", "no")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.string())
    return pa.array([None if one is None else str(one) for one in column.to_pylist()], pa.string())
