"""Is there a plateau? The dimension against the scale at which it is measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from idsweep.drawing import bands, facts, style
from idsweep.drawing.selection import ACROSS_SEEDS, axis_label, last_of_both, require_asked
from idsweep.neighbors.variants import DATA, is_null

NEEDS = {"texts": False, "layers": "places"}
ROW_HEIGHT = 1.6
LEAST_WIDTH = 1.25
MARGIN = 0.7
TABLE_WIDTH, COLUMN, LINE, SAMPLE = 2.35, 0.24, 0.145, 0.28  # inches
MOST_PANELS = 12
MOST_ESTIMATES = 10
ESTIMATE = ["estimator", "scope"]
TICKS = {True: "✓", False: "✗", None: "–"}


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
    points, which the large mark stands for, a random half and a quarter of them, whose neighbours are ever farther apart;
    GRIDE's dotted one joins its n1 = 1, 2, 4 … on all points. The table names the lines (mean: of local estimates) and says which values are
    scale-stable (✓), which are not (✗), and of which it is not known (–). Bars are 95 % intervals, or, where a model has several
    seeds, go from the lowest to the highest of them around their median.

    local and global_: the summary table of local estimates (`mean`, …) and the table of global ones (`value`, …),
    both with `group`, `variant`, `standard_error`, `scale` and `scale_stable`; of several seeds the scale is the median,
    and stable is what is so in each. The scale is the mean distance to the farthest
    neighbour that an estimate looks at; those that look at none are named below. A row of panels is a model and a
    dataset, a panel one of its `layers`, of which negative numbers count from the last one (None: the first, the
    middle and the last; or the last alone where those are more than 12 panels). `scale` makes the axis of the
    dimension "linear" or "log".

    Raises ValueError if what is asked for is not in the tables, or is more than 12 panels or 10 estimates.
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
    estimates = list(rows[ESTIMATE].drop_duplicates().itertuples(index=False, name=None))
    if len(estimates) > MOST_ESTIMATES:
        raise ValueError(
            f"{len(estimates)} estimates cannot be told apart by {MOST_ESTIMATES} colours: choose some with the option estimators."
        )
    blocks = [of_block for _, of_block in rows.groupby(ACROSS_SEEDS[:3], sort=False)]
    panels = _panels(blocks, layers)
    across = max(map(len, panels))
    inches = min((style.TEXT_WIDTH - MARGIN - TABLE_WIDTH) / across, 2.2)
    drawn = style.figure(MARGIN + TABLE_WIDTH + inches * across, ROW_HEIGHT * len(panels) + 0.9)
    grid = drawn.add_gridspec(len(panels), across + 1, width_ratios=[inches] * across + [TABLE_WIDTH])
    colours = dict(zip(estimates, style.categories(len(estimates)), strict=True))
    of_data = rows[rows["variant"] == DATA]
    for row, of_row in enumerate(panels):
        first = None
        for column, panel in enumerate(of_row):
            axes = drawn.add_subplot(grid[row, column], sharey=first)
            first = first or axes
            model, checkpoint, dataset, layer = panel[ACROSS_SEEDS].iloc[0]
            for estimate, of_line in panel.groupby(ESTIMATE, sort=False):
                _lines(axes, of_line, colours[estimate])
            _distances(axes)
            seeds = style.seeds_note(panel["n_seeds"].max())
            size = facts.of_panel(panel[panel["variant"] == DATA], of_data)
            place = layer if isinstance(layer, str) else f"layer\N{NO-BREAK SPACE}{layer}"
            style.title(axes, f"{model} ({checkpoint}){seeds},\n{dataset}, {place}{size}", inches)
            style.label_outer(axes, "", column == 0)
        style.value_axis(first, scale)
        _table(drawn.add_subplot(grid[row, across]), of_row, colours)
    lines = max(axes.get_title("left").count("\n") + 1 for axes in drawn.axes)
    drawn.set_figheight(drawn.get_figheight() + LINE * max(0, lines - 2) * len(panels))
    note = f"(no neighbours, not drawn: {', '.join(map(style.estimator_name, nowhere))})" if len(nowhere) else ""
    bars = [f"bars: {name}" for name in of_data["band"].replace(bands.OF_ESTIMATES).dropna().unique()]
    style.below(
        drawn,
        "Mean distance to the farthest neighbour that the estimate looks at",
        "; ".join([facts.below(of_data), *bars]),
        note,
    )
    style.beside(drawn, "Intrinsic dimension")
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
    across = style.columns(max(map(len, panels)), LEAST_WIDTH, MARGIN + TABLE_WIDTH)
    return [row[start : start + across] for row in panels for start in range(0, len(row), across)]


def _layers(rows: pd.DataFrame, layers: Sequence[int] | None) -> list[int]:
    all_layers = sorted(rows["layer"].unique())
    if layers is None:
        return list(dict.fromkeys(all_layers[place] for place in (0, len(all_layers) // 2, -1)))
    resolved = [all_layers[layer] if -len(all_layers) <= layer < 0 else layer for layer in layers]
    require_asked(all_layers, resolved, "layer", f"the sweep of model {rows['group'].iloc[0]!r}")
    return list(dict.fromkeys(resolved))


def _own(rows: pd.DataFrame) -> pd.Series:
    """Which rows are the estimator's own scales on all points, the data among them; none if it has no others."""
    own = (rows["variant"] == DATA) | ~rows["variant"].str.startswith(DATA)
    return own & (own.sum() > 1)


