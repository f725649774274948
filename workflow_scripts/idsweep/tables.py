"""From the estimates of many layers to tidy tables with everything that identifies a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from idsweep.store import provenance, read_estimates, read_table, whole_or_nothing

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = [
    pa.field("set", pa.string()),
    pa.field("estimator", pa.string()),
    pa.field("model", pa.string()),
    pa.field("seed", pa.int32()),
    pa.field("checkpoint", pa.string()),
    pa.field("step", pa.int64()),
    pa.field("dataset", pa.string()),
    pa.field("split", pa.string()),
    pa.field("layer", pa.int16()),
]
COUNTS = [pa.field("n_points", pa.int32()), pa.field("n_undefined", pa.int32()), pa.field("n_neighbors", pa.int32())]
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
LOCAL = pa.schema(
    [*IDENTITY, *COUNTS, *(pa.field(name, pa.float64()) for name in ("mean", "standard_deviation", *QUANTILES))]
)
GLOBAL = pa.schema([*IDENTITY, *COUNTS, pa.field("value", pa.float64()), pa.field("standard_error", pa.float64())])
TRAINING = pa.schema(
    [
        pa.field("model", pa.string()),
        pa.field("seed", pa.int32()),
        pa.field("step", pa.int64()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64()),
    ]
)


def local_summaries(files: Iterable[str]) -> pa.Table:
    """Summary of the pointwise estimates, columns of `LOCAL`: one row per estimator and layer.

    Mean, standard deviation (n - 1) and quantiles are over the defined values; `n_undefined` counts the others.
    """
    rows = []
    for identity, estimates in _estimates(files, "local"):
        for name in pc.unique(estimates["estimator"]).to_pylist():
            part = estimates.filter(pc.equal(estimates["estimator"], name))
            values = part["value"].to_numpy()
            defined = values[~np.isnan(values)]
            rows.append(
                identity
                | {"estimator": name, "n_neighbors": part["n_neighbors"][0].as_py()}
                | {"n_points": len(values), "n_undefined": len(values) - len(defined)}
                | _summary(defined)
            )
    return pa.Table.from_pylist(rows, schema=LOCAL)


def _summary(values: np.ndarray) -> dict[str, float]:
    if len(values) == 0:
        return dict.fromkeys(["mean", "standard_deviation", *QUANTILES], float("nan"))
    deviation = values.std(ddof=1) if len(values) > 1 else float("nan")
    quantiles = np.quantile(values, list(QUANTILES.values()))
    return {"mean": values.mean(), "standard_deviation": deviation} | dict(zip(QUANTILES, quantiles, strict=True))


def global_estimates(files: Iterable[str]) -> pa.Table:
    """The global estimates, columns of `GLOBAL`: one row per estimator and layer."""
    rows = [
        identity | estimate
        for identity, estimates in _estimates(files, "global")
        for estimate in estimates.drop_columns(["scope", "point"]).to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=GLOBAL)


def training_curves(files: Sequence[str]) -> pa.Table:
    """Training metrics of several models, columns of `TRAINING`; an empty table if there are no files.

    Which model and seed a file is of stands in its provenance.
    """
    parts = []
    for file in files:
        made_by = provenance(file)
        whose = {"model": made_by["wildcards"]["model"], "seed": made_by["settings"]["training"]["seed"]}
        parts += [whose | row for row in read_table(file).to_pylist()]
    return pa.Table.from_pylist(parts, schema=TRAINING)


def read_frame(table: str, files: str | Sequence[str]) -> pd.DataFrame:
    """A table of the sweep as a pandas DataFrame.

    `pointwise` is made of the local estimates in several estimates files, one row per point.
    """
    if table != "pointwise":
        return read_table(files).to_pandas()
    parts = []
    for identity, estimates in _estimates([files] if isinstance(files, str) else files, "local"):
        for field in IDENTITY:
            if field.name != "estimator":
                column = pa.array([identity[field.name]] * len(estimates), field.type)
                estimates = estimates.append_column(field, column)
        parts.append(estimates)
    return pa.concat_tables(parts).to_pandas()


def write_csv(source: str, target: str) -> None:
    """Copy a Parquet table to CSV; numbers keep all their digits."""
    with whole_or_nothing(target) as unfinished:
        pyarrow.csv.write_csv(read_table(source), unfinished, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _estimates(files: Iterable[str], scope: str) -> Iterable[tuple[dict[str, Any], pa.Table]]:
    for file in files:
        table = read_estimates(file)
        yield provenance(file)["identity"], table.filter(pc.equal(table["scope"], scope))
