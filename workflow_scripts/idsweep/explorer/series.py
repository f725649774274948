"""What a sweep measured, as matrices of layers × checkpoints: what heat maps, curves and profiles of the page are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from idsweep.files.representations import in_order, layer_of
from idsweep.tables.collect import SUMMARY

SERIES = ["model", "dataset", "set", "estimator", "scope", "variant", "cloud"]
QUANTITIES = {"local": SUMMARY, "global": ["mean", "standard_error"]}
COUNTS = ("n_points", "n_undefined")
STABILITY = {True: 1, False: 0}  # of scale_stable; 2 where it is not known


def describe_models(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each model: its name, group, seed, checkpoints (name and step, by step), and representations (name and layer, in order).

    frame: rows of the tables of local and of global estimates.
    """
    models = []
    for name, of_model in frame.groupby("model", sort=False):
        checkpoints = of_model[["checkpoint", "step"]].drop_duplicates("checkpoint")
        checkpoints = checkpoints.sort_values("step", kind="stable", na_position="first")
        names = in_order(of_model["representation"].unique().tolist())
        first = of_model.iloc[0]
        models.append(
            {
                "name": name,
                "group": first["group"] if isinstance(first["group"], str) else name,
                "seed": None if pd.isna(first["seed"]) else int(first["seed"]),
                "checkpoints": [
                    {"name": checkpoint, "step": None if pd.isna(step) else int(step)}
                    for checkpoint, step in checkpoints.itertuples(index=False)
                ],
                "representations": [{"name": one, "layer": layer_of(one)} for one in names],
            }
        )
    return models


def describe_series(local: pd.DataFrame, global_: pd.DataFrame, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each series: what it is of (`SERIES`, split, n_neighbors), and a matrix for each quantity, float32 (representations × checkpoints,).

    Rows and columns are those of the model in `describe_models`; NaN where nothing was measured. `stable`: uint8, 1 where values are
    scale-stable, 0 where not, 2 where that is not known. A null of `variant` counts as such.
    """
    placed = {model["name"]: places(model) for model in models}
    series = []
    for frame, scope in ((local, "local"), (global_.rename(columns={"value": "mean"}), "global")):
        for keys, rows in frame.assign(scope=scope).groupby(SERIES, sort=False, dropna=False):
            named = dict(zip(SERIES, keys, strict=True))
            row, column = placed[named["model"]]
            size = len(row) * len(column)
            at = (rows["representation"].map(row) * len(column) + rows["checkpoint"].map(column)).to_numpy()
            matrices = {name: _matrix(rows[name], at, size) for name in [*QUANTITIES[scope], *COUNTS]}
            stable = np.full(size, 2, dtype=np.uint8)
            stable[at] = [STABILITY.get(value, 2) for value in rows["scale_stable"]]
            of_first = rows.iloc[0]
            series.append(
                {name: None if pd.isna(value) else value for name, value in named.items()}
                | {"split": None if pd.isna(of_first["split"]) else of_first["split"]}
                | {"n_neighbors": None if pd.isna(of_first["n_neighbors"]) else int(of_first["n_neighbors"])}
                | {"matrices": matrices | {"stable": stable}}
            )
    return series


def places(model: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Representation -> its row, and checkpoint -> its column, in the matrices of a model."""
    rows, columns = (
        {one["name"]: place for place, one in enumerate(model[key])} for key in ("representations", "checkpoints")
    )
    return rows, columns


def _matrix(values: pd.Series, at: np.ndarray, size: int) -> np.ndarray:
    matrix = np.full(size, np.nan, dtype=np.float32)
    matrix[at] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return matrix
