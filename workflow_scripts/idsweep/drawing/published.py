"""Published ranges behind what was measured."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from idsweep.drawing import style


def ranges(
    reference: pd.DataFrame,
    quantity: str,
    *,
    group: str | None = None,
    dataset: str | None = None,
    setting: str | None = None,
) -> pd.DataFrame:
    """The rows of the reference table that are ranges of a quantity without a value; those that name no model or dataset hold for each.

    setting: what they were published against.
    """
    rows = reference[(reference["quantity"] == quantity) & reference["value"].isna()]
    rows = rows[rows["setting"].isna() if setting is None else rows["setting"] == setting]
    for column, value in (("model", group), ("dataset", dataset)):
        if value is not None:
            rows = rows[rows[column].isna() | (rows[column] == value)]
    return rows


def shade(axes: Axes, rows: pd.DataFrame) -> None:
    """Shade the ranges behind what is drawn."""
    for row in rows.itertuples():
        axes.axhspan(row.lower, row.upper, facecolor=style.GREY, alpha=0.25, linewidth=0, zorder=0)


def note(rows: pd.DataFrame) -> str:
    """In words where shaded ranges come from; empty for none."""
    if rows.empty:
        return ""
    said = [f"{row.lower:g} \N{EN DASH} {row.upper:g}" for row in rows.drop_duplicates(["lower", "upper"]).itertuples()]
    sources = "; ".join(dict.fromkeys(rows["source"].dropna()))
    return f"Shaded: published, {', '.join(said)}{f' ({sources})' if sources else ''}"
