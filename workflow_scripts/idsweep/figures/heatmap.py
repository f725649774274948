"""Mean local intrinsic dimension over layers and checkpoints, as heat maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from idsweep.figures import style
from idsweep.figures.selection import IDENTITY, by_step, require_one_row_each, rows_of

MISSING = "0.85"
LETTER = 0.068


@style.styled
def draw(
    local: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    scale: str = "linear",
    annotate: bool = True,
) -> Figure:
    """Heat maps of the mean local ID, layer × checkpoint: a block per model, a panel per dataset.

    local: the summary table of local estimates (`model, checkpoint, step, dataset, layer, mean,
    n_undefined, …`). Models with a single checkpoint are left out. The columns are the checkpoints in
    order of training, equally spaced; the colour scale is shared within a model, and `scale` makes it
    "linear" or "log". With `annotate` the means are written into the cells where these are large enough. A cell without any defined
    estimate is grey.

    Raises ValueError if what is asked for is not in the table.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    blocks = {
        model: of_model for model, of_model in rows.groupby("model", sort=False) if of_model["checkpoint"].nunique() > 1
    }
    if not blocks:
        return style.statement(
            "No heat map over checkpoints to draw: no model in the table has more than one checkpoint "
            f"({', '.join(f'{model}: {checkpoint}' for model, checkpoint in _only_checkpoints(rows))})."
        )
    names = list(rows["dataset"].unique())
    most_checkpoints = max(of_model["checkpoint"].nunique() for of_model in blocks.values())
    across = style.columns(len(names), float(np.clip(0.26 * most_checkpoints, 1.8, 6.0)), margin=1.1)
    down = -(-len(names) // across)
    width = style.TEXT_WIDTH if across > 1 or most_checkpoints > 10 else style.COLUMN_WIDTH
    panel = (width - 1.1) / across
    heights = [float(np.clip(0.2 * of_model["layer"].nunique(), 1.0, 3.0)) for of_model in blocks.values()]
    drawn = style.figure(width, sum(height + 0.75 for height in heights) * down)
    grid = drawn.add_gridspec(
        down * len(blocks), across, height_ratios=[height for height in heights for _ in range(down)]
    )
    label = style.local_label("Mean local intrinsic dimension", estimator, rows)
    label = label.replace(" (", "\n(").replace(" intrinsic", "\nintrinsic")  # as long as the lowest panel is high
    for block, (of_model, height) in enumerate(zip(blocks.values(), heights, strict=True)):
        panels = []
        norm = style.value_norm(of_model["mean"], scale)
        for place, dataset in enumerate(names):
            axes = drawn.add_subplot(grid[block * down + place // across, place % across])
            chosen = of_model[of_model["dataset"] == dataset]
            mesh = _map(axes, chosen, norm, (panel, height), annotate)
            axes.set_title(f"{of_model['model'].iloc[0]}, {dataset}")
            style.label_outer(axes, "Layer", place % across == 0)
            panels.append(axes)
        bar = drawn.colorbar(mesh, ax=panels, label=label, aspect=18, pad=0.02)
        bar.outline.set_visible(False)
        style.value_axis(bar.ax, scale)
    return drawn


def _only_checkpoints(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(rows[["model", "checkpoint"]].drop_duplicates().itertuples(index=False, name=None))


def _map(
    axes: Axes,
    rows: pd.DataFrame,
    norm: Normalize,
    inches: tuple[float, float],
    annotate: bool,
) -> QuadMesh:
    checkpoints = by_step(rows)
    cells = rows.pivot(index="layer", columns="checkpoint", values="mean").sort_index()
    cells = cells[checkpoints["checkpoint"]]
    width, height = inches[0] / cells.shape[1], inches[1] / cells.shape[0]
    large = width >= 0.25 and height >= 0.14
    values = np.ma.masked_invalid(cells.to_numpy(dtype=float))
    mesh = axes.pcolormesh(
        values,
        cmap=style.sequence(),
        norm=norm,
        edgecolors="white" if large else "none",
        linewidth=0.5 if large else 0,
        # Viewers leave hairlines between the small cells of a vector drawing.
        rasterized=not large,
    )
    axes.set_facecolor(MISSING)
    if annotate and large:
        _write(axes, values, mesh)
    _ticks(axes, checkpoints, cells.index.to_list(), inches)
    note = style.undefined_note(int(rows["n_undefined"].sum()), "left out of the means")
    empty = "\n(grey: no defined estimate)" if values.mask.any() else ""
    steps = "Training step" if checkpoints["step"].notna().all() else "Checkpoint"
    axes.set_xlabel(f"{steps}{note}{empty}")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=2)
    return mesh


def _write(axes: Axes, values: np.ma.MaskedArray, mesh: QuadMesh) -> None:
    red, green, blue, _ = np.moveaxis(mesh.cmap(mesh.norm(values)), -1, 0)
    bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45
    for (row, column), value in np.ma.ndenumerate(values):
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:.1f}" if value < 99.95 else f"{value:.0f}",
            ha="center",
            va="center_baseline",
            fontsize=style.SMALL,
            color="black" if bright[row, column] else "white",
        )


def _ticks(axes: Axes, checkpoints: pd.DataFrame, layers: list[int], inches: tuple[float, float]) -> None:
    labels = [
        checkpoint if pd.isna(step) else style.step_label(step)
        for checkpoint, step in checkpoints.itertuples(index=False, name=None)
    ]
    lying = max(map(len, labels)) * LETTER + 0.04
    room = inches[0] / len(labels)
    upright = lying > room
    apart = style.stride(len(labels), inches[0] / 0.13) if upright else 1
    shown = range(0, len(labels), apart)
    axes.set_xticks([place + 0.5 for place in shown], [labels[place] for place in shown], rotation=90 * upright)
    apart = style.stride(len(layers), inches[1] / 0.14)
    shown = range(0, len(layers), apart)
    axes.set_yticks([place + 0.5 for place in shown], [str(layers[place]) for place in shown])
