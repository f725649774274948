"""What figures over training share: the axis of steps, curves over seeds, what happened, and published values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from idsweep.drawing import bands, style

FEW = 30
STEPS = ("symlog", "linear", "log")
LOCAL_DIMENSION = "local_dimension"
MARK_SIZE = 5
STEP_LETTER, STEP_GAP = 0.065, 0.04  # inches of and between labels of steps
MARKS = {"peak": "^", "onset_of_fall": "D", "plateau": "s", "upturn": "v"}
RANGE_ALPHA = 0.25
PUBLISHED = {"marker": "o", "markersize": 5, "markerfacecolor": "none", "linestyle": "none", "markeredgewidth": 1.1}


def step_axis(axes: Axes, steps: Sequence[float], scale: str) -> None:
    """Make x an axis of training steps: "linear", "log" (see `on_axis`), or "symlog", linear up to 1 and logarithmic beyond.

    The last step has a label, and ticks that leave it no room have none. Raises ValueError for another scale.
    """
    if scale not in STEPS:
        raise ValueError(f"steps = {scale!r} is not known; it must be one of {', '.join(STEPS)}.")
    axes.set_xscale(scale, **({"linthresh": 1, "linscale": 0.6} if scale == "symlog" else {}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: style.step_label(step)))
    lowest, highest = float(np.min(steps)), float(np.max(steps))
    if scale == "linear":
        margin = 0.03 * (highest - lowest)
        axes.set_xlim(lowest - margin, highest + margin)
        ticks = MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]).tick_values(lowest, highest)
        axes.xaxis.set_major_locator(FixedLocator(_with_last(axes, ticks, lowest, highest)))
        return
    decades = [10.0**power for power in range(int(np.log10(max(highest, 1))) + 1)]
    ticks = [0.0, *decades]
    if sum(lowest <= tick <= highest for tick in ticks) < 3:
        ticks = [0.0, *(factor * decade for decade in decades for factor in (1, 2, 5))]
    ends = axes.transData.transform([(lowest, 0), (highest, 0)])[:, 0]
    margin = 0.03 * (ends[1] - ends[0])
    left, right = (axes.transData.inverted().transform((end, 0))[0] for end in (ends[0] - margin, ends[1] + margin))
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(FixedLocator(_with_last(axes, ticks, lowest, highest)))
    axes.xaxis.set_minor_locator(NullLocator())


def _with_last(axes: Axes, ticks: Sequence[float], lowest: float, highest: float) -> list[float]:
    """The ticks from the lowest to the highest step, and the highest itself, as far as their labels have room."""
    at = {step: axes.transData.transform((step, 0))[0] / axes.get_figure().dpi for step in (*ticks, highest)}
    kept = [highest]
    for tick in sorted((tick for tick in ticks if lowest <= tick < highest), reverse=True):
        room = STEP_LETTER * (len(style.step_label(tick)) + len(style.step_label(kept[-1]))) / 2 + STEP_GAP
        if at[kept[-1]] - at[tick] >= room:
            kept.append(tick)
    return kept[::-1]


def step_name(rows: pd.DataFrame) -> str:
    """What the steps of these rows are called: epochs where all checkpoints are named after them."""
    return "Epoch" if rows["checkpoint"].str.startswith("epoch").all() else "Training step"


def on_axis(table: pd.DataFrame, scale: str) -> pd.DataFrame:
    """The rows of a table whose step has a place on an axis of that scale, or is not known: not 0 on a "log" axis."""
    return table[~(table["step"] <= 0)] if scale == "log" else table


def over_runs(rows: pd.DataFrame, value: str, band: bool | str = True, of_one: str = "interval") -> pd.DataFrame:
    """`value` over the runs at each step with its band (`step, middle, low, high, band`), in order: see `bands.around`."""
    return bands.around(rows.sort_values("step", kind="stable"), ["step"], value, band, of_one)


def curve(axes: Axes, line: pd.DataFrame, look: dict, *, alpha: float = 0.18, markers: bool = True) -> None:
    """Draw what `over_runs` returns: a line, with points on it where they are few, and a band if there is one."""
    steps = line["step"].to_numpy(dtype=float)
    if (line["high"] > line["low"]).any():
        axes.fill_between(steps, line["low"], line["high"], color=look["color"], alpha=alpha, linewidth=0)
    few = markers and len(steps) <= FEW
    axes.plot(steps, line["middle"], marker="o" if few else None, markersize=2.2, **look)


def marked(axes: Axes, events: pd.DataFrame, line: pd.DataFrame, colour: object, size: float = MARK_SIZE) -> list[str]:
    """Mark a dimension's events on its curve, each with its interval; returns which there are."""
    events = events[(events["curve"] == LOCAL_DIMENSION) & events["event"].isin(MARKS)]
    for event in events.itertuples():
        height = np.interp(event.step, line["step"].astype(float), line["middle"])
        axes.plot([event.lower, event.upper], [height, height], color=colour, linewidth=0.9, zorder=3)
        axes.plot(
            event.step, height, color=colour, markersize=size, markeredgecolor="white", zorder=4, **_mark(event.event)
        )
    return list(events["event"])


