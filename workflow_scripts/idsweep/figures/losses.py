"""Do tokens that the model finds easy lie where the dimension is low? Local estimates against measures of the tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from idsweep.drawing import style
from idsweep.drawing.selection import (
    IDENTITY,
    at_last_checkpoint,
    of_layers,
    require_asked,
    require_one_row_each,
    rows_of,
)
from idsweep.neighbors.variants import DATA

log = logging.getLogger(__name__)

NEEDS = {"log_probabilities": True}
PANEL_HEIGHT = 2.6
LEAST_WIDTH = 2.2
MARGIN = 1.5
MOST_PANELS = 24
MANY = 1000
HEXAGONS = (36, 20)
MOST_BINS, LEAST_IN_BIN = 20, 25
LOOKS = {
    "median": {"color": "#d55e00"},
    "q25": {"color": "#d55e00", "linewidth": 0.8, "linestyle": "--"},
    "q75": {"color": "#d55e00", "linewidth": 0.8, "linestyle": "--"},
}
RUNNING = {"median": "median, over bins of equally many tokens", "q25": "quartiles of these bins"}
COEFFICIENTS = ("pearson", "spearman", "kendall")
POINT = ["model", "checkpoint", "dataset", "point"]
AXES = {  # label and scale; another measure has its name, and a linear axis
    "log_probability": ("Log-probability of the token (nats)", "linear"),
    "entropy": ("Entropy of the prediction (nats)", "linear"),
    "rank": ("Rank of the token among the predictions", "log"),
    "margin": ("Log-probability of the best prediction less that of the second (nats)", "linear"),
}


@style.styled
def draw(
    pointwise: pd.DataFrame,
    predictions: pd.DataFrame,
    loss_correlations: pd.DataFrame,
    *,
    measure: str = "log_probability",
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    limits: Sequence[float] | None = None,
) -> Figure:
    """Local ID of each token against the model's log-probability of it, or another measure of what the model makes of it, at
    the last checkpoint, a panel per run and dataset. The line joins the medians of equally many tokens in the order of the
    measure, dashed lines their quartiles. Below each panel are the correlation coefficients of Pearson, Spearman and Kendall with
    95 % intervals, over sequences drawn anew.

    pointwise: one row per point (`value`); predictions: `log_probability`, and the column that `measure` names, of each
    `point`; loss_correlations: `measure`, `coefficient`, `value`, `lower`, `upper`. Panels are of `layers`, counted from the
    last one where they are negative (None: the last one). From 1,000 tokens on, hexagons are coloured by the logarithm of
    their number of tokens. Tokens with an undefined estimate or measure are counted below
    the panel, and so are those beyond `limits` of the dimension; tokens without a log-probability, and models that predict no
    tokens, are told in the log. There are at most 24 panels; models beyond are named below. Of several clouds of points the first one is drawn.

    Raises ValueError if what is asked for is not in the tables, or a table holds a point or coefficient twice.
    """
    rows = rows_of(pointwise, "pointwise", estimator, models=models, datasets=datasets)
    rows = of_layers(at_last_checkpoint(rows), layers)
    require_one_row_each(rows, "pointwise", [*IDENTITY, "point"])
    require_one_row_each(predictions, "predictions", POINT)
    require_asked([name for name in predictions if name not in POINT], [measure], "measure", "the predictions table")
    measured = predictions[POINT].assign(measure=predictions[measure], predicted=predictions["log_probability"].notna())
    rows = rows.merge(measured, on=POINT, how="left")
    rows["predicted"] = rows["predicted"].eq(True)
    predicting = rows["predicted"].groupby(rows["model"]).any()
    blocks = [(model, of_model) for model, of_model in rows.groupby("model", sort=False) if predicting[model]]
    if not blocks:
        return style.statement(
            "No losses to draw: none of the models in the table has log-probabilities of tokens "
            f"({', '.join(predicting.index)}). Causal and masked language models have them, unless the sweep says "
            "extraction: {losses: false}."
        )
    coefficients = rows_of(
        loss_correlations.assign(variant=DATA), "loss_correlations", estimator, clouds=list(rows["cloud"].unique())
    )
    coefficients = coefficients[coefficients["measure"] == measure]
    require_one_row_each(coefficients, "loss_correlations", [*IDENTITY, "coefficient"])
    most_panels = max(of_model.groupby(["dataset", "layer"]).ngroups for _, of_model in blocks)
    most = max(1, MOST_PANELS // most_panels)
    blocks, left_out = blocks[:most], [model for model, _ in blocks[most:]]
    across, places = style.positions(len(blocks), most_panels, LEAST_WIDTH, MARGIN)
    down = places[-1][-1][0] + 1
    width = style.COLUMN_WIDTH + 0.6 if across == 1 else style.TEXT_WIDTH
    inches = (width - MARGIN) / across
    drawn = style.figure(width, PANEL_HEIGHT * down + 0.6)
    grid = drawn.add_gridspec(down, across)
    label, scale = AXES.get(measure, (measure.replace("_", " ").capitalize(), "linear"))
    hexagons = []
    for of_places, (model, of_model) in zip(places, blocks, strict=True):
        panels = of_model.groupby(["checkpoint", "dataset", "layer"], sort=False)
        first = None
        for place, ((checkpoint, dataset, layer), points) in zip(of_places, panels, strict=False):
            axes = drawn.add_subplot(grid[place], sharey=first)
            hexagons += _panel(axes, points, scale, limits, inches)
            lines = _coefficients(coefficients, model, checkpoint, dataset, layer)
            head = f"{model} ({checkpoint}), {dataset}, layer\N{NO-BREAK SPACE}{layer}"
            style.title(axes, head, inches)
            axes.set_xlabel("\n".join([axes.get_xlabel(), *lines]))
            style.label_outer(axes, "", first is None or place[1] == 0)
            first = first or axes
    style.below(drawn, label, style.not_drawn(left_out))
    style.beside(drawn, style.local_label("Local intrinsic dimension", estimator, rows))
    if not predicting.all():
        log.info("Not drawn, without log-probabilities: %s", ", ".join(predicting.index[~predicting]))
    if hexagons:
        norm = LogNorm(1, max(2, *(hexagon.get_array().max() for hexagon in hexagons)))
        for hexagon in hexagons:
            hexagon.set_norm(norm)
        bar = style.colour_bar(drawn, hexagons[0], "Tokens per hexagon", (PANEL_HEIGHT - 0.9) * down)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    handles = [Line2D([], [], label=label, **LOOKS[name]) for name, label in RUNNING.items()]
    drawn.legend(handles=handles, loc="outside upper center", ncols=2)
    return drawn


def _panel(
    axes: Axes, points: pd.DataFrame, scale: str, limits: Sequence[float] | None, inches: float
) -> list[PolyCollection]:
    """Draw the tokens of a panel; returns its hexagons, of which there are none where tokens are few."""
    known = points[points["predicted"]]
    defined = known[np.isfinite(known["value"]) & np.isfinite(known["measure"])]
    shown = defined if limits is None else defined[defined["value"].between(*limits)]
    x, y = shown["measure"].to_numpy(float), shown["value"].to_numpy(float)
    style.value_axis(axes, scale, "x")
    if scale == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(6))
    hexagons = []
    if len(shown) >= MANY:
        hexagons.append(
            axes.hexbin(
                x,
                y,
                gridsize=HEXAGONS,
                xscale=scale,
                mincnt=1,
                cmap=style.sequence("mako_r"),
                linewidths=0.1,
                zorder=1,
            )
        )
    else:
        axes.scatter(x, y, s=5, color="0.55", linewidth=0, zorder=1)
    line = running_quartiles(defined["measure"].to_numpy(float), defined["value"].to_numpy(float))
    if len(line):
        for name, look in LOOKS.items():
            axes.plot(line["x"], line[name], zorder=3, **look)
    if limits is not None:
        axes.set_ylim(*limits)
    missing = {"undefined": len(known) - len(defined), "beyond the axis": len(defined) - len(shown)}
    if len(points) > len(known):
        log.info("%d tokens without a log-probability are not drawn", len(points) - len(known))
    notes = [f"{count:,} {why}" for why, count in missing.items() if count]
    note = f" (not drawn: {', '.join(notes)})" if notes else ""
    axes.set_xlabel(fill(f"{len(shown):,} tokens{note}", int(inches / style.TITLE_LETTER), break_on_hyphens=False))
    return hexagons


def running_quartiles(x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """Median of x, and quartiles of y, over bins of equally many points in the order of x.

    x, y: float64 (n,). Up to 20 bins, of at least 25 points each; none of fewer than 50 points. Columns `x, q25, median, q75`.
    """
    bins = min(MOST_BINS, len(x) // LEAST_IN_BIN)
    parts = np.array_split(np.argsort(x, kind="stable"), bins) if bins > 1 else []
    quartiles = [[np.median(x[part]), *np.quantile(y[part], (0.25, 0.5, 0.75))] for part in parts]
    return pd.DataFrame(quartiles, columns=["x", "q25", "median", "q75"])


def _coefficients(table: pd.DataFrame, *key: object) -> list[str]:
    """A line of text for each coefficient of a panel: "Pearson −0.31 [−0.35, −0.27]"."""
    rows = table[(table[IDENTITY] == list(key)).all(axis=1)].set_index("coefficient")
    lines = []
    for name in COEFFICIENTS:
        value, lower, upper = rows.loc[name, ["value", "lower", "upper"]] if name in rows.index else [np.nan] * 3
        interval = f" [{_number(lower)}, {_number(upper)}]" if np.isfinite([lower, upper]).all() else ""
        lines.append(f"{name.capitalize()} {_number(value) if np.isfinite(value) else 'undefined'}{interval}")
    return lines


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
