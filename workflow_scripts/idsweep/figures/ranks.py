"""What low-rank training reaches: perplexity against the rank, beside the intrinsic dimension of the embeddings."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from idsweep.drawing import bands, facts, over_training, style
from idsweep.drawing.selection import (
    at_last_checkpoint,
    of_representations,
    over_seeds,
    require_asked,
    require_one_row_each,
)
from idsweep.statistics.elbow import elbow

NEEDS = {"texts": False, "varies": "training.rank", "representations": ("input_embeddings",), "one_base": True}
RANK = NEEDS["varies"]
(EMBEDDINGS,) = NEEDS["representations"]
HEIGHT = 2.6
MOST_LINES = 10
LEGEND_LETTER, LEGEND_LINE = 0.058, 0.17
FEW_TICKS, MOST_TICKS = 3, 12
THIN = 0.9
SCOPES = {"global": ("global ID", "0.2", "-"), "local": ("mean local ID", "0.5", "--")}


@style.styled
def draw(
    training: pd.DataFrame,
    local: pd.DataFrame,
    global_: pd.DataFrame,
    *,
    metric: str = "validation_loss",
    estimate: str = "mle",
    base: str | None = None,
    scale: str = "log",
    band: bool | str = True,
) -> Figure:
    """Perplexity at the end of training against the rank of the trained matrices, a line for each group of models that
    differ in nothing else: medians over seeds, with bands from the lowest to the highest. Vertical lines with bands are
    the ID of the base model's input embeddings and its 95 % interval, dash-dotted ones the ranks at which the lines bend.

    training, local, global_: the tables of those names. The perplexity is the exponential of `metric`, a loss in nats, at
    each model's last step; the rank is `training.rank` of the column `varied`, and models without it have no place.
    `estimate` is a global estimate, beside which the mean of the local one of that name is drawn where there is one, of the
    model `base` at its last checkpoint (None: the only one of no rank that has it). Its own perplexity is dotted where the
    models with ranks have the metric base_`metric`, the loss of what they start from on the texts of `metric`: the median.
    `scale` makes the axis of the perplexity "log" or "linear"; `band: false` leaves out the bands. Bends are of the loss
    against log2 rank, over all seeds: see `idsweep.statistics.elbow`. Lines beyond ten are named below.

    Raises ValueError if what is asked for is not in the tables, or if no base or more than one is there to choose from.
    """
    training = _with_ranks(training)
    ranked = training[training["rank"].notna()]
    if ranked.empty:
        return style.statement(
            f"No ranks to draw: no model of the training table varies {RANK}. Vary it in the catalog, as "
            f"vary: {{{RANK}: [1, 2, 4, 8]}}."
        )
    for model, of_model in ranked.groupby("model", sort=False):
        require_asked(of_model["metric"], [metric], "metric", f"the training table of model {model!r}")
    last = _last(ranked, metric)
    runs = last[np.isfinite(last["perplexity"])]
    if runs.empty:
        return style.statement(f"No ranks to draw: no model with a rank has a finite {metric} at its last step.")
    rows = _of_base(local, global_, estimate, base, set(ranked["model"]))
    names = list(runs["line"].unique())
    drawn = style.figure(style.TEXT_WIDTH, HEIGHT)
    axes = drawn.add_subplot()
    handles = _lines(axes, runs[runs["line"].isin(names[:MOST_LINES])], band)
    handles += _dimensions(axes, rows, estimate)
    of_base = _last(ranked, f"base_{metric}")["perplexity"].median()
    if np.isfinite(of_base):
        handles.append(axes.axhline(of_base, color=style.GREY, linestyle=":", linewidth=THIN, zorder=1))
        handles[-1].set_label(f"perplexity of {rows['group'].iloc[0]}: {_number(of_base)}")
    style.value_axis(axes, scale)
    _rank_axis(axes, runs["rank"], rows["value"])
    axes.set_ylabel(f"Perplexity\n(exp of {metric.replace('_', ' ')})")
    diverged = len(last) - len(runs)
    steps = runs["step"].agg(["min", "max"]).astype(int)
    style.below(
        drawn,
        "LoRA rank",
        f"ID: {points}" if (points := facts.points(rows)) else "",
        f"({diverged} {'run' if diverged == 1 else 'runs'} without a finite {metric}, not drawn)" * (diverged > 0),
        f"(last steps differ: {steps['min']:,} – {steps['max']:,})" * bool(steps["min"] < steps["max"]),
        style.undefined_note(int(rows["value"].isna().sum()), "of the ID not drawn").strip(),
        style.not_drawn(names[MOST_LINES:], f", beyond {MOST_LINES} lines"),
    )
    longest = max(len(handle.get_label()) for handle in handles)
    in_a_row = max(1, min(3, int(style.TEXT_WIDTH / (0.5 + LEGEND_LETTER * longest))))
    drawn.set_figheight(drawn.get_figheight() + LEGEND_LINE * -(-len(handles) // in_a_row))
    drawn.legend(handles=handles, loc="outside upper center", ncols=in_a_row, handlelength=2.6)
    return drawn


def _with_ranks(training: pd.DataFrame) -> pd.DataFrame:
    """The training table with `rank` (NaN where none is varied), and `line`, the group's name without it.

    Raises ValueError if there is no column `varied`, or if a rank is no positive number.
    """
    if "varied" not in training:
        raise ValueError(f"The training table lacks the column 'varied'; it has {list(training.columns)}.")
    ranks = [json.loads(varied).get(RANK) if isinstance(varied, str) else None for varied in training["varied"]]
    lines = []
    for model, group, rank in zip(training["model"], training["group"], ranks, strict=True):
        if rank is not None and not (isinstance(rank, int | float) and rank > 0):
            raise ValueError(f"{RANK} of model {model!r} is {rank!r}; expected a positive number.")
        lines.append(re.sub(rf"-rank{re.escape(str(rank))}(?=-|$)", "", group, count=1))
    return training.assign(rank=np.array(ranks, dtype=float), line=lines)


def _last(training: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Each model's row of the metric at its last step, with `perplexity`."""
    rows = training[training["metric"] == metric]
    require_one_row_each(rows, "training", ["model", "step", "metric"])
    last = rows.sort_values("step", kind="stable").drop_duplicates("model", keep="last").sort_index()
    return last.assign(perplexity=np.exp(last["value"].astype(float)))


