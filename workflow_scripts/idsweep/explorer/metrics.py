"""Losses, metrics, events and published values, as the page shows them beside the curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

SECONDS = ("lower", "upper")
EVENT = [
    "set",
    "estimator",
    "dataset",
    "representation",
    "cloud",
    "curve",
    "event",
    "step",
    "lower",
    "upper",
    "n_seeds",
]
PUBLISHED = ["model", "dataset", "layer", "quantity", "step", "value", "lower", "upper", "source"]


def describe_metrics(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Curves of metrics: model, metric, dataset (null: of the training), steps float64 and values, lower, upper float32 (NaN: none).

    tables: `training` and `losses`, where the sweep has them.
    """
    curves = []
    if "training" in tables:
        for (model, metric), rows in tables["training"].groupby(["model", "metric"], sort=False):
            curves.append({"model": model, "metric": metric, "dataset": None} | _curve(rows, "value"))
    if "losses" in tables:
        rows = tables["losses"].dropna(subset=["step"])
        for (model, dataset), of_dataset in rows.groupby(["model", "dataset"], sort=False):
            curves.append({"model": model, "metric": "loss", "dataset": dataset} | _curve(of_dataset, "loss"))
    return curves


def _curve(rows: pd.DataFrame, value: str) -> dict[str, np.ndarray]:
    rows = rows.sort_values("step")
    bounds = {
        name: (rows[name] if name in rows else pd.Series(np.nan, rows.index)).to_numpy(np.float32) for name in SECONDS
    }
    return {"steps": rows["step"].to_numpy(np.float64), "values": rows[value].to_numpy(np.float32)} | bounds


def describe_rows(frame: pd.DataFrame | None, columns: list[str]) -> list[dict[str, Any]]:
    """Some columns of a small table, a mapping for each row; null where there is no value."""
    if frame is None:
        return []
    rows = frame[columns].astype(object).where(frame[columns].notna(), None).to_dict("records")
    return [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()} for row in rows
    ]


def describe_events(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Events of curves: `group` (the table's model), and the columns `EVENT`."""
    if frame is None:
        return []
    return describe_rows(frame.rename(columns={"model": "group"}), ["group", *EVENT])


def describe_published(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Published values: the columns `PUBLISHED`."""
    return describe_rows(frame, PUBLISHED)
