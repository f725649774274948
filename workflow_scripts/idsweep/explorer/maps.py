"""Where points lie in the plane of most variance, in as much room as a page has for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from idsweep.explorer.points import Where, empty_codes, put_codes
from idsweep.explorer.series import places
from idsweep.files.parquet import open_file, read_table, to_numpy

AXES = ("x", "y")


class MapFile(NamedTuple):
    """A file of projected points, and the pass that they are of."""

    model: str
    checkpoint: str
    dataset: str
    file: str


def count_values(maps: Iterable[MapFile]) -> int:
    """How many numbers the page has to hold for all points of some maps."""
    return sum(len(AXES) * open_file(one.file).metadata.num_rows for one in maps)


def describe_maps(
    maps: Sequence[MapFile], kept: Mapping[Where, np.ndarray], models: Iterable[Mapping[str, Any]]
) -> dict[Where, dict[str, Any]]:
    """The map of every representation at every checkpoint, for each model and dataset.

    kept: rows of the tokens of each model and dataset that the page shows, int (P,), increasing. models: as `series` describes them.

    `x` and `y`: codes uint16 (representations × checkpoints × points,), and low, high, is_log (representations × checkpoints,), as `Quantized`
    has them. `x_share` and `y_share`: float32 (representations × checkpoints,), NaN where there is no map. Checkpoints that the tables do not
    have are left out.
    """
    placed = {model["name"]: places(model) for model in models}
    found: dict[Where, dict[str, Any]] = {}
    for one in maps:
        at = one.model, one.dataset
        row, column = placed.get(one.model, ({}, {}))
        if at not in kept or one.checkpoint not in column:
            continue
        size = len(row) * len(column)
        if at not in found:
            shares = {f"{axis}_share": np.full(size, np.nan, dtype=np.float32) for axis in AXES}
            found[at] = {axis: empty_codes(size, len(kept[at])) for axis in AXES} | shares
        table = read_table(one.file)
        for name in pc.unique(table["representation"]).to_pylist():
            if name not in row:
                continue
            rows = table.filter(pc.equal(table["representation"], name))
            cell = row[name] * len(column) + column[one.checkpoint]
            for axis in AXES:
                values = to_numpy(rows[axis]).astype(np.float64)
                put_codes(found[at][axis], cell, kept[at], to_numpy(rows["point"]), values)
                found[at][f"{axis}_share"][cell] = rows[f"{axis}_share"][0].as_py()
    return found


def leave_out(of_map: dict[str, Any], stays: np.ndarray) -> None:
    """Leave points out of a map: those where `stays`, bool (P,), is false."""
    for axis in AXES:
        of_map[axis]["codes"] = of_map[axis]["codes"].reshape(-1, len(stays))[:, stays].ravel()