def _of_base(
    local: pd.DataFrame, global_: pd.DataFrame, estimate: str, base: str | None, ranked: set[str]
) -> pd.DataFrame:
    """The estimates of the base model's input embeddings at its last checkpoint: a row of the global table, one of local."""
    rows = of_representations(local, global_, [EMBEDDINGS], models=None if base is None else [base])
    of_global = rows[rows["scope"] == "global"]
    where = f"the global table of {EMBEDDINGS}" + (f" of {base!r}" if base else "")
    require_asked(of_global["estimator"], [estimate], "estimate", where)
    rows = rows[rows["estimator"] == estimate]
    if base is None:
        found = of_global[(of_global["estimator"] == estimate) & ~of_global["model"].isin(ranked)]["group"].unique()
        if len(found) != 1:
            choices = f"there are {', '.join(map(repr, found))}" if len(found) else "there is none without a rank"
            raise ValueError(
                f"base: it is not clear which model's {EMBEDDINGS} to compare the ranks with: with the global estimate "
                f"{estimate!r}, {choices}. Measure one, or choose one with the option base."
            )
        rows = rows[rows["group"] == found[0]]
    return at_last_checkpoint(rows)


def _lines(axes: Axes, runs: pd.DataFrame, band: bool | str) -> list[Artist]:
    """Draw the perplexity of each line against the rank, and where it bends; returns what the legend is to name."""
    handles: list[Artist] = []
    bands_shown: list[str] = []
    names = list(runs["line"].unique())
    for name, colour in zip(names, style.categories(len(names)), strict=True):
        of_line = runs[runs["line"] == name]
        over_runs = over_training.over_runs(of_line.assign(step=of_line["rank"]), "perplexity", band)
        look = {"color": colour, "label": name + style.seeds_note(int(of_line["rank"].value_counts().max()))}
        over_training.curve(axes, over_runs, look)
        handles.append(axes.get_lines()[-1])
        bands_shown += over_runs["band"].tolist()
        bend = elbow(of_line["rank"], of_line["value"])
        if bend is not None:
            handles.append(axes.axvline(bend.x, color=colour, linestyle="-.", linewidth=THIN, zorder=1))
            owner = f" of {name}" if len(names) > 1 else ""
            handles[-1].set_label(f"bend{owner}: {_with_interval(bend.x, bend.lower, bend.upper)}")
    return handles + bands.handles(bands_shown)


def _dimensions(axes: Axes, rows: pd.DataFrame, estimate: str) -> list[Artist]:
    """Draw the intrinsic dimensions as vertical lines with their intervals; returns what the legend is to name."""
    handles = []
    for row in over_seeds(rows, "value", ["group", "checkpoint", "scope"]).dropna(subset="value").itertuples():
        text, colour, dashes = SCOPES[row.scope]
        if np.isfinite(row.low) and np.isfinite(row.high):
            axes.axvspan(row.low, row.high, color=colour, alpha=0.15, linewidth=0, zorder=0)
        handles.append(axes.axvline(row.value, color=colour, linestyle=dashes, linewidth=THIN, zorder=1))
        of_scope = rows[rows["scope"] == row.scope]
        label = f"{text} of {row.group} ({style.with_neighbors(estimate, of_scope)})"
        handles[-1].set_label(f"{label}: {_with_interval(row.value, row.low, row.high)}")
    return handles


def _rank_axis(axes: Axes, ranks: pd.Series, dimensions: pd.Series) -> None:
    """Make x an axis of log2 rank that holds the ranks and the dimensions, with ticks at powers of two, or at few ranks."""
    ends = np.log2([*ranks, *dimensions.dropna()])
    low, high = ends.min(), ends.max()
    margin = max(0.03 * (high - low), 0.15)
    axes.set_xscale("log", base=2)
    axes.set_xlim(2 ** (low - margin), 2 ** (high + margin))
    powers = np.arange(np.ceil(low - margin), np.floor(high + margin) + 1)
    powers = powers[:: style.stride(len(powers), MOST_TICKS)]
    axes.xaxis.set_major_locator(FixedLocator(2.0**powers if len(powers) >= FEW_TICKS else sorted(set(ranks))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:g}"))


def _with_interval(value: float, low: float, high: float) -> str:
    interval = f" ({_number(low)} – {_number(high)})" if np.isfinite(low) and np.isfinite(high) else ""
    return _number(value) + interval


def _number(value: float) -> str:
    """Three digits, and all before the point: 4.27, 19.5, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
