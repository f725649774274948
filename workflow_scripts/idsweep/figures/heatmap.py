"""Mean local intrinsic dimension over layers and checkpoints, as heat maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from idsweep.drawing import facts, style
from idsweep.drawing.selection import IDENTITY, by_step, n_seeds, require_one_row_each, rows_of

MISSING = "0.85"
MANY_DOTS = 500
OF_LAYER = "From lowest to highest\nmean of each layer"
LETTER = 0.068
BAR_WIDTH = 0.9
MARGIN = 0.4
CELL = 0.26
MOST_PANELS = 24
COLOURS = ("robust", "full", "layer")
WHISKER = 1.5  # times the distance of the quartiles, beyond which a mean is an outlier (Tukey 1977)
FRAME = {"facecolor": "none", "edgecolor": "black", "linewidth": 1.4}
DOT = {
    "marker": "o",
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.4,
    "linestyle": "none",
}
JOINED = {"color": "white", "linewidth": 0.9, "path_effects": [withStroke(linewidth=2, foreground="0.15")]}


@style.styled
def draw(
    local: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    scale: str = "linear",
    colours: str = "robust",
    annotate: bool = True,
    peaks: bool = True,
) -> Figure:
    """Heat maps of the mean local ID, layer × checkpoint: a block per model, a panel per dataset. The means are over the
    seeds too where a model has several. Frames, or a line, mark the layer at which each checkpoint's means peak; dots mark
    means that are not scale-stable. Colours reach over all means but outliers, which lie beyond the quartiles by more than 1.5
    times their distance; arrows at the bar of colours say that there are some.

    local: the summary table of local estimates (`group, model, checkpoint, step, dataset, layer, mean,
    n_undefined, …`). Models with a single checkpoint are left out. The columns are the checkpoints in
    order of training, equally spaced; the colour scale is shared within a model, and `scale` makes it
    "linear" or "log". `colours` is "robust" (as above), "full", from the lowest to the highest mean, or "layer": each layer's
    means from its own lowest to its own highest, which shows when layers move and not which is higher. With `annotate` the means are written into the cells where these are large enough, and `peaks`
    marks the peaks where there are three layers or more. A cell without any defined estimate is grey. There are at most
    24 panels; models beyond are named below.

    Raises ValueError if what is asked for is not in the table.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    if colours not in COLOURS:
        raise ValueError(f"colours = {colours!r} is not known; it must be one of {', '.join(COLOURS)}.")
    blocks = {
        group: of_group for group, of_group in rows.groupby("group", sort=False) if of_group["checkpoint"].nunique() > 1
    }
    if not blocks:
        return style.statement(
            "No heat map over checkpoints to draw: no model in the table has more than one checkpoint "
            f"({', '.join(f'{group}: {checkpoint}' for group, checkpoint in _only_checkpoints(rows))})."
        )
    names = list(rows["dataset"].unique())
    kept = list(blocks)[: max(1, MOST_PANELS // len(names))]
    left_out = list(blocks)[len(kept) :]
    rows = rows[rows["group"].isin(kept)]
    most_checkpoints = max(blocks[group]["checkpoint"].nunique() for group in kept)
    most_layers = max(blocks[group]["layer"].nunique() for group in kept)
    written = annotate and CELL * most_checkpoints + BAR_WIDTH + MARGIN <= style.TEXT_WIDTH and most_layers <= 20
    least = float(np.clip(CELL * most_checkpoints, 1.8, None if written else 2.3))
    own_bars = BAR_WIDTH if len(names) == 1 else 0
    across, places = style.positions(len(kept), len(names), least + own_bars, BAR_WIDTH - own_bars + MARGIN)
    width = style.TEXT_WIDTH if across > 1 or most_checkpoints > 10 else style.COLUMN_WIDTH
    panel = (width - MARGIN - (BAR_WIDTH if own_bars == 0 else 0)) / across - own_bars
    heights: dict[int, float] = {}
    for group, of_places in zip(kept, places, strict=True):
        layers = blocks[group]["layer"].nunique()
        height = float(np.clip(0.2 * layers, 1.0, 3.0) if written else np.clip(0.07 * layers, 1.0, 1.8))
        heights |= {row: max(height, heights.get(row, 0.0)) for row, _ in of_places}
    drawn = style.figure(width, sum(height + 0.75 for height in heights.values()) + 0.4)
    grid = drawn.add_gridspec(len(heights), across, height_ratios=list(heights.values()))
    shown_marks: dict[str, Artist] = {}
    for group, of_places in zip(kept, places, strict=True):
        of_group = blocks[group]
        panels = []
        norm, beyond = _norm(_cells(of_group, ["dataset", "layer"]), scale, colours)
        for place, dataset in zip(of_places, names, strict=True):
            axes = drawn.add_subplot(grid[place])
            chosen = of_group[of_group["dataset"] == dataset]
            mesh, found = _map(axes, chosen, norm, (panel, heights[place[0]]), annotate, peaks)
            shown_marks |= found
            style.title(axes, f"{group}, {dataset}{facts.of_panel(chosen, rows)}", panel)
            style.label_outer(axes, "Layer", not panels or place[1] == 0)
            panels.append(axes)
        label = _label(of_group, estimator) if colours != "layer" else OF_LAYER
        bar = drawn.colorbar(mesh, ax=panels, label=label, aspect=18, pad=0.02, extend=beyond)
        bar.outline.set_visible(False)
        style.value_axis(bar.ax, scale if colours != "layer" else "linear")
    written_means = _label(rows, estimator).replace("\n", " ") if colours == "layer" and written else ""
    style.below(drawn, facts.below(rows), written_means, style.not_drawn(left_out))
    if shown_marks:
        drawn.legend(handles=list(shown_marks.values()), loc="outside upper left", ncols=len(shown_marks))
    return drawn


def _norm(cells: pd.DataFrame, scale: str, colours: str) -> tuple[Normalize | None, str]:
    """The norm of a model's colours, None where each layer has its own, and at which ends means lie beyond it."""
    if colours == "layer":
        return None, "neither"
    values = cells.stack().dropna()
    if colours == "full":
        return style.value_norm(values, scale), "neither"
    placed = np.log(values[values > 0]) if scale == "log" else values
    low, high = placed.quantile(0.25), placed.quantile(0.75)
    reach = WHISKER * (high - low)
    inside = values[placed.index][placed.between(low - reach, high + reach)]
    if inside.nunique() < 2:  # most means are equal: what differs from them is no outlier
        inside = values
    below, above = (values < inside.min()).any(), (values > inside.max()).any()
    return style.value_norm(inside, scale), {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[
        below, above
    ]


def _label(rows: pd.DataFrame, estimator: str) -> str:
    """In lines that are as long as the lowest panel is high."""
    label = style.local_label("Mean local intrinsic dimension", estimator, rows)
    label = label.replace(" (", "\n(").replace(" intrinsic", "\nintrinsic")
    return label + style.seeds_note(n_seeds(rows), "\nmean of ")


def _cells(rows: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """The means over seeds, checkpoints as columns in order of training, NaN where none is defined."""
    cells = rows.groupby([*index, "checkpoint"])["mean"].mean().unstack("checkpoint")
    return cells[by_step(rows)["checkpoint"]]


def _only_checkpoints(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(rows[["group", "checkpoint"]].drop_duplicates().itertuples(index=False, name=None))


def _map(
    axes: Axes,
    rows: pd.DataFrame,
    norm: Normalize | None,
    inches: tuple[float, float],
    annotate: bool,
    peaks: bool,
) -> tuple[QuadMesh, dict[str, Artist]]:
    """Draw a panel; returns its cells, and a handle for each kind of mark that it has."""
    checkpoints = by_step(rows)
    cells = _cells(rows, ["layer"])
    width, height = inches[0] / cells.shape[1], inches[1] / cells.shape[0]
    large = width >= 0.25 and height >= 0.14
    values = np.ma.masked_invalid(cells.to_numpy(dtype=float))
    mesh = axes.pcolormesh(
        values if norm is not None else _within_layers(values),
        cmap=style.sequence(),
        norm=norm or Normalize(0, 1),
        edgecolors="white" if large else "none",
        linewidth=0.5 if large else 0,
        # Viewers leave hairlines between the small cells of a vector drawing.
        rasterized=not large,
    )
    axes.set_facecolor(MISSING)
    at_peaks = values == values.max(axis=0) if peaks and len(cells) > 2 else np.ma.zeros(values.shape, dtype=bool)
    if annotate and large:
        _write(axes, values, mesh)
    handles = {}
    if at_peaks.any():
        handles["peak"] = _frame(axes, at_peaks) if large else _join(axes, at_peaks)
    if (unstable := _unstable(rows, cells)).any():
        handles["unstable"] = _dot(axes, unstable, min(width, height))
    _ticks(axes, checkpoints, cells.index.to_list(), inches)
    note = style.undefined_note(int(rows["n_undefined"].sum()), "left out of the means")
    empty = "\n(grey: no defined estimate)" if values.mask.any() else ""
    steps = "Training step" if checkpoints["step"].notna().all() else "Checkpoint"
    axes.set_xlabel(f"{steps}{note}{empty}")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=2)
    return mesh, handles


def _within_layers(values: np.ma.MaskedArray) -> np.ma.MaskedArray:
    """Each layer's values from 0, its lowest, to 1; of a layer that never moves, the middle."""
    lowest = values.min(axis=1, keepdims=True)
    spread = values.max(axis=1, keepdims=True) - lowest
    return np.ma.where(spread > 0, (values - lowest) / np.ma.where(spread > 0, spread, 1.0), 0.5 + 0 * values)


def _unstable(rows: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Which cells hold means that are known not to be scale-stable, of one seed or more."""
    if "scale_stable" not in rows:
        return np.zeros(cells.shape, dtype=bool)
    marked = rows.assign(unstable=rows["scale_stable"].eq(False)).groupby(["layer", "checkpoint"])["unstable"].any()
    return marked.unstack("checkpoint").reindex(index=cells.index, columns=cells.columns).to_numpy(dtype=bool)


def _write(axes: Axes, values: np.ma.MaskedArray, mesh: QuadMesh) -> None:
    red, green, blue, _ = np.moveaxis(mesh.cmap(mesh.norm(mesh.get_array())), -1, 0)
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


def _frame(axes: Axes, at_peaks: np.ma.MaskedArray) -> Artist:
    """A frame around each peak."""
    for row, column in np.argwhere(at_peaks.filled(False)):
        axes.add_patch(Rectangle((column, row), 1, 1, clip_on=False, zorder=3, **FRAME))
    return Patch(label="highest mean of its checkpoint", **FRAME)


def _join(axes: Axes, at_peaks: np.ma.MaskedArray) -> Artist:
    """A line through the peaks, which breaks where a checkpoint has none."""
    found = at_peaks.filled(False)
    layers = np.where(found.any(axis=0), found.argmax(axis=0) + 0.5, np.nan)
    axes.plot(np.arange(found.shape[1]) + 0.5, layers, **JOINED)
    return Line2D([], [], label="layer of each checkpoint's highest mean", **JOINED)


def _dot(axes: Axes, marked: np.ndarray, inches: float) -> Artist:
    """A dot in the corner of each cell, whose smaller side is that long."""
    rows, columns = np.nonzero(marked)
    corner = 0.85 if inches >= 0.14 else 0.5
    size = float(np.clip(72 * inches / 5, 0.8, 2.6))
    axes.plot(columns + corner, rows + corner, markersize=size, rasterized=len(rows) > MANY_DOTS, zorder=4, **DOT)
    return Line2D([], [], markersize=3, label="not scale-stable", **DOT)


def _ticks(axes: Axes, checkpoints: pd.DataFrame, layers: list[int], inches: tuple[float, float]) -> None:
    labels = [
        checkpoint if pd.isna(step) else style.step_label(step)
        for checkpoint, step in checkpoints.itertuples(index=False, name=None)
    ]
    lying = max(map(len, labels)) * LETTER + 0.04
    room = inches[0] / len(labels)
    upright = lying > room
    apart = style.stride(len(labels), inches[0] / 0.13) if upright else 1
    shown = [place for place in range(0, len(labels), apart) if place <= len(labels) - 1 - apart] + [len(labels) - 1]
    axes.set_xticks([place + 0.5 for place in shown], [labels[place] for place in shown], rotation=90 * upright)
    apart = style.stride(len(layers), inches[1] / 0.14)
    shown = range(0, len(layers), apart)
    axes.set_yticks([place + 0.5 for place in shown], [str(layers[place]) for place in shown])
