"""Distribution of the local estimates over layers, as violins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from idsweep.figures import style
from idsweep.figures.selection import rows_of

PANEL_HEIGHT = 1.75
INCHES_PER_VIOLIN = 0.08


@style.styled
def draw(
    pointwise: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    limits: Sequence[float] | None = None,
) -> Figure:
    """Violins of the local estimates per layer: one block of panels per model and checkpoint, a panel per dataset.

    pointwise: one row per point and layer, columns `model, checkpoint, dataset, layer, estimator, value`
    and, if they are known, `n_neighbors` (for the label) and `set`. A violin spans the range of the
    values and all are equally wide; the bar inside is the interquartile range, the white mark the
    median. Estimates that are not finite are left out and counted below the panel. `limits` fixes
    the range of the y axis; estimates beyond it are counted too.

    Raises ValueError if what is asked for is not in the table.
    """
    rows = rows_of(pointwise, "pointwise", estimator, models=models, datasets=datasets)
    blocks = list(rows.groupby(["model", "checkpoint"], sort=False))
    names = list(rows["dataset"].unique())
    most_layers = rows.groupby("model")["layer"].nunique().max()
    width = max(1.9, INCHES_PER_VIOLIN * most_layers)
    across = style.columns(len(names), width)
    down = -(-len(names) // across)
    total = style.COLUMN_WIDTH if across == 1 and width <= 2.6 else style.TEXT_WIDTH
    drawn = style.figure(total, PANEL_HEIGHT * down * len(blocks))
    grid = drawn.add_gridspec(down * len(blocks), across)
    label = style.local_label("Local intrinsic dimension", estimator, rows).replace(" (", "\n(")
    colours = style.categories(len(names))
    for block, ((model, checkpoint), of_block) in enumerate(blocks):
        first = None
        for place, dataset in enumerate(names):
            axes = drawn.add_subplot(grid[block * down + place // across, place % across], sharey=first)
            first = first or axes
            _violins(axes, of_block[of_block["dataset"] == dataset], colours[place], total / across - 0.5, limits)
            axes.set_title(f"{model} ({checkpoint}), {dataset}")
            style.label_outer(axes, "", place % across == 0)
    drawn.supylabel(label, fontsize=style.NORMAL, multialignment="center")
    return drawn


def _violins(axes: Axes, rows: pd.DataFrame, colour: tuple, inches: float, limits: Sequence[float] | None) -> None:
    layers = sorted(rows["layer"].unique())
    finite = rows[np.isfinite(rows["value"].astype(float))]
    narrow = inches / len(layers) < 0.2
    if not finite.empty:
        seaborn.violinplot(
            x=finite["layer"].map({layer: place for place, layer in enumerate(layers)}).to_numpy(),
            y=finite["value"].to_numpy(dtype=float),
            ax=axes,
            native_scale=True,
            cut=0,
            width=0.9,
            density_norm="width",
            color=colour,
            linewidth=0.4 if narrow else 0.6,
            inner="box",
            inner_kws={"box_width": 1.5 if narrow else 3, "whis_width": 0, "color": "0.15"},
        )
    axes.set_xlim(-0.6, len(layers) - 0.4)
    style.layer_ticks(axes, layers, "x", inches, 0.2)
    axes.set_ylabel("")
    note = style.undefined_note(len(rows) - len(finite), "not drawn")
    if limits is not None:
        axes.set_ylim(*limits)
        beyond = int((~finite["value"].between(*limits)).sum())
        note += f"\n({beyond:,} beyond the axis)" if beyond else ""
    axes.set_xlabel(f"Layer{note}")
