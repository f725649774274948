"""Is there a plateau? The dimension against the scale at which it is measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from idsweep.drawing import style
from idsweep.drawing.selection import ACROSS_SEEDS, last_of_both, require_asked
from idsweep.neighbors.variants import DATA, is_null

NEEDS = {"layers": "places"}
ROW_HEIGHT = 1.6
LEAST_WIDTH = 1.9
MARGIN = 0.7
MOST_PANELS = 12
MOST_ESTIMATORS = 10
LINE = ["estimator", "scope"]


@style.styled
def draw(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    *,
    estimators: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    scale: str = "linear",
) -> Figure:
    """Intrinsic dimension against the scale, of each model's last checkpoint: is there a plateau? A line joins all
    points, a random half and a quarter of them, whose neighbours are ever farther apart; GRIDE's joins its n1 = 1, 2,
    4 … on all points. The large mark is the value on the data, filled if it is scale-stable; bars are 95 % intervals,
    or, where a model has several seeds, go from the lowest to the highest of them around their median.

    local and global_: the summary table of local estimates (`mean`, …) and the table of global ones (`value`, …),
    both with `group`, `variant`, `standard_error`, `scale` and `scale_stable`; of several seeds the scale is the median,
    and stable is what is so in each. The scale is the mean distance to the farthest
    neighbour that an estimate looks at; those that look at none are named below. A row of panels is a model and a
    dataset, a panel one of its `layers`, of which negative numbers count from the last one (None: the first, the
    middle and the last; or the last alone where those are more than 12 panels). `scale` makes the axis of the
    dimension "linear" or "log".

    Raises ValueError if what is asked for is not in the tables, or is more than 12 panels or 10 estimators.
    """
    rows = last_of_both(local, global_, estimators=estimators, models=models, datasets=datasets)
    rows = rows[[not is_null(variant) for variant in rows["variant"]]]
    nowhere = rows.groupby("estimator", sort=False)["scale"].count().loc[lambda counts: counts == 0].index
    rows = rows[rows["scale"].notna()]
    if (rows["variant"] == DATA).all():
        return style.statement(
            "No scales to compare: nothing was measured beside the data. Measure smaller samples by the configuration "
            "of the sweep, as scales: {halvings: 2}, or add the estimator gride."
        )
    lines = [of_line for _, of_line in rows.groupby(LINE, sort=False)]
    names = list(rows["estimator"].unique())
    if len(names) > MOST_ESTIMATORS:
        raise ValueError(
            f"{len(names)} estimators cannot be told apart by {MOST_ESTIMATORS} colours: choose some with the option estimators."
        )
    blocks = [of_block for _, of_block in rows.groupby(ACROSS_SEEDS[:3], sort=False)]
    panels = _panels(blocks, layers)
    across = max(map(len, panels))
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    drawn = style.figure(width, ROW_HEIGHT * len(panels) + 0.75)
    grid = drawn.add_gridspec(len(panels), across)
    colours = dict(zip(names, style.categories(len(names)), strict=True))
    for row, of_row in enumerate(panels):
        first = None
        for column, panel in enumerate(of_row):
            axes = drawn.add_subplot(grid[row, column], sharey=first)
            first = first or axes
            model, checkpoint, dataset, layer = panel[ACROSS_SEEDS].iloc[0]
            for (estimator, scope), of_line in panel.groupby(LINE, sort=False):
                _lines(axes, of_line, colours[estimator], scope)
            _distances(axes)
            seeds = style.seeds_note(panel["n_seeds"].max())
            style.title(axes, f"{model} ({checkpoint}){seeds},\n{dataset}, layer {layer}", (width - MARGIN) / across)
            style.label_outer(axes, "", column == 0)
        style.value_axis(first, scale)
    note = f"(no neighbours, not drawn: {', '.join(map(style.estimator_name, nowhere))})" if len(nowhere) else ""
    style.below(drawn, "Mean distance to the farthest neighbour that the estimate looks at", note)
    drawn.supylabel("Intrinsic dimension", fontsize=style.NORMAL)
    drawn.legend(handles=_handles(lines, colours), loc="outside upper center", ncols=4, handlelength=2.6)
    return drawn


def _panels(blocks: list[pd.DataFrame], layers: Sequence[int] | None) -> list[list[pd.DataFrame]]:
    """The rows of each panel, arranged as on paper."""
    chosen = [_layers(of_block, layers) for of_block in blocks]
    if layers is None and sum(map(len, chosen)) > MOST_PANELS:
        chosen = [of_block[-1:] for of_block in chosen]
    if sum(map(len, chosen)) > MOST_PANELS:
        raise ValueError(
            f"{len(blocks)} models and datasets × {max(map(len, chosen))} layers are more than the {MOST_PANELS} panels "
            "that can be read: choose some with the options models, datasets and layers."
        )
    panels = [
        [of_block[of_block["layer"] == layer] for layer in of_block_layers]
        for of_block, of_block_layers in zip(blocks, chosen, strict=True)
    ]
    if all(len(of_block) == 1 for of_block in panels):
        panels = [[of_block[0] for of_block in panels]]
    across = style.columns(max(map(len, panels)), LEAST_WIDTH, MARGIN)
    return [row[start : start + across] for row in panels for start in range(0, len(row), across)]


def _layers(rows: pd.DataFrame, layers: Sequence[int] | None) -> list[int]:
    all_layers = sorted(rows["layer"].unique())
    if layers is None:
        return list(dict.fromkeys(all_layers[place] for place in (0, len(all_layers) // 2, -1)))
    resolved = [all_layers[layer] if -len(all_layers) <= layer < 0 else layer for layer in layers]
    require_asked(all_layers, resolved, "layer", f"the sweep of model {rows['group'].iloc[0]!r}")
    return list(dict.fromkeys(resolved))


def _lines(axes: Axes, rows: pd.DataFrame, colour: tuple, scope: str) -> None:
    samples = rows["variant"].str.startswith(DATA)
    own = ~samples | (rows["variant"] == DATA)
    if own.sum() > 1:
        _line(axes, rows[own], colour, "-.")
    _line(axes, rows[samples], colour, {"global": "-", "local": "--"}[scope])
    (data,) = rows[rows["variant"] == DATA].itertuples()
    stable = data.scale_stable
    axes.plot(
        data.scale,
        data.value,
        marker="o",
        markersize=4.5,
        markeredgecolor=colour,
        markerfacecolor=colour if stable is True else "white",
        zorder=3,
    )


def _line(axes: Axes, rows: pd.DataFrame, colour: tuple, linestyle: str) -> None:
    axes.errorbar(
        rows["scale"],
        rows["value"],
        (rows["value"] - rows["low"], rows["high"] - rows["value"]),
        color=colour,
        linestyle=linestyle,
        elinewidth=0.6,
        marker="o",
        markersize=2,
    )


def _distances(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda distance, _: f"{distance:g}"))


def _handles(lines: list[pd.DataFrame], colours: dict[str, tuple]) -> list[Line2D]:
    """What colours, dashes and marks mean, as far as they are drawn."""
    grey = style.GREY
    handles = [Line2D([], [], color=colour, label=style.estimator_name(name)) for name, colour in colours.items()]
    scopes = {of_line["scope"].iloc[0] for of_line in lines}
    own = any((~of_line["variant"].str.startswith(DATA)).any() for of_line in lines)
    looks = [("global", "-", "global, fewer points"), ("local", "--", "mean local, fewer points")]
    handles += [
        Line2D([], [], color=grey, linestyle=dash, label=label) for scope, dash, label in looks if scope in scopes
    ]
    if own:
        handles.append(Line2D([], [], color=grey, linestyle="-.", label="all points, farther neighbours"))
    mark = {"color": grey, "linestyle": "", "marker": "o", "markersize": 4.5}
    handles.append(Line2D([], [], **mark, label="scale-stable"))
    handles.append(Line2D([], [], **mark, markerfacecolor="white", label="not"))
    return handles
