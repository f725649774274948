"""Global against local estimates: do they tell the same story?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from idsweep.drawing import facts, style
from idsweep.drawing.selection import IDENTITY, require_one_row_each, rows_of
from idsweep.statistics.resampling import Interval, correlation_interval

MARKERS = "o^sDvPX<>ph*"
LEAST_WIDTH = 2.0
MOST_PANELS = 24
LEAST_RUNS = 8  # from which on whole runs are drawn anew
LEAST_CLUSTERS = 5


@style.styled
def draw(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    *,
    pairs: Sequence[Sequence[str]] | None = None,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    panel_per_model: bool = False,
    scale: str = "linear",
) -> Figure:
    """Global estimate against mean local estimate, one point per model × seed × checkpoint × dataset × layer. ρ is Spearman's
    rank correlation over the panel's points. Those of one run, and more so of one checkpoint, depend on each other, so its 95 %
    interval draws whole runs anew (bootstrap over clusters), or whole checkpoints where there are fewer than eight runs;
    there is none of fewer than five checkpoints. Checkpoints of one run are not independent either, so that the interval over
    them is a lower bound of the uncertainty.

    local and global_: the summary table of local estimates (`mean`, …) and the table of global ones
    (`value`, …). `pairs` lists (local estimator, global estimator), one panel each; None takes every
    estimator that both tables hold. The dashed line is equality, the marker tells the dataset, the
    colour the depth of the layer relative to the model's deepest one measured. `panel_per_model` draws a row of panels for each model, its seeds together, instead of
    pooling them, up to 24 panels; models beyond are named below. `scale` is "linear" or "log".

    Raises ValueError if what is asked for is not in the tables.
    """
    if pairs is None:
        shared = [name for name in local["estimator"].unique() if name in set(global_["estimator"])]
        pairs = [(name, name) for name in shared]
    if not pairs:
        return style.statement(
            "No global estimates to compare with local ones: no estimator is in both tables "
            f"(local: {', '.join(local['estimator'].unique())}; "
            f"global: {', '.join(global_['estimator'].unique())}). Choose with the option pairs."
        )
    chosen = {"models": models, "datasets": datasets}
    matched = [_matched(local, global_, tuple(pair), chosen) for pair in pairs]
    names = list(matched[0]["dataset"].unique())
    if len(names) > len(MARKERS):
        raise ValueError(
            f"{len(names)} datasets cannot be told apart by {len(MARKERS)} markers: choose some with the option datasets."
        )
    groups = list(matched[0]["group"].unique()) if panel_per_model else [None]
    most = max(1, MOST_PANELS // len(pairs))
    groups, left_out = groups[:most], groups[most:]
    across, places = style.positions(len(groups), len(pairs), LEAST_WIDTH, margin=0.9)
    down = places[-1][-1][0] + 1
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    side = min((width - 0.8) / across, 2.9)
    drawn = style.figure(width, (side + 0.35) * down + 0.3)
    grid = drawn.add_gridspec(down, across)
    for group, of_places in zip(groups, places, strict=True):
        for place, pair, points in zip(of_places, pairs, matched, strict=True):
            axes = drawn.add_subplot(grid[place])
            _scatter(axes, points if group is None else points[points["group"] == group], names, scale)
            axes.set_xlabel(style.local_label("Mean local", pair[0], points) + axes.get_xlabel())
            of_global = points[["global_neighbors"]].rename(columns={"global_neighbors": "n_neighbors"})
            axes.set_ylabel(f"Global ({style.with_neighbors(pair[1], of_global)})")
            if group is not None:
                style.title(axes, group, side - 0.4)
    style.below(
        drawn,
        f"{facts.below(pd.concat(matched), panels_differ=False)}; ρ: Spearman's, with 95 % interval",
        style.not_drawn(left_out),
    )
    _keys(drawn, names, side * down)
    return drawn


def _matched(local: pd.DataFrame, global_: pd.DataFrame, pair: tuple[str, ...], chosen: dict) -> pd.DataFrame:
    if len(pair) != 2:
        raise ValueError(f"pairs: each needs a local and a global estimator, not {list(pair)}.")
    left = rows_of(local, "local", pair[0], **chosen)
    right = rows_of(global_, "global", pair[1], **chosen)
    require_one_row_each(left, "local", IDENTITY)
    require_one_row_each(right, "global", IDENTITY)
    both = left.merge(right[[*IDENTITY, "value"]], on=IDENTITY, how="outer", indicator=True)
    alone = both[both["_merge"] != "both"]
    if not alone.empty:
        first = alone.iloc[0]
        there, lacking = ("local", "global") if first["_merge"] == "left_only" else ("global", "local")
        raise ValueError(
            f"The {lacking} table has no {pair[lacking == 'global']!r} for "
            f"{', '.join(f'{key} {first[key]!r}' for key in IDENTITY)}, though the {there} table has "
            f"{pair[there == 'global']!r} for it ({len(alone)} such rows). Measure both on the same sweep."
        )
    right = right.assign(global_neighbors=right.get("n_neighbors"))
    both = left.merge(right[[*IDENTITY, "value", "global_neighbors"]], on=IDENTITY)
    deepest = both.groupby("group")["layer"].transform("max").clip(lower=1)
    return both.assign(depth=both["layer"] / deepest)


def _scatter(axes: Axes, points: pd.DataFrame, names: list[str], scale: str) -> None:
    finite = points[np.isfinite(points["mean"]) & np.isfinite(points["value"])]
    many = len(finite) > 2000
    # Deep and shallow layers, models and datasets come in order: drawn so, the last would hide the first.
    shuffled = np.random.default_rng(0).permutation(len(finite))
    finite = finite.iloc[shuffled]
    for marker, dataset in zip(MARKERS, names, strict=False):
        of_dataset = finite[finite["dataset"] == dataset]
        axes.scatter(
            of_dataset["mean"],
            of_dataset["value"],
            c=of_dataset["depth"],
            cmap=style.dark_sequence(),
            norm=Normalize(0, 1),
            marker=marker,
            s=6 if many else 16,
            alpha=0.8,
            linewidth=0.3,
            edgecolor="white",
            rasterized=many,
        )
    style.value_axis(axes, scale, "x")
    style.value_axis(axes, scale, "y")
    if not finite.empty:
        _square(axes, finite[["mean", "value"]].to_numpy(dtype=float), scale)
    axes.text(0.04, 0.96, _correlation(finite), transform=axes.transAxes, va="top", fontsize=style.SMALL)
    axes.set_xlabel(style.undefined_note(len(points) - len(finite), "not drawn"))


def _correlation(points: pd.DataFrame) -> str:
    """Spearman's ρ in words, with an interval that draws all points of a run, or of a checkpoint, together."""
    clusters, what = points["model"], "run"
    if clusters.nunique() < LEAST_RUNS:
        clusters, what = points["model"] + "\0" + points["checkpoint"], "checkpoint"
    number = clusters.nunique()
    found = Interval(np.nan, np.nan, np.nan)
    if len(points) > 2:
        codes = pd.factorize(clusters, sort=True)[0]
        found = correlation_interval("spearman", *points[["mean", "value"]].to_numpy(float).T, codes)
    if np.isnan(found.value):
        return f"ρ undefined\nn = {len(points):,}"
    known = number >= LEAST_CLUSTERS and np.isfinite([found.lower, found.upper]).all()
    interval = f" [{_number(found.lower)}, {_number(found.upper)}]" if known else ""
    return f"ρ = {_number(found.value)}{interval}\nn = {len(points):,} of {number} {what}{'s' if number > 1 else ''}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _square(axes: Axes, values: np.ndarray, scale: str) -> None:
    low, high = values.min(), values.max()
    if scale == "log":
        low, high = low / 1.1, high * 1.1
    else:
        margin = 0.06 * (high - low) or 0.5
        low, high = low - margin, high + margin
    axes.plot([low, high], [low, high], color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def _keys(drawn: Figure, names: list[str], inches: float) -> None:
    depths = ScalarMappable(Normalize(0, 1), style.dark_sequence())
    style.colour_bar(drawn, depths, "Relative depth\n(layer / deepest layer measured)", inches)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=style.GREY, markersize=4, label=name)
        for marker, name in zip(MARKERS, names, strict=False)
    ]
    handles.append(Line2D([], [], color=style.GREY, linewidth=0.8, linestyle="--", label="equal"))
    drawn.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5), handletextpad=0.3)
