"""Training dynamics: local intrinsic dimension and loss against the training step."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from idsweep.figures import style
from idsweep.figures.selection import IDENTITY, by_step, require_asked, require_one_row_each, rows_of

logger = logging.getLogger(__name__)

DIMENSION_HEIGHT = 2.1
LOSS_HEIGHT = 1.05
LEAST_WIDTH = 1.9


@style.styled
def draw(
    local: pd.DataFrame,
    training: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    scale: str = "linear",
    band: bool = True,
) -> Figure:
    """Mean local ID per layer against the training step, a panel per dataset, with the losses below.

    local: the summary table of local estimates (`model, checkpoint, step, dataset, layer, mean, q25,
    q75, n_undefined, …`). training: `model, step, metric, value`, empty if nothing was trained here.
    One block per model with more than one checkpoint of known step; the band spans the quartiles of
    the local estimates. `metrics` are those drawn below (None: all whose name ends in `_loss`);
    models without training rows have no second row of panels. The step axis is linear up to 1 and
    logarithmic beyond; `scale` makes the axis of the dimension "linear" or "log".

    Raises ValueError if what is asked for is not in the tables.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    curves = {
        model: _curves(training, model, metrics)
        for model, of_model in rows.groupby("model", sort=False)
        if of_model["step"].dropna().nunique() > 1
    }
    if not curves:
        held = rows.groupby("model", sort=False)["checkpoint"].nunique()
        return style.statement(
            "No training dynamics to draw: no model in the table has more than one checkpoint with a known step "
            f"(checkpoints: {', '.join(f'{model} {count}' for model, count in held.items())})."
        )
    names = list(rows["dataset"].unique())
    across = style.columns(len(names), LEAST_WIDTH)
    down = -(-len(names) // across)
    heights = [
        height
        for of_model in curves.values()
        for _ in range(down)
        for height in ([DIMENSION_HEIGHT] if of_model.empty else [DIMENSION_HEIGHT, LOSS_HEIGHT])
    ]
    drawn = style.figure(style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH, sum(heights))
    grid = drawn.add_gridspec(len(heights), across, height_ratios=heights)
    label = style.local_label("Mean local intrinsic dimension", estimator, rows).replace(" (", "\n(")
    top = 0
    for model, of_model in curves.items():
        per_row = 1 if of_model.empty else 2
        layers = sorted(rows.loc[rows["model"] == model, "layer"].unique())
        colours = style.sequence()
        upper: list[Axes] = []
        lower: list[Axes] = []
        for place, dataset in enumerate(names):
            row, column = top + per_row * (place // across), place % across
            axes = drawn.add_subplot(grid[row, column], sharey=upper[0] if upper else None)
            chosen = rows[(rows["model"] == model) & (rows["dataset"] == dataset)]
            note = _dimension(axes, chosen, layers, colours, band)
            style.value_axis(axes, scale)
            axes.set_title(f"{model}, {dataset}")
            style.label_outer(axes, label, column == 0)
            upper.append(axes)
            bottom = axes
            if not of_model.empty:
                bottom = drawn.add_subplot(grid[row + 1, column], sharex=axes, sharey=lower[0] if lower else None)
                _losses(bottom, of_model)
                style.label_outer(bottom, _loss_label(of_model), column == 0)
                axes.tick_params(labelbottom=False)
                lower.append(bottom)
            bottom.set_xlabel(f"Training step{note}")
            _step_axis(axes, np.concatenate([chosen["step"].dropna(), of_model["step"]]).astype(float))
        if lower:
            lower[0].legend(handlelength=1.8, labelspacing=0.2, borderaxespad=0.1)
        _layer_bar(drawn, upper, layers, colours)
        top += per_row * down
    return drawn


def _curves(training: pd.DataFrame, model: str, metrics: Sequence[str] | None) -> pd.DataFrame:
    of_model = training[training["model"] == model]
    if of_model.empty:
        return of_model
    if metrics is None:
        of_model = of_model[of_model["metric"].str.endswith("_loss")]
    else:
        require_asked(of_model["metric"], metrics, "metric", f"the training table of model {model!r}")
        of_model = of_model[of_model["metric"].isin(metrics)]
    require_one_row_each(of_model, "training", ["model", "step", "metric"])
    return of_model


def _dimension(axes: Axes, rows: pd.DataFrame, layers: list[int], colours: Colormap, band: bool) -> str:
    known = rows[rows["step"].notna()]
    shades = colours(np.linspace(0, 1, len(layers))) if len(layers) > 1 else colours([0.4])
    few = known["step"].nunique() <= 30
    for layer, shade in zip(layers, shades, strict=True):
        line = known[known["layer"] == layer].sort_values("step")
        steps = line["step"].to_numpy(dtype=float)
        if band:
            axes.fill_between(
                steps, line["q25"], line["q75"], color=shade, alpha=min(0.15, 0.9 / len(layers)), linewidth=0
            )
        axes.plot(steps, line["mean"], color=shade, marker="o" if few else None, markersize=2.2)
    unplaced = list(by_step(rows).loc[lambda checkpoints: checkpoints["step"].isna(), "checkpoint"])
    if unplaced:
        logger.warning("Checkpoints without a step are not on the step axis: %s.", ", ".join(unplaced))
    note = style.undefined_note(int(known["n_undefined"].sum()), "left out of the means")
    return note + (f"\n(without a step, not drawn: {', '.join(unplaced)})" if unplaced else "")


def _losses(axes: Axes, curves: pd.DataFrame) -> None:
    metrics = list(curves["metric"].unique())
    for place, (metric, colour) in enumerate(zip(metrics, style.categories(len(metrics)), strict=True)):
        line = curves[curves["metric"] == metric].sort_values("step")
        axes.plot(
            line["step"].to_numpy(dtype=float),
            line["value"],
            color=colour,
            linestyle=("-", "--", ":", "-.")[place % 4],
            label=metric.replace("_", " "),
        )


def _loss_label(curves: pd.DataFrame) -> str:
    return "Loss" if curves["metric"].str.endswith("_loss").all() else "Metric"


def _step_axis(axes: Axes, steps: np.ndarray) -> None:
    axes.set_xscale("symlog", linthresh=1, linscale=0.6)
    lowest, highest = steps.min(), steps.max()
    decades = [10.0**power for power in range(int(np.log10(max(highest, 1))) + 1)]
    ticks = [0.0, *decades]
    if sum(lowest <= tick <= highest for tick in ticks) < 3:
        ticks = [0.0, *(factor * decade for decade in decades for factor in (1, 2, 5))]
    ends = axes.transData.transform([(lowest, 0), (highest, 0)])[:, 0]
    margin = 0.03 * (ends[1] - ends[0])
    left, right = (axes.transData.inverted().transform((end, 0))[0] for end in (ends[0] - margin, ends[1] + margin))
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if left <= tick <= right]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: style.step_label(step)))


def _layer_bar(drawn: Figure, panels: list[Axes], layers: list[int], colours: Colormap) -> None:
    places = np.arange(len(layers) + 1) - 0.5
    shades = colours if len(layers) > 1 else colours.resampled(1)
    bar = drawn.colorbar(
        ScalarMappable(BoundaryNorm(places, colours.N), shades), ax=panels, label="Layer", aspect=25, pad=0.02
    )
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    style.layer_ticks(bar.ax, layers, "y", DIMENSION_HEIGHT, 0.14)
    bar.ax.tick_params(length=0)
