"""Local estimates of fine-tuned models against those of the models that they were made from, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from textwrap import fill

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from idsweep.figures import style
from idsweep.figures import training as over_training
from idsweep.figures.selection import at_last_checkpoint, n_seeds, require_asked, require_one_row_each, rows_of
from idsweep.variants import DATA

MOST_PANELS = 24
LEAST_WIDTH = 1.6
MARGIN = 0.8
VIOLIN_HEIGHT = 1.75
CURVE_HEIGHT = 0.95
HEADING_HEIGHT = 0.25
BASE, TUNED = 0, 1
NAMES = {BASE: "base", TUNED: "fine-tuned"}
CLOUD = ["dataset", "split"]
NUMBERS = ["shift", "lower", "upper", "effect_size"]


@style.styled
def draw(
    compared: pd.DataFrame,
    shifts: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    steps: str = "linear",
    limits: Sequence[float] | None = None,
) -> Figure:
    """Violins of the local estimates of a base model (left halves, grey) and of the model fine-tuned from it at its
    last checkpoint (right halves): a panel per dataset and split, dashes at the median and the quartiles. Below, the
    mean difference over the tokens that both have, with its 95 % interval, and the effect size, which is that
    difference by its standard deviation; where a model has several checkpoints, the difference over fine-tuning as
    well. Where a model has several seeds, halves hold the points of all of them, and numbers are the median of the
    seeds from the lowest to the highest.

    compared: one row per point and layer of the last checkpoints and of their bases, columns as of pointwise. shifts:
    one row per checkpoint, dataset and layer, with `base_model` and `base_checkpoint`, and `shift`, `lower`, `upper`
    and `effect_size` (NaN where there is none). `models` are fine-tuned ones. Of `layers` negative numbers count from
    the last one (None: the last), a block of panels each. `steps` makes the axis of the steps "linear", "log", which
    has no place for step 0, or "symlog". Estimates that are not finite are left out and counted; `limits` fixes the
    range of the violins' axis, and estimates beyond it are counted too. There are at most 24 panels of violins; models
    beyond are named below.

    Raises ValueError if what is asked for is not in the tables or needs more panels, if shifts holds a row twice, or
    if compared lacks the points of a row of shifts.
    """
    rows = shifts
    if not shifts.empty:
        rows = rows_of(shifts.assign(variant=DATA), "shifts", estimator, models=models, datasets=datasets)
    if rows.empty:
        return style.statement(
            "No shifts to draw: no layer of a model is compared with the model that it was fine-tuned from. Measure both "
            "on the same tokens, and name them in the sweep's configuration: comparisons: [{model: NAME, base: NAME}]."
        )
    require_one_row_each(rows, "shifts", ["model", "checkpoint", "dataset", "split", "layer"])
    compared = compared[compared["cloud"].isin(rows["cloud"])]
    n_clouds, n_layers = len(rows[CLOUD].drop_duplicates()), len(layers or [-1])
    most = MOST_PANELS // (n_clouds * n_layers)
    if not most:
        raise ValueError(
            f"{n_clouds} datasets × {n_layers} layers are more than the {MOST_PANELS} panels that can be read: choose "
            "some with the options datasets and layers."
        )
    groups = [of_group for _, of_group in rows.groupby("group", sort=False)]
    blocks = [of_block for of_group in groups[:most] for of_block in _at_layers(of_group, layers or [-1])]
    left_out = [of_group["group"].iloc[0] for of_group in groups[most:]]
    down = ceil(n_clouds / style.columns(n_clouds, LEAST_WIDTH, MARGIN))
    across = ceil(n_clouds / down)
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    curved = [over_training.on_axis(of_block, steps)["step"].nunique() > 1 for of_block in blocks]
    heights = [HEADING_HEIGHT + down * (VIOLIN_HEIGHT + CURVE_HEIGHT * curve) for curve in curved]
    drawn = style.figure(width, sum(heights) + 0.4)
    parts = drawn.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    inches = (width - MARGIN) / across
    label = style.local_label("Local intrinsic dimension", estimator, compared[compared["estimator"] == estimator])
    for part, of_block, curve in zip(parts, blocks, curved, strict=True):
        _block(part, of_block, compared, (down, across), curve, label, inches, steps, limits)
    style.below(drawn, style.not_drawn(left_out))
    colours = {NAMES[place]: colour for place, colour in enumerate(_colours())}
    handles = [Patch(facecolor=colour, edgecolor="0.25", linewidth=0.6, label=name) for name, colour in colours.items()]
    drawn.legend(handles=handles, loc="outside upper right", ncols=2, handlelength=1.2)
    return drawn


def _block(
    part: SubFigure,
    rows: pd.DataFrame,
    compared: pd.DataFrame,
    shape: tuple[int, int],
    curved: bool,
    label: str,
    inches: float,
    steps: str,
    limits: Sequence[float] | None,
) -> None:
    """The panels of one fine-tuned model at one layer; `curved`: whether there is a curve below each violin."""
    down, across = shape
    each = 2 if curved else 1
    grid = part.add_gridspec(each * down, across, height_ratios=[VIOLIN_HEIGHT, CURVE_HEIGHT][:each] * down)
    last = at_last_checkpoint(rows)
    part.suptitle(_heading(last, inches * across), x=0.01, ha="left", fontsize=style.NORMAL, fontweight="bold")
    first = first_curve = None
    on_axis = over_training.on_axis(rows, steps).dropna(subset="step")
    clouds = list(last.groupby(CLOUD, sort=False))
    for place, (cloud, of_cloud) in enumerate(clouds):
        row, column = divmod(place, across)
        axes = part.add_subplot(grid[each * row, column], sharey=first)
        _violins(axes, _points(compared, of_cloud), of_cloud, limits)
        style.title(axes, _name(*cloud), inches)
        style.label_outer(axes, label.replace(" (", "\n("), column == 0)
        first = first or axes
        if curved:
            below = part.add_subplot(grid[each * row + 1, column], sharey=first_curve)
            _curve(below, on_axis[(on_axis[CLOUD] == list(cloud)).all(axis=1)], on_axis["step"], steps)
            style.label_outer(below, "Mean shift", column == 0)
            if place + across >= len(clouds):
                below.set_xlabel(over_training.step_name(on_axis))
            first_curve = first_curve or below


def _at_layers(rows: pd.DataFrame, layers: Sequence[int]) -> list[pd.DataFrame]:
    """The rows of one model at each of these layers; negative numbers count from the last."""
    last = rows["layer"].max()
    counted = [layer if layer >= 0 else last + 1 + layer for layer in layers]
    require_asked(rows["layer"], counted, "layer", "the shifts table")
    return [rows[rows["layer"] == layer] for layer in counted]


def _points(compared: pd.DataFrame, of_cloud: pd.DataFrame) -> pd.DataFrame:
    """The local estimates `value` of each side, BASE or TUNED, at one dataset and layer.

    of_cloud: a row of shifts for each seed. A base that several of them share comes once.
    """
    first = of_cloud.iloc[0]
    here = compared[
        (compared["estimator"] == first["estimator"])
        & (compared["variant"] == DATA)
        & (compared["dataset"] == first["dataset"])
        & (compared["split"] == first["split"])
        & (compared["layer"] == first["layer"])
    ]
    parts = []
    for side, columns in ((BASE, ["base_model", "base_checkpoint"]), (TUNED, ["model", "checkpoint"])):
        for model, checkpoint in of_cloud[columns].drop_duplicates().itertuples(index=False, name=None):
            values = here.loc[(here["model"] == model) & (here["checkpoint"] == checkpoint), "value"]
            if values.empty:
                raise ValueError(
                    f"The compared table has no estimates of model {model!r}, checkpoint {checkpoint!r}, on dataset "
                    f"{first['dataset']!r} at layer {first['layer']}, though the shifts table has. Make both tables "
                    "of the same estimates."
                )
            parts.append(pd.DataFrame({"side": side, "value": values.to_numpy(dtype=float)}))
    return pd.concat(parts, ignore_index=True)


def _violins(axes: Axes, points: pd.DataFrame, of_cloud: pd.DataFrame, limits: Sequence[float] | None) -> None:
    finite = points[np.isfinite(points["value"])]
    if not finite.empty:
        seaborn.violinplot(
            x=np.zeros(len(finite)),
            y=finite["value"],
            hue=finite["side"],
            hue_order=[BASE, TUNED],
            palette=_colours(),
            ax=axes,
            split=True,
            gap=0.04,
            cut=0,
            width=0.9,
            density_norm="area",
            linewidth=0.6,
            saturation=1,
            inner="quart",
            legend=False,
        )
    note = style.undefined_note(len(points) - len(finite), "not drawn")
    if limits is not None:
        axes.set_ylim(*limits)
        beyond = int((~finite["value"].between(*limits)).sum())
        note += f"\n({beyond:,} beyond the axis)" if beyond else ""
    axes.set(xticks=[], xlim=(-0.55, 0.55), ylabel="")
    axes.set_xlabel(_in_words(of_cloud) + note)


def _curve(axes: Axes, rows: pd.DataFrame, every_step: pd.Series, steps: str) -> None:
    """The mean shift over fine-tuning with 95 % intervals; of several seeds the median, from lowest to highest."""
    line = over_training.over_runs(rows, "shift")
    if rows["model"].nunique() == 1:
        ends = rows.sort_values("step")
        line = line.assign(low=ends["lower"].to_numpy(), high=ends["upper"].to_numpy())
    axes.axhline(0, color=style.GREY, linewidth=0.6, zorder=1)
    over_training.curve(axes, line, {"color": _colours()[TUNED]}, alpha=0.25)
    over_training.step_axis(axes, every_step.astype(float), steps)


def _in_words(of_cloud: pd.DataFrame) -> str:
    """The shift and the effect size at one dataset and layer, of one row for each seed."""
    middle = of_cloud[NUMBERS].astype(float).median()
    if np.isnan(middle["shift"]):
        return "no shift is defined"
    lower, upper = middle["lower"], middle["upper"]
    if len(of_cloud) > 1:
        lower, upper = of_cloud["shift"].min(), of_cloud["shift"].max()
    # as many decimals as tell the ends of the interval apart
    decimals = int(np.clip(np.ceil(-np.log10(upper - lower)), 2, 4)) if upper > lower else 2
    interval = f" ({_signed(lower, decimals)} to {_signed(upper, decimals)})" if upper >= lower else ""
    effect = "" if np.isnan(middle["effect_size"]) else f"\neffect size {_signed(middle['effect_size'])}"
    return f"shift {_signed(middle['shift'], decimals)}{interval}{effect}"


def _signed(value: float, decimals: int = 2) -> str:
    return f"{value:+z.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _heading(last: pd.DataFrame, inches: float) -> str:
    """Which models a block compares, and at which layer, broken into lines that fit."""
    first = last.iloc[0]
    bases = last["base_model"].nunique()
    base = f"{first['base_model']} ({first['base_checkpoint']})" if bases == 1 else f"the bases of its {bases} seeds"
    tuned = f"{first['group']} ({first['checkpoint']}){style.seeds_note(n_seeds(last))}"
    return fill(f"{tuned} against {base}, layer {first['layer']}", int(inches / style.TITLE_LETTER))


def _name(dataset: str, split: str) -> str:
    # NAME:SPLIT is called NAME--SPLIT in files and tables.
    return f"{dataset.removesuffix(f'--{split}')}, {split}"


def _colours() -> list[tuple[float, float, float]]:
    """Of the base and of the fine-tuned model."""
    return [(0.75, 0.75, 0.75), style.categories(10)[9]]
