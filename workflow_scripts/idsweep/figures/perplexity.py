"""Does the dimension fall as the model gets better? Mean local dimension against perplexity over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox

from idsweep.drawing import bands, facts, style
from idsweep.drawing.selection import IDENTITY, of_layers, over_seeds, require_one_row_each, rows_of

NEEDS = {"log_probabilities": True}
PANEL_HEIGHT = 2.3
LEAST_WIDTH = 2.1
MARGIN = 0.8
MOST_MODELS = 20
MOST_PANELS = 24
LEGEND_LETTER, LEGEND_LINE = 0.06, 0.16
CHECKPOINT = ["group", "checkpoint", "dataset"]
ENDS = {"first": 0, "last": -1}
LOOKS = {
    "first": {"marker": "o", "markersize": 4, "markerfacecolor": "white"},
    "last": {"marker": "o", "markersize": 4.5},
}
PLACES = [(x * far, y * far) for far in (1.0, 2.2) for x, y in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1))]


class Mark(NamedTuple):
    """The first or last checkpoint of a line (`end`), and the step that is to be written beside it, empty if not known."""

    axes: Axes
    x: float
    y: float
    end: str
    step: str
    colour: object


@style.styled
def draw(
    local: pd.DataFrame,
    losses: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    scale: str = "linear",
) -> Figure:
    """Mean local ID against the model's perplexity, a point per checkpoint, joined in the order of the training steps;
    a colour per model, a panel per dataset. The ring is the first checkpoint, the large point the last one, with their
    steps, which stand in the legend where they are the same for all. Bars are 95 % intervals of both, or, where a model
    has several seeds, go from the lowest to the highest of them around their median.

    local: the summary table of local estimates (`mean`, `standard_error`, …); losses: `perplexity` of each checkpoint and
    dataset, and the 95 % interval of the loss in nats, `lower` to `upper`. The dimension is that of `layers`, counted from
    the last one where they are negative (None: the last one), a row of panels for each. `scale` makes the axis of the
    dimension "linear" or "log". Steps that have no room are not written. Checkpoints without a known step are drawn only
    where a model has no other; at most 20 models and 24 panels are drawn; the rest is named below. Of several clouds of
    points the first one is drawn.

    Raises ValueError if what is asked for is not in the tables, or a table holds an estimate or a loss twice.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    require_one_row_each(losses, "losses", ["model", "checkpoint", "dataset"])
    without = [
        group
        for group in rows["group"].unique()
        if not losses.loc[losses["group"] == group, "perplexity"].notna().any()
    ]
    rows = rows[~rows["group"].isin(without)]
    if rows.empty:
        return style.statement(
            f"No perplexity to draw: none of the models in the table has a loss ({', '.join(without)}). Causal and masked "
            "language models have one, unless the sweep says extraction: {losses: false}."
        )
    rows, stepless = _with_steps(rows)
    groups = list(rows["group"].unique())
    groups, left_out = groups[:MOST_MODELS], groups[MOST_MODELS:]
    rows = rows[rows["group"].isin(groups)]
    heads = _heads(rows, layers)
    names = list(rows["dataset"].unique())
    panels = [(dataset, head, of_head) for head, of_head in heads.items() for dataset in names]
    panels, beyond = panels[:MOST_PANELS], panels[MOST_PANELS:]
    across, places = style.positions(1, len(panels), LEAST_WIDTH, MARGIN)
    places = places[0] if len(panels) > 1 else [(0, 0)]
    down = places[-1][0] + 1
    looks = style.line_looks(groups)
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    n_runs = rows.groupby("group")["model"].nunique()
    labels = {group: f"{group}{style.seeds_note(n_runs[group])}" for group in groups}
    longest = max(map(len, [*labels.values(), "first checkpoint (step 0)"]))
    in_a_row = max(1, min(4, int(width / (0.45 + LEGEND_LETTER * longest))))
    drawn = style.figure(width, PANEL_HEIGHT * down + LEGEND_LINE * -(-(len(groups) + 2) // in_a_row) + 0.3)
    grid = drawn.add_gridspec(down, across)
    label = style.local_label("Mean local intrinsic dimension", estimator, rows).replace(" (", "\n(")
    perplexities = _perplexities(losses)
    marks, undefined, missing = [], 0, 0
    for place, (dataset, head, of_head) in zip(places, panels, strict=True):
        axes = drawn.add_subplot(grid[place])
        of_panel = over_seeds(of_head[of_head["dataset"] == dataset], "mean")
        of_panel = of_panel.merge(perplexities, on=CHECKPOINT, how="left")
        undefined += int(of_panel["n_undefined"].sum())
        missing += int(of_panel["middle"].isna().sum())
        of_panel = of_panel.dropna(subset=["value", "middle"])
        for group, line in of_panel.groupby("group", sort=False):
            marks += _line(axes, line.sort_values("step", kind="stable"), looks[group])
        _perplexity_axis(axes, of_panel, (width - MARGIN) / across)
        style.value_axis(axes, scale)
        style.title(axes, f"{dataset}, {head}", (width - MARGIN) / across)
        axes.set_ylabel(label if place[1] == 0 else "")
    style.below(
        drawn,
        "Perplexity",
        f"{facts.below(rows, panels_differ=False)}; bars: {_bars(n_runs)}",
        style.undefined_note(undefined, "left out of the means").strip(),
        f"({missing:,} {'point' if missing == 1 else 'points'} without a perplexity not drawn)" if missing else "",
        f"(without a step, not drawn: {', '.join(stepless)})" if stepless else "",
        style.not_drawn(without, ", without losses"),
        style.not_drawn(left_out),
        f"({len(beyond)} panels not drawn for lack of room, see the options datasets and layers)" if beyond else "",
    )
    handles = [Line2D([], [], label=labels[group], **looks[group]) for group in groups]
    for end, look in LOOKS.items():
        steps = {mark.step for mark in marks if mark.end == end}
        (common,) = steps if len(steps) == 1 else [""]
        label = f"{end} checkpoint{f' (step {common})' if common else ''}"
        if steps:
            handles.append(Line2D([], [], color=style.GREY, linestyle="none", label=label, **look))
        if common:
            marks = [mark for mark in marks if mark.end != end]
    drawn.legend(handles=handles, loc="outside upper center", ncols=in_a_row)
    _write_steps(drawn, [mark for mark in marks if mark.step])
    return drawn


def _bars(n_runs: pd.Series) -> str:
    """What bars reach over, of groups of so many runs."""
    kinds = {"95 % intervals": (n_runs == 1).any(), bands.OVER_SEEDS["range"]: (n_runs > 1).any()}
    return ", or ".join(kind for kind, there in kinds.items() if there)


def _with_steps(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose step is known, or of a group's only checkpoint; and the names of the other checkpoints."""
    alone = rows.groupby("group")["checkpoint"].transform("nunique") == 1
    kept = rows["step"].notna() | alone
    return rows[kept], list(dict.fromkeys(rows.loc[~kept, "checkpoint"]))


def _heads(rows: pd.DataFrame, layers: Sequence[int] | None) -> dict[str, pd.DataFrame]:
    """The rows of each row of panels, by what its title says of the layer."""
    if layers is None:
        return {"last layer": of_layers(rows, None)}
    return {_head(layer): of_layers(rows, [layer]) for layer in dict.fromkeys(layers)}


def _head(layer: int) -> str:
    if layer >= 0:
        return f"layer {layer}"
    return "last layer" if layer == -1 else f"layer {-layer} from the end"


def _perplexities(losses: pd.DataFrame) -> pd.DataFrame:
    """Perplexity of each group at each checkpoint and dataset: `middle`, `left` and `right`, over the seeds if several."""
    interval = losses.assign(lower=np.exp(losses["lower"]), upper=np.exp(losses["upper"]))
    runs = interval.groupby(CHECKPOINT, sort=False)
    several = runs["model"].nunique() > 1
    return pd.DataFrame(
        {
            "middle": runs["perplexity"].median(),
            "left": runs["perplexity"].min().where(several, runs["lower"].first()),
            "right": runs["perplexity"].max().where(several, runs["upper"].first()),
        }
    ).reset_index()


def _line(axes: Axes, line: pd.DataFrame, look: dict) -> list[Mark]:
    """Draw a model's checkpoints; returns where the steps of the first and the last one are to be written."""
    x, y = line["middle"].to_numpy(float), line["value"].to_numpy(float)
    errors = {
        "xerr": np.maximum(0, np.nan_to_num([x - line["left"], line["right"] - x])),
        "yerr": np.maximum(0, np.nan_to_num([y - line["low"], line["high"] - y])),
    }
    axes.errorbar(x, y, **errors, fmt="none", ecolor=look["color"], elinewidth=0.5, alpha=0.6)
    axes.plot(x, y, marker="o", markersize=1.8, linewidth=0.9, **look)
    marks = []
    for name, end in ENDS.items():
        if name == "last" or len(line) > 1:
            axes.plot(x[end], y[end], color=look["color"], zorder=3, **LOOKS[name])
            step = line["step"].iloc[end]
            marks.append(
                Mark(axes, x[end], y[end], name, style.step_label(step) if pd.notna(step) else "", look["color"])
            )
    return marks


def _perplexity_axis(axes: Axes, rows: pd.DataFrame, inches: float) -> None:
    """A logarithmic axis with ticks at decades, at 1, 2, 5 … where there would be fewer than three, at least 0.3 inches apart."""
    axes.set_xscale("log")
    axes.margins(x=0.1, y=0.12)
    low, high = axes.get_xlim()
    if rows.empty:
        return
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for factors in ((1,), (1, 2, 5), range(1, 10), np.arange(10, 100) / 10):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    room = max(2, int(inches / 0.35))
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: style.stride(len(ticks), room)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if value < 1e4 else style.step_label(value))
    )


def _dense(corners: np.ndarray) -> np.ndarray:
    """Places on a line, in pixels, close to each other: float64 (n, 2)."""
    steps = np.linspace(0, len(corners) - 1, 20 * len(corners))
    return np.column_stack([np.interp(steps, np.arange(len(corners)), of_axis) for of_axis in corners.T])


def _write_steps(drawn: Figure, marks: list[Mark]) -> None:
    """Write each step beside its mark, where nothing is written and the fewest points are hidden; not at all without room."""
    drawn.draw_without_rendering()
    renderer = drawn.canvas.get_renderer()
    taken = [Bbox.from_bounds(*(mark.axes.transData.transform((mark.x, mark.y)) - 4), 8, 8) for mark in marks]
    for mark in marks:
        axes = mark.axes
        points = np.concatenate([_dense(axes.transData.transform(line.get_xydata())) for line in axes.get_lines()])
        free = []
        for place, (right, up) in enumerate(PLACES):
            text = axes.annotate(
                mark.step,
                (mark.x, mark.y),
                (7 * right, 6.5 * up),
                textcoords="offset points",
                ha={0: "center", 1: "left", -1: "right"}[np.sign(right)],
                va={0: "center", 1: "bottom", -1: "top"}[np.sign(up)],
                fontsize=style.SMALL,
                color=mark.colour,
            )
            text.set_in_layout(False)
            box = text.get_window_extent(renderer).padded(1)
            inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
            inside = inside and axes.bbox.containsy(box.y0) and axes.bbox.containsy(box.y1)
            if inside and not any(box.overlaps(other) for other in taken):
                hidden = ((points >= box.min) & (points <= box.max)).all(axis=1).sum()
                free.append((hidden, place, text, box))
            else:
                text.remove()
        free.sort(key=lambda found: found[:2])
        taken += [box for *_, box in free[:1]]
        for _, _, text, _ in free[1:]:
            text.remove()
