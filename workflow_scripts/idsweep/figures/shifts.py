"""Local estimates of fine-tuned models against those of the models that they were made from, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from textwrap import fill
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from idsweep.drawing import facts, over_training, style
from idsweep.drawing.selection import (
    at_last_checkpoint,
    by_step,
    n_seeds,
    of_checkpoints,
    require_asked,
    require_one_row_each,
    rows_of,
)
from idsweep.neighbors.variants import DATA

NEEDS = {"comparisons": True}
MOST_PANELS = 24
LEAST_WIDTH = 1.6
MARGIN = 0.8
VIOLIN_HEIGHT = 1.75
CURVE_HEIGHT = 0.95
HEADING_HEIGHT = 0.25
MOMENTS_HEIGHT = 0.35
DENSITY_NORMS = ("width", "area")
BASE, TUNED = 0, 1
NAMES = {BASE: "base", TUNED: "fine-tuned"}
CLOUD = ["dataset", "split"]
BASES = ["base_model", "base_checkpoint"]
NUMBERS = ["shift", "lower", "upper", "effect_size"]


class Block(NamedTuple):
    """Panels below one heading, of a model against a base at one layer.

    shown: the rows of one checkpoint, whose estimates are drawn. course: those of all checkpoints, for curves below; None
    without them.
    """

    shown: pd.DataFrame
    course: pd.DataFrame | None


class Violins(NamedTuple):
    """How violins look: the range of their axis (None: that of the estimates), what halves share, numbers below them."""

    limits: Sequence[float] | None
    density_norm: str
    moments: bool

    @property
    def height(self) -> float:
        return VIOLIN_HEIGHT + MOMENTS_HEIGHT * self.moments


@style.styled
def draw(
    compared: pd.DataFrame,
    shifts: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    checkpoints: str | Sequence[str | int] | None = None,
    steps: str = "linear",
    limits: Sequence[float] | None = None,
    density_norm: str = "width",
    moments: bool = False,
) -> Figure:
    """Violins of the local estimates of a base model (left halves, grey) and of the model fine-tuned from it at its
    last checkpoint, or those asked for (right halves): a panel per dataset and split, dashes at the median and the
    quartiles. Below, the mean difference over the tokens that both have, with its 95 % interval, and the effect size,
    which is that difference by its standard deviation; where a model has several checkpoints, the difference over
    fine-tuning as well. Where a model has several seeds, halves hold the points of all of them, and numbers are the
    median of the seeds from the lowest to the highest.

    compared: one row per point and layer of these checkpoints and of their bases, columns as of pointwise. shifts: one
    row per checkpoint, base, dataset and layer, with `base_model` and `base_checkpoint`, and `shift`, `lower`, `upper`
    and `effect_size` (NaN where there is none). `models` are fine-tuned ones. A block of panels is a model against one of
    its bases, at one of `layers`, counted from the last one where negative (None: the last), and at one of `checkpoints`,
    "all" or a list of steps or names of them (None: the last). `steps` makes the axis of the steps "linear", "log", which
    has no place for step 0, or "symlog". Estimates that are not finite are left out and counted; `limits` fixes the
    range of the violins' axis, and estimates beyond it are counted too. All halves of a panel have the same width, or, by
    `density_norm` "area", the same area. `moments` writes the mean, the median and the standard deviation (n − 1) of the finite
    estimates of each half below it. There are at most 24 panels of violins; models
    beyond are named below.

    Raises ValueError if what is asked for is not in the tables or needs more panels, if shifts holds a row twice, or
    if compared lacks the points of a row of shifts.
    """
    if density_norm not in DENSITY_NORMS:
        raise ValueError(f"density_norm = {density_norm!r} is not known; it must be one of {', '.join(DENSITY_NORMS)}.")
    rows = shifts
    if not shifts.empty:
        rows = rows_of(shifts.assign(variant=DATA), "shifts", estimator, models=models, datasets=datasets)
    if rows.empty:
        return style.statement(
            "No shifts to draw: no layer of a model is compared with the model that it was fine-tuned from. Measure both "
            "on the same tokens, and name them in the sweep's configuration: comparisons: [{model: NAME, base: NAME}]."
        )
    rows = rows.assign(n_points=rows["n_pairs"])
    require_one_row_each(rows, "shifts", ["model", "checkpoint", *BASES, "dataset", "split", "layer"])
    checkpoint_names = (
        None if checkpoints is None else set(of_checkpoints(rows, checkpoints, "the shifts table")["checkpoint"])
    )
    compared = compared[compared["cloud"].isin(rows["cloud"])]
    pairs = {name: _blocks(of_pair, layers or [-1], checkpoint_names, steps) for name, of_pair in _pairs(rows).items()}
    without = [name for name, of_pair in pairs.items() if not of_pair]
    pairs = {name: of_pair for name, of_pair in pairs.items() if of_pair}
    n_clouds, n_layers = len(rows[CLOUD].drop_duplicates()), len(layers or [-1])
    counts = {"datasets": n_clouds, "layers": n_layers, "checkpoints": max(map(len, pairs.values())) // n_layers}
    most = MOST_PANELS // prod(counts.values())
    if not most:
        several = {option: count for option, count in counts.items() if count > 1}
        raise ValueError(
            f"{' × '.join(f'{count} {option}' for option, count in several.items())} are more than the {MOST_PANELS} panels "
            f"that can be read: choose some with the options {' and '.join(several)}."
        )
    blocks = [block for of_pair in list(pairs.values())[:most] for block in of_pair]
    down = ceil(n_clouds / style.columns(n_clouds, LEAST_WIDTH, MARGIN))
    across = ceil(n_clouds / down)
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    violins = Violins(limits, density_norm, moments)
    heights = [HEADING_HEIGHT + down * (violins.height + CURVE_HEIGHT * (block.course is not None)) for block in blocks]
    drawn = style.figure(width, sum(heights) + 0.6)
    parts = drawn.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    inches = (width - MARGIN) / across
    label = style.local_label("Local intrinsic dimension", estimator, compared[compared["estimator"] == estimator])
    for part, block in zip(parts, blocks, strict=True):
        _draw_block(part, block, rows, compared, (down, across), label, inches, steps, violins)
    over = "with its 95 % interval" if n_seeds(rows) == 1 else "median over the seeds, from the lowest to the highest"
    style.below(
        drawn,
        f"Shift: mean difference over the N tokens that both have, {over}; {facts.below(rows)}",
        style.not_drawn(without, ", without a checkpoint that is asked for"),
        style.not_drawn(list(pairs)[most:]),
    )
    colours = {NAMES[place]: colour for place, colour in enumerate(_colours())}
    handles = [Patch(facecolor=colour, edgecolor="0.25", linewidth=0.6, label=name) for name, colour in colours.items()]
    drawn.legend(handles=handles, loc="outside upper right", ncols=2, handlelength=1.2)
    return drawn


def _pairs(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each group against each of its bases, by a name. Seeds may have bases of their own."""
    bases = rows[["model", *BASES]].drop_duplicates()
    bases = bases.assign(place=bases.groupby("model").cumcount())
    several = bases[bases["place"] > 0]["model"]
    pairs = {}
    for (group, _), of_pair in rows.merge(bases).groupby(["group", "place"], sort=False):
        against = f" against {_base(of_pair)}" if of_pair["model"].isin(several).any() else ""
        pairs[group + against] = of_pair
    return pairs


