"""Lines of the table on the screen say what the estimates hold."""

from __future__ import annotations

from math import nan

import pyarrow as pa
import pytest
from idsweep.measuring.rows import Table, lines_of
from idsweep.tables.collect import GLOBAL, Estimates

ROW = {
    "model": "m", "checkpoint": "final", "dataset": "vocabulary", "representation": "vectors", "variant": "data",
    "estimator": "twonn", "n_points": 686, "n_undefined": 0, "mean": 5.979, "standard_error": 0.1, "scale_stable": None,
}  # fmt: skip
NO_GLOBAL = GLOBAL.empty_table()


@pytest.mark.parametrize(
    ("undefined", "error", "line"),
    [
        (0, 0.1, "vectors      686     5.98   ± 0.20"),
        (683, nan, "vectors      686     5.98"),
        (683, nan, "TwoNN undefined at 683 points"),
    ],
)
def test_a_mean_over_few_of_the_points_is_told(undefined: int, error: float, line: str) -> None:
    row = ROW | {"n_undefined": undefined, "standard_error": error}
    ((place, columns),) = lines_of(Estimates(pa.Table.from_pylist([row]), NO_GLOBAL), {}).items()
    printed = Table([place], whole=False).line(place, columns)
    assert printed.startswith(line) or printed.endswith(line)
