"""From the estimates of many layers to tidy tables with everything that identifies a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from idsweep.files.atomic import whole_or_nothing
from idsweep.files.columns import ESTIMATES, IDENTITY, RUN
from idsweep.files.parquet import constant, provenance, read_table
from idsweep.files.vectors import each_representation
from idsweep.neighbors.variants import DATA

if TYPE_CHECKING:
    import pandas as pd

ESTIMATED = [IDENTITY.field("set"), ESTIMATES.field("estimator"), *(field for field in IDENTITY if field.name != "set")]
VARIANT = [pa.field("variant", pa.string())]
COUNTS = [pa.field("n_points", pa.int32()), pa.field("n_undefined", pa.int32()), pa.field("n_neighbors", pa.int32())]
SCALE = [pa.field("scale", pa.float64()), pa.field("scale_stable", pa.bool_())]
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
SUMMARY = ["mean", "standard_error", "standard_deviation", *QUANTILES]
# How texts begin that spreadsheets take for formulas, the signs of full width too.
FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
REDUNDANCY = [pa.field("redundancy", pa.float64())]
LOCAL = pa.schema(
    [*ESTIMATED, *VARIANT, *COUNTS, *(pa.field(name, pa.float64()) for name in SUMMARY), *SCALE, *REDUNDANCY]
)
GLOBAL = pa.schema(
    [
        *ESTIMATED,
        *VARIANT,
        *COUNTS,
        pa.field("value", pa.float64()),
        pa.field("standard_error", pa.float64()),
        *SCALE,
        *REDUNDANCY,
    ]
)
TRAINING = pa.schema(
    [
        *RUN,
        pa.field("step", pa.int64()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("varied", pa.string()),  # JSON object of the entry's varied keys, {} if there are none
    ]
)

SHIFTED = [*IDENTITY, pa.field("base_model", pa.string()), pa.field("base_checkpoint", pa.string())]


class Estimates(NamedTuple):
    """All estimates of a sweep: columns of `LOCAL` and of `GLOBAL`, a row per estimator, representation and variant.

    local: summaries of the pointwise estimates. Mean, its standard error, standard deviation (n - 1) and quantiles are
    over the defined values; `n_undefined` counts the others. redundancy: 1 - dimension / extrinsic dimension
    (arXiv:2503.02142), of the mean or global value.
    """

    local: pa.Table
    global_: pa.Table


def collect_estimates(files: Iterable[str]) -> Estimates:
    """The tables of many estimates files, each of which is read once."""
    summaries: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    for identity, estimates in chain.from_iterable(map(each_representation, files)):
        width = identity["extrinsic_dimension"]
        of_cloud = estimates.filter(pc.equal(estimates["scope"], "global")).to_pylist()
        summaries += [identity | row | {"redundancy": 1 - row["mean"] / width} for row in _summaries(estimates)]
        values += [identity | row | {"redundancy": 1 - row["value"] / width} for row in of_cloud]
    return Estimates(pa.Table.from_pylist(summaries, schema=LOCAL), pa.Table.from_pylist(values, schema=GLOBAL))


def _summaries(estimates: pa.Table) -> Iterator[dict[str, Any]]:
    values = estimates.filter(pc.equal(estimates["scope"], "local"))
    for mean in estimates.filter(pc.equal(estimates["scope"], "mean")).to_pylist():
        same = pc.and_(*(pc.equal(values[key], mean[key]) for key in ("estimator", "variant")))
        yield mean | {"mean": mean["value"]} | _spread(values.filter(same)["value"].to_numpy())


def _spread(values: np.ndarray) -> dict[str, float]:
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return dict.fromkeys(["standard_deviation", *QUANTILES], float("nan"))
    deviation = values.std(ddof=1) if len(values) > 1 else float("nan")
    quantiles = np.quantile(values, list(QUANTILES.values()))
    return {"standard_deviation": deviation} | dict(zip(QUANTILES, quantiles, strict=True))


def identified(
    parts: Sequence[tuple[Mapping[str, Any], pa.Table]], identity: Iterable[pa.Field] = IDENTITY
) -> pa.Table:
    """Tables of the same columns as one, with columns before them that tell which rows are whose.

    parts: what identifies the rows of a table (null where a part does not say), and the table.
    """
    fields = list(identity)
    return pa.concat_tables([_with_columns(table, fields, whose) for whose, table in parts])


def _with_columns(table: pa.Table, fields: Sequence[pa.Field], values: Mapping[str, Any]) -> pa.Table:
    added = {field.name: constant(values.get(field.name), field.type, len(table)) for field in fields}
    return pa.table(added | {name: table[name] for name in table.column_names})


def training_curves(parts: Iterable[tuple[Mapping[str, Any], pa.Table]]) -> pa.Table:
    """Metrics over training of several models, columns of `TRAINING`; an empty table if there are no parts.

    parts: what identifies the rows (model, group, seed, varied, and metric unless that is a column), and a table of them with the columns
        step and value. Raises ValueError if two parts hold the same metric of one model at one step.
    """
    rows = [
        {field.name: whose.get(field.name) for field in TRAINING} | row
        for whose, table in parts
        for row in table.to_pylist()
    ]
    seen = set()
    for row in rows:
        key = row["model"], row["metric"], row["step"]
        if key in seen:
            raise ValueError(f"The metric {row['metric']!r} of {row['model']} occurs twice at step {row['step']}.")
        seen.add(key)
    return pa.Table.from_pylist(rows, schema=TRAINING)


def read_frame(
    table: str, files: str | Sequence[str], names: Mapping[str, Mapping[str, str]] | None = None
) -> pd.DataFrame:
    """A table of the sweep as a pandas DataFrame.

    `pointwise` and `compared` are made of the local estimates of the data in several estimates files, one row per point,
    `predictions` (model, checkpoint, dataset, point, and each measure) of several files of predictions. names: for these, of
    each of the first three, what stands in paths -> its name, where the two differ.
    """
    if table == "predictions":
        keys = [IDENTITY.field(name) for name in ("model", "checkpoint", "dataset")]
        parts = [(provenance(file)["wildcards"], read_table(file)) for file in _listed(files)]
        named = [({key: _name(names or {}, key, path) for key, path in at.items()}, part) for at, part in parts]
        return identified(named, keys).to_pandas()
    if table not in ("pointwise", "compared"):
        return read_table(files).to_pandas()
    return pa.concat_tables([_local_of_data(read_table(file)) for file in _listed(files)]).to_pandas()


def _name(names: Mapping[str, Mapping[str, str]], key: str, path: str) -> str:
    return names.get(key, {}).get(path, path)


def _listed(files: str | Sequence[str]) -> Sequence[str]:
    return [files] if isinstance(files, str) else files


def write_csv(source: str, target: str, *, escape_formulas: bool = False) -> None:
    """Copy a Parquet table to CSV; numbers keep all their digits.

    escape_formulas: put a ' before texts that a spreadsheet would take for a formula (`FORMULA`).
    """
    table = read_table(source)
    if escape_formulas:
        table = pa.table({name: _without_formulas(table[name]) for name in table.column_names})
    with whole_or_nothing(target) as unfinished:
        pyarrow.csv.write_csv(table, unfinished, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _without_formulas(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return column
    texts = column.cast(kind)
    return pc.if_else(
        pc.match_substring_regex(texts, FORMULA), pc.binary_join_element_wise(pa.scalar("'", kind), texts, ""), texts
    )


def _local_of_data(estimates: pa.Table) -> pa.Table:
    return estimates.filter(pc.and_(pc.equal(estimates["scope"], "local"), pc.equal(estimates["variant"], DATA)))


def local_values(estimates: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Estimator -> points, int32 (N,), and their values, float64 (N,), of the local estimates of the data."""
    local = _local_of_data(estimates)
    found = {}
    for name in pc.unique(local["estimator"]).to_pylist():
        rows = local.filter(pc.equal(local["estimator"], name))
        found[name] = rows["point"].to_numpy(), rows["value"].to_numpy()
    return found