def _blocks(rows: pd.DataFrame, layers: Sequence[int], checkpoint_names: set[str] | None, steps: str) -> list[Block]:
    """The blocks of one model and base, at each of these layers and of the checkpoints asked for (None: the last)."""
    blocks = []
    for of_layer in _at_layers(rows, layers):
        shown = [at_last_checkpoint(of_layer)]
        if checkpoint_names is not None:
            names = [name for name in by_step(of_layer)["checkpoint"] if name in checkpoint_names]
            shown = [of_layer[of_layer["checkpoint"] == name] for name in names]
        blocks += [Block(of_checkpoint, None) for of_checkpoint in shown]
        if shown and over_training.on_axis(of_layer, steps)["step"].nunique() > 1:
            blocks[-1] = Block(shown[-1], of_layer)
    return blocks


def _draw_block(
    part: SubFigure,
    block: Block,
    rows: pd.DataFrame,
    compared: pd.DataFrame,
    shape: tuple[int, int],
    label: str,
    inches: float,
    steps: str,
    violins: Violins,
) -> None:
    down, across = shape
    each = 1 if block.course is None else 2
    grid = part.add_gridspec(each * down, across, height_ratios=[violins.height, CURVE_HEIGHT][:each] * down)
    part.suptitle(_heading(block.shown, inches * across), x=0.01, ha="left", fontsize=style.NORMAL, fontweight="bold")
    first = first_curve = None
    clouds = list(block.shown.groupby(CLOUD, sort=False))
    for place, (cloud, of_cloud) in enumerate(clouds):
        row, column = divmod(place, across)
        axes = part.add_subplot(grid[each * row, column], sharey=first)
        _violins(axes, _points(compared, of_cloud), of_cloud, violins)
        style.title(axes, f"{_name(*cloud)}{facts.of_panel(of_cloud, rows)}", inches)
        style.label_outer(axes, label.replace(" (", "\n("), column == 0)
        first = first or axes
        if block.course is not None:
            on_axis = over_training.on_axis(block.course, steps).dropna(subset="step")
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
    for side, columns in ((BASE, BASES), (TUNED, ["model", "checkpoint"])):
        for model, checkpoint in of_cloud[columns].drop_duplicates().itertuples(index=False, name=None):
            values = here.loc[(here["model"] == model) & (here["checkpoint"] == checkpoint), "value"]
            if values.empty:
                raise ValueError(
                    f"The compared table has no estimates of model {model!r}, checkpoint {checkpoint!r}, on dataset "
                    f"{first['dataset']!r} at layer {first['layer']}, though the shifts table has them. Make both tables "
                    "from the same estimates."
                )
            parts.append(pd.DataFrame({"side": side, "value": values.to_numpy(dtype=float)}))
    return pd.concat(parts, ignore_index=True)