def _lines(axes: Axes, rows: pd.DataFrame, colour: tuple) -> None:
    """What one estimate gives at all its scales."""
    if (own := _own(rows)).any():
        _line(axes, rows[own], colour, ":")
    _line(axes, rows[rows["variant"].str.startswith(DATA)], colour, "-")
    (data,) = rows[rows["variant"] == DATA].itertuples()
    axes.plot(data.scale, data.value, marker="o", markersize=4.5, color=colour, zorder=3)


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


def _table(axes: Axes, panels: list[pd.DataFrame], colours: dict[tuple[str, str], tuple]) -> None:
    """The lines of a row of panels by name, and a tick for each of its panels in which a value is scale-stable."""
    axes.set_axis_off()
    lines: list[tuple[tuple[str, str], str, bool]] = []
    for estimate in colours:
        of_estimate = [panel[_is(panel, estimate)] for panel in panels]
        lines.append((estimate, _name(estimate, pd.concat(of_estimate)), True))
        if any(_own(rows).any() for rows in of_estimate):
            lines.append((estimate, "its own n1 = 1, 2, 4 …", False))
    axes.set(xlim=(0, TABLE_WIDTH), ylim=(max(len(lines) + 2, ROW_HEIGHT / LINE) * LINE, 0))
    same = all((panel[ACROSS_SEEDS[:3]].iloc[0] == panels[0][ACROSS_SEEDS[:3]].iloc[0]).all() for panel in panels)
    heads = [str(panel["layer"].iloc[0]) if same else str(place + 1) for place, panel in enumerate(panels)]
    places = [TABLE_WIDTH - COLUMN * (len(panels) - column - 0.5) for column in range(len(panels))]
    written = {"fontsize": style.SMALL, "va": "center"}
    named = axis_label(panel["layer"].iloc[0] for panel in panels) if same else "Panel"
    axes.text(TABLE_WIDTH, LINE / 2, f"scale-stable, {named.lower()}", ha="right", **written)
    for place, head in zip(places, heads, strict=True):
        axes.text(place, 1.5 * LINE, head, ha="center", **written)
    for row, (estimate, name, ticked) in enumerate(lines, start=2):
        height = (row + 0.5) * LINE
        axes.plot([0, SAMPLE], [height, height], color=colours[estimate], linestyle="-" if ticked else ":")
        axes.text(SAMPLE + 0.06, height, name, ha="left", **written)
        for place, panel in zip(places, panels, strict=True):
            data = panel[_is(panel, estimate) & (panel["variant"] == DATA)]
            if ticked and len(data):
                stable = data["scale_stable"].iloc[0]
                axes.text(place, height, TICKS[bool(stable) if pd.notna(stable) else None], ha="center", **written)


def _is(rows: pd.DataFrame, estimate: tuple[str, str]) -> pd.Series:
    return (rows[ESTIMATE] == list(estimate)).all(axis=1)


def _name(estimate: tuple[str, str], rows: pd.DataFrame) -> str:
    name, scope = estimate
    rows = rows[rows["variant"] == DATA]
    return f"{style.with_neighbors(name, rows)}, {'global' if scope == 'global' else 'mean'}"
