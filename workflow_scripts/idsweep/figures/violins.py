"""Distribution of the local estimates over layers, as violins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from idsweep.drawing import facts, style
from idsweep.drawing.selection import axis_label, n_seeds, rows_of

NEEDS = {"texts": False}
PANEL_HEIGHT = 1.75
INCHES_PER_VIOLIN = 0.08
MOST_PANELS = 24
VIOLIN = ["group", "model", "checkpoint", "dataset", "layer"]


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
    Where a model has several seeds, a violin holds the points of all of them.

    pointwise: one row per point, layer and run, columns `group, model, checkpoint, dataset, layer, estimator, value`
    and, if they are known, `n_neighbors` (for the label) and `set`. A violin spans the range of the
    values and all are equally wide; the bar inside is the interquartile range, the white mark the
    median. Estimates that are not finite are left out and counted below the panel. `limits` fixes
    the range of the y axis; estimates beyond it are counted too. There are at most 24 panels; models beyond are named
    below.

    Raises ValueError if what is asked for is not in the table.
    """
    rows = rows_of(pointwise, "pointwise", estimator, models=models, datasets=datasets, matrices=True)
    blocks = list(rows.groupby(["group", "checkpoint"], sort=False))
    names = list(rows["dataset"].unique())
    most = max(1, MOST_PANELS // len(names))
    blocks, left_out = blocks[:most], [group for (group, _), _ in blocks[most:]]
    sizes = rows.groupby(VIOLIN, sort=False, as_index=False).size().rename(columns={"size": "n_points"})
    most_layers = rows.groupby("group")["layer"].nunique().max()
    width = max(1.9, INCHES_PER_VIOLIN * most_layers)
    across, places = style.positions(len(blocks), len(names), width)
    total = style.COLUMN_WIDTH if across == 1 and width <= 2.6 else style.TEXT_WIDTH
    down = places[-1][-1][0] + 1
    drawn = style.figure(total, PANEL_HEIGHT * down)
    grid = drawn.add_gridspec(down, across)
    label = style.local_label("Local intrinsic dimension", estimator, rows).replace(" (", "\n(")
    colours = style.categories(len(names))
    inches = total / across - 0.5
    for of_places, ((group, checkpoint), of_block) in zip(places, blocks, strict=True):
        first = None
        seeds = style.seeds_note(n_seeds(of_block))
        for place, colour, dataset in zip(of_places, colours, names, strict=True):
            axes = drawn.add_subplot(grid[place], sharey=first)
            _violins(axes, of_block[of_block["dataset"] == dataset], colour, inches, limits)
            of_panel = (sizes["group"] == group) & (sizes["checkpoint"] == checkpoint) & (sizes["dataset"] == dataset)
            size = facts.of_panel(sizes[of_panel], sizes)
            style.title(axes, f"{group} ({checkpoint}){seeds}, {dataset}{size}", inches)
            style.label_outer(axes, "", first is None or place[1] == 0)
            first = first or axes
    style.below(drawn, f"{facts.below(sizes)}; bars: quartiles, white: median", style.not_drawn(left_out))
    style.beside(drawn, label)
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
    axes.set_xlabel(f"{axis_label(layers)}{note}")