def of_most_runs(events: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The events that more than half of a group's runs show, of those groups all of whose runs are in `rows`, and clouds."""
    events = events[events["cloud"].isna() | events["cloud"].isin(rows["cloud"])]
    runs = rows.groupby("group")["model"].nunique()
    whole = events["n_seeds"] == events["model"].map(runs)
    return events[whole & (2 * events["n_detected"] > events["n_seeds"])]


def _mark(event: str) -> dict:
    return {"marker": MARKS[event], "linestyle": "none", "markeredgewidth": 0.6}


def legend_of(events: Collection[str], published: bool, ranges: bool = False) -> list[Artist]:
    """Handles that say what the marks mean, of those events that are drawn, and of published values and ranges."""
    handles = [
        Line2D([], [], color=style.GREY, markersize=MARK_SIZE, label=event.replace("_", " "), **_mark(event))
        for event in MARKS
        if event in events
    ]
    handles += published * [Line2D([], [], color=style.GREY, label="published", **PUBLISHED)]
    return handles + ranges * [Patch(facecolor=style.GREY, alpha=RANGE_ALPHA, label="published range")]


def points(axes: Axes, reference: pd.DataFrame, line: pd.DataFrame, colour: object) -> int:
    """Draw published values at the steps of a curve as rings with their ranges; returns how many."""
    reference = reference[reference["step"].between(line["step"].min(), line["step"].max())]
    for row in reference.itertuples():
        if pd.notna(row.lower) and pd.notna(row.upper):
            axes.plot([row.step, row.step], [row.lower, row.upper], color=colour, linewidth=0.9, zorder=3)
        axes.plot(row.step, row.value, color=colour, zorder=4, **PUBLISHED)
    return len(reference)


def shade(axes: Axes, reference: pd.DataFrame, colour: object) -> int:
    """Shade published ranges that have neither value nor step behind a curve; returns how many."""
    rows = reference[reference["value"].isna() & reference["step"].isna()]
    for row in rows.itertuples():
        axes.axhspan(row.lower, row.upper, facecolor=colour, alpha=RANGE_ALPHA, linewidth=0, zorder=0)
    return len(rows)


def published(
    reference: pd.DataFrame, quantity: str, dataset: str | None = None, layer: int | None = None
) -> pd.DataFrame:
    """The rows of the reference table about a quantity; those that name no dataset or layer hold for each."""
    rows = reference[reference["quantity"] == quantity]
    for column, value in (("dataset", dataset), ("layer", layer)):
        if value is not None:
            rows = rows[rows[column].isna() | (rows[column] == value)]
    return rows
