"""Local values of the data in two estimates, at the tokens that both have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from idsweep.files.columns import IDENTITY
from idsweep.files.parquet import damage_told, open_file, require_columns
from idsweep.neighbors.variants import DATA

COLUMNS = ["estimator", "scope", "variant", "point", "value", "standard_error"]


def common_places(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the points that both have stand in each, int64 (n,), in increasing order of the points. Both: distinct, int (N,)."""
    _, of_points, of_others = np.intersect1d(points, others, assume_unique=True, return_indices=True)
    return of_points, of_others


def check_points(whose: str, points: np.ndarray, n_values: int, n_tokens: int, mend: str = "") -> None:
    """Raise ValueError if points repeat, are as many as other values, or are none of the sampled tokens.

    whose: begins the message. mend: ends that about tokens.
    """
    if len(points) != n_values:
        raise ValueError(f"{whose} has {len(points)} points and {n_values} values; each needs one.")
    if len(np.unique(points)) != len(points):
        raise ValueError(f"{whose} has points that repeat; give the estimates of one representation.")
    if len(points) and not 0 <= points.min() <= points.max() < n_tokens:
        raise ValueError(
            f"{whose} has points from {points.min()} to {points.max()}; the sampled tokens are 0 to "
            f"{n_tokens - 1}.{mend and f' {mend}'}"
        )


class Local(NamedTuple):
    """Points, int32 (N,), their values, float64 (N,), NaN where undefined, and the standard error of their mean, NaN where not known."""

    points: np.ndarray
    values: np.ndarray
    standard_error: float


def read_local(path: str) -> Iterator[tuple[dict[str, Any], dict[str, Local]]]:
    """What identifies each representation in an estimates file, and its local values of the data.

    These are: estimator -> `Local`. The file is opened once, and only
    the columns that matter are read, one representation after the other, in half of the time that `read_identities`,
    `read_estimates` and `local_values` take.

    Raises FileNotFoundError, or ValueError if the file holds other columns or is damaged.
    """
    file = open_file(path)
    require_columns(path, file.schema_arrow.names, [*IDENTITY.names, *COLUMNS])
    groups = [file.metadata.row_group(place).column(0).statistics.min for place in range(file.num_row_groups)]
    for _, places in groupby(range(len(groups)), key=groups.__getitem__):
        row_groups = list(places)
        with damage_told(path):
            first = next(file.iter_batches(1, row_groups=row_groups[:1], columns=IDENTITY.names, use_threads=False))
            table = file.read_row_groups(row_groups, columns=COLUMNS, use_threads=False)
            table.validate(full=True)
        yield first.to_pylist()[0], _by_estimator(table)


def _by_estimator(estimates: pa.Table) -> dict[str, Local]:
    of_data = pc.equal(estimates["variant"], DATA)
    is_local, is_mean = (
        pc.and_(pc.equal(estimates["scope"], scope), of_data).to_numpy() for scope in ("local", "mean")
    )
    estimators = estimates["estimator"].combine_chunks().dictionary_encode()
    codes = estimators.indices.to_numpy()
    points, values, errors = (estimates[name].to_numpy() for name in ("point", "value", "standard_error"))
    found = {}
    for code, name in enumerate(estimators.dictionary.to_pylist()):
        rows = is_local & (codes == code)
        if rows.any():
            of_mean = errors[is_mean & (codes == code)]
            found[name] = Local(
                points[rows].astype(np.int32), values[rows], float(of_mean[0]) if len(of_mean) else np.nan
            )
    return found