def _violins(axes: Axes, points: pd.DataFrame, of_cloud: pd.DataFrame, look: Violins) -> None:
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
            density_norm=look.density_norm,
            common_norm=True,  # else seaborn makes each half as wide as the other, whatever the norm
            linewidth=0.6,
            saturation=1,
            inner="quart",
            legend=False,
        )
    note = style.undefined_note(len(points) - len(finite), "not drawn")
    if look.limits is not None:
        axes.set_ylim(*look.limits)
        beyond = int((~finite["value"].between(*look.limits)).sum())
        note += f"\n({beyond:,} beyond the axis)" if beyond else ""
    axes.set(xticks=[], xlim=(-0.55, 0.55), ylabel="")
    axes.set_xlabel(_in_words(of_cloud) + (_moments(finite) if look.moments else "") + note)


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


def _moments(finite: pd.DataFrame) -> str:
    lines = [
        f"{NAMES[side]} {values.mean():.2f}, {values.median():.2f}, {values.std():.2f}"
        for side, values in finite.groupby("side")["value"]
    ]
    return "\n".join(["\nmean, median, std:", *lines])


def _signed(value: float, decimals: int = 2) -> str:
    return f"{value:+z.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _heading(shown: pd.DataFrame, inches: float) -> str:
    """Which models a block compares, and at which layer, broken into lines that fit."""
    first = shown.iloc[0]
    tuned = f"{first['group']} ({first['checkpoint']}){style.seeds_note(n_seeds(shown))}"
    return fill(f"{tuned} against {_base(shown)}, layer {first['layer']}", int(inches / style.TITLE_LETTER))


def _base(rows: pd.DataFrame) -> str:
    """What the rows of one group are held against."""
    bases = rows[BASES].drop_duplicates()
    if len(bases) > 1:
        return f"the bases of its {len(bases)} seeds"
    return "{base_model} ({base_checkpoint})".format(**bases.iloc[0])


def _name(dataset: str, split: str) -> str:
    # A sweep writes another split than its entry's as NAME:SPLIT.
    return f"{dataset.removesuffix(f':{split}')}, {split}"


def _colours() -> list[tuple[float, float, float]]:
    """Of the base and of the fine-tuned model."""
    return [(0.75, 0.75, 0.75), style.categories(7)[6]]
