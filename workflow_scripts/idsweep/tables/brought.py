"""Tables that users bring: metrics of models trained elsewhere, and published values to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from idsweep.tables import trainer_state

METRIC = pa.schema([pa.field("step", pa.int64()), pa.field("value", pa.float64())])
REFERENCE = pa.schema(
    [
        pa.field("model", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("layer", pa.int16()),
        pa.field("quantity", pa.string()),
        pa.field("step", pa.int64()),
        pa.field("value", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("source", pa.string()),
        pa.field("setting", pa.string()),
    ]
)
QUANTITIES = ("local_dimension", "redundancy")  # of reference rows, beside metrics
NEEDED = ("quantity", "value")  # columns
OVER_TRAINING = ("model", "step", "value")  # of rows that are not ranges


def read_metric(file: str | Path, metric: str | None = None) -> pa.Table:
    """A metric over training, columns of `METRIC`, in the order of the steps.

    file: CSV or Parquet, whose further columns are left out, or the trainer_state.json of transformers' Trainer, of which `metric` is
    read (`trainer_state.read_curves`).

    Raises ValueError if the file cannot be read, lacks the metric or a column or has it twice, or has no row, a missing, infinite or
    non-numeric value, a step that is negative, no whole number or there twice.
    """
    if Path(file).suffix == ".json":
        curves = trainer_state.read_curves(file)
        if metric not in curves:
            raise ValueError(f"{file} has no metric {metric!r}; it has {', '.join(curves) or 'none'}.")
        return pa.table({"step": [*curves[metric]], "value": [*curves[metric].values()]}, schema=METRIC)
    table = _columns(file, METRIC, needed=METRIC.names).sort_by("step")
    if pc.min(table["step"]).as_py() < 0 or pc.count_distinct(table["step"]).as_py() < len(table):
        raise ValueError(f"{file}: each step must occur once and must not be negative.")
    return table


def read_reference(file: str | Path, names: Mapping[str, Mapping[str, str]] | None = None) -> pa.Table:
    """Published values, columns of `REFERENCE`, from a CSV file.

    model is a model's name without its seed; quantity local_dimension (the mean over the points of one layer), redundancy or the
    name of a metric. dataset and layer are null where a value holds for all of them. lower and upper are a published range.
    setting says what a range was published against (N points, M sequences); null otherwise. A range alone, without a value, may hold for all
    models and steps, which are null then. names: of
    models and datasets, what stands for them in paths -> their names, where the two differ.

    Raises ValueError as `read_metric` does, but for steps that are there twice, and if lower is more than upper.
    """
    table = _columns(file, REFERENCE, needed=NEEDED, may_lack=("value",))
    is_range = pc.and_(pc.is_valid(table["lower"]), pc.is_valid(table["upper"]))
    for name in OVER_TRAINING:
        if pc.any(pc.and_(pc.is_null(table[name]), pc.invert(is_range))).as_py():
            raise ValueError(f"{file}, column {name!r}: a value is missing; only ranges (lower and upper) may lack it.")
    if (pc.min(table["step"]).as_py() or 0) < 0:
        raise ValueError(f"{file}, column 'step': steps must not be negative.")
    if pc.any(pc.greater(table["lower"], table["upper"])).as_py():
        raise ValueError(f"{file}: lower is more than upper in a row; lower is the smaller end of a range.")
    for column, named in (names or {}).items():
        values = pa.array([named.get(value, value) for value in table[column].to_pylist()], pa.string())
        table = table.set_column(table.column_names.index(column), column, values)
    return table


def _columns(
    file: str | Path, schema: pa.Schema, needed: tuple[str, ...] | list[str], may_lack: tuple[str, ...] = ()
) -> pa.Table:
    try:
        table = pq.read_table(file) if Path(file).suffix == ".parquet" else _read_csv(file, schema)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{file} cannot be read as a table with the columns {', '.join(schema.names)}: {error}"
        ) from error
    if missing := [name for name in needed if name not in table.column_names]:
        raise ValueError(
            f"{file} has no column {missing[0]!r}; it has {', '.join(table.column_names)}, and needs {', '.join(needed)}."
        )
    if twice := [name for name in schema.names if table.column_names.count(name) > 1]:
        raise ValueError(f"{file} has the column {twice[0]!r} twice; name each column once.")
    if not len(table):
        raise ValueError(f"{file} has no row.")
    columns: Mapping[str, pa.Array] = {}
    for field in schema:
        try:
            column = table[field.name] if field.name in table.column_names else pa.nulls(len(table))
            columns[field.name] = column.cast(field.type)
        except pa.ArrowException as error:
            raise ValueError(f"{file}, column {field.name!r}: expected {field.type} ({error}).") from error
        if field.name in needed and field.name not in may_lack and columns[field.name].null_count:
            raise ValueError(f"{file}, column {field.name!r}: a value is missing.")
        if pa.types.is_floating(field.type) and pc.all(pc.is_finite(columns[field.name])).as_py() is False:
            raise ValueError(f"{file}, column {field.name!r}: a value is infinite or not a number.")
    return pa.table(columns, schema=schema)


def _read_csv(file: str | Path, schema: pa.Schema) -> pa.Table:
    types = {field.name: pa.string() if pa.types.is_string(field.type) else pa.float64() for field in schema}
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    return pyarrow.csv.read_csv(file, convert_options=options)
