"""Training dynamics: local intrinsic dimension and metrics against the training step."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from idsweep.drawing import bands, facts, over_training, style
from idsweep.drawing.selection import IDENTITY, by_step, n_seeds, require_asked, require_one_row_each, rows_of

logger = logging.getLogger(__name__)

DIMENSION_HEIGHT = 2.1
METRIC_HEIGHT = 1.05
LEAST_WIDTH = 1.9
METRICS_ACROSS = {False: 2, True: 4}  # in the legend of a narrow and of a wide figure
MARKED_LAYERS = 3  # with more, marks of events would hide the curves
SECOND = "0.35"
OWN_LOSS = "0.2"
OWN_LOOK = {"color": OWN_LOSS, "linestyle": "-", "label": "loss on the measured tokens"}


@style.styled
def draw(
    local: pd.DataFrame,
    training: pd.DataFrame,
    events: pd.DataFrame,
    reference: pd.DataFrame,
    losses: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    second_axis: str | None = None,
    second_limits: Sequence[float] | None = None,
    steps: str = "symlog",
    scale: str = "linear",
    band: bool | str = True,
) -> Figure:
    """Mean local ID per layer against the training step, a panel per dataset. Below each stands the loss on the dataset itself,
    where the model predicts tokens, and once for all panels the losses of the training. Bands are 95 % intervals of the mean;
    where they are not known, quartiles of the local estimates. Where a model has several seeds, lines are their medians and
    bands go from the lowest to the highest; `band` chooses another kind, or false for none. Where up to three layers are
    drawn, marks are the peak of a curve, the onset of its fall, its plateau and its upturn, if more than half of its seeds
    show them, with 95 % intervals. Rings are published values, shaded published ranges.

    local, training, events, reference, losses: the tables of those names. One block per model with more than one checkpoint
    of known step. `metrics` are those of the training that are drawn (None: all whose name ends in `_loss`, and the losses on
    the datasets); of a single dataset all losses share a panel. `second_axis` is one metric drawn on an axis of its own in
    the panels of the dimension, in place of the panels below, from the lower to the upper of `second_limits`; `{split}` in
    its name is the split of the panel's data, and a panel without such a metric has none. `steps` makes the axis of the steps
    "symlog" (linear up to 1 and logarithmic beyond), "linear" or "log", which has no place for step 0; `scale` makes the axis
    of the dimension "linear" or "log". Marks need all seeds of a model to be drawn; published values beyond the steps of
    their curve are left out.

    Raises ValueError if what is asked for is not in the tables.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    rows, training, events, losses = (over_training.on_axis(table, steps) for table in (rows, training, events, losses))
    of_split = _of_split(second_axis, rows, training)
    second_metrics = list(dict.fromkeys(of_split.values()))
    shown = metrics if second_axis is None else [*(metrics or []), *second_metrics]
    curves = {
        group: _curves(training, group, of_group, shown)
        for group, of_group in rows.groupby("group", sort=False)
        if of_group["step"].dropna().nunique() > 1
    }
    if not curves:
        counts = rows.groupby("group", sort=False)["checkpoint"].nunique()
        return style.statement(
            "No training dynamics to draw: no model in the table has more than one checkpoint with a known step "
            f"(checkpoints: {', '.join(f'{model} {count}' for model, count in counts.items())})."
        )
    below = {group: of_group[~of_group["metric"].isin(second_metrics)] for group, of_group in curves.items()}
    own = {group: _own_losses(losses, rows[rows["group"] == group], shown) for group in curves}
    rows = rows[rows["group"].isin(curves)]
    names = list(rows["dataset"].unique())
    across = style.columns(len(names), LEAST_WIDTH, margin=0.7 if second_axis is None else 1.3)
    down = -(-len(names) // across)
    apart = len(names) > 1  # whether losses on the datasets have panels of their own
    once = {group: not below[group].empty or (not apart and not own[group].empty) for group in curves}
    heights = [
        height
        for group in curves
        for height in [DIMENSION_HEIGHT, *([METRIC_HEIGHT] if apart and len(own[group]) else [])] * down
        + [METRIC_HEIGHT] * once[group]
    ]
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    drawn = style.figure(width, sum(heights) + 0.5)
    grid = drawn.add_gridspec(len(heights), across, height_ratios=heights)
    label = style.local_label("Mean local intrinsic dimension", estimator, rows).replace(
        " dimension (", "\ndimension ("
    )
    of_one = "interval" if "standard_error" in rows and rows["standard_error"].notna().any() else "quartiles"
    events = over_training.of_most_runs(events, rows)
    marks: set[str] = set()
    metrics_shown: dict[str, Artist] = {}
    bands_shown: list[str] = []
    shown_published = Counter[str]()
    top = 0
    for group in curves:
        per_row = 2 if apart and len(own[group]) else 1
        of_model = rows[rows["group"] == group]
        of_model_published = reference[reference["model"].isna() | (reference["model"] == group)]
        layers = sorted(of_model["layer"].unique())
        colours = style.dark_sequence()
        seeds = style.seeds_note(n_seeds(of_model))
        steps_shown = np.concatenate([of_model["step"].dropna(), curves[group]["step"]]).astype(float)
        upper: list[Axes] = []
        lower: list[Axes] = []
        seconds: list[Axes] = []
        for place, dataset in enumerate(names):
            row, column = top + per_row * (place // across), place % across
            axes = drawn.add_subplot(grid[row, column], sharey=upper[0] if upper else None)
            chosen = of_model[of_model["dataset"] == dataset]
            lines = _dimension(axes, chosen, layers, colours, band, of_one)
            for layer, (line, colour) in lines.items():
                bands_shown += line["band"].tolist()
                of_curve = over_training.published(of_model_published, over_training.LOCAL_DIMENSION, dataset, layer)
                shown_published.update(_published(axes, of_curve, line, colour))
                if len(layers) <= MARKED_LAYERS:
                    here = events[(events["model"] == group) & (events["estimator"] == estimator)]
                    here = here[(here["dataset"] == dataset) & (here["layer"] == layer)]
                    marks |= set(over_training.marked(axes, here, line, colour))
            style.value_axis(axes, scale)
            style.title(axes, f"{group}{seeds}, {dataset}{facts.of_panel(chosen, rows)}", (width - 1.3) / across)
            style.label_outer(axes, label, column == 0)
            upper.append(axes)
            bottom = axes
            if dataset in of_split:
                second, counts = _second_axis(axes, curves[group], of_split[dataset], of_model_published)
                shown_published.update(counts)
                last = column == across - 1 or place == len(names) - 1
                second.set_ylabel(second_axis.replace("{split}_", "").replace("_", " ") if last else "", color=SECOND)
                if seconds:
                    second.sharey(seconds[0])
                second.tick_params(labelright=last)
                if second_limits is not None:
                    second.set_ylim(*second_limits)
                seconds.append(second)
            if per_row == 2:
                bottom = drawn.add_subplot(grid[row + 1, column], sharex=axes, sharey=lower[0] if lower else None)
                line = _own_loss(bottom, own[group][own[group]["dataset"] == dataset], {"color": OWN_LOSS})
                bands_shown += line["band"].tolist()
                style.label_outer(bottom, "Loss on the\ndata (nats)", column == 0)
                axes.tick_params(labelbottom=False)
                lower.append(bottom)
            bottom.set_xlabel(f"{over_training.step_name(chosen)}{_notes(chosen)}")
            over_training.step_axis(axes, steps_shown, steps)
        top += per_row * down
        if once[group]:
            bottom = drawn.add_subplot(grid[top, :], sharex=None if apart else upper[0])
            shown_published.update(_metrics(bottom, below[group], of_model_published))
            style.label_outer(bottom, _metric_label(below[group]), True)
            if apart:
                style.title(bottom, f"{group}{seeds}, training", width - 1.3)
                over_training.step_axis(bottom, steps_shown, steps)
                bottom.set_xlabel(over_training.step_name(of_model))
            else:
                _hand_down(upper[0], bottom)
                if len(own[group]):
                    bands_shown += _own_loss(bottom, own[group], OWN_LOOK)["band"].tolist()
            found, found_names = bottom.get_legend_handles_labels()
            metrics_shown |= dict(zip(found_names, found, strict=True))
            top += 1
        _layer_bar(drawn, upper, layers, colours)
    handles = over_training.legend_of(
        marks, shown_published["values"] > 0, shown_published["ranges"] > 0
    ) + bands.handles(bands_shown)
    if handles:
        drawn.legend(handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2)
    if metrics_shown:
        across = METRICS_ACROSS[across > 1]
        drawn.legend(
            metrics_shown.values(),
            metrics_shown.keys(),
            title=facts.below(rows),  # a text of its own would lie on the legend
            loc="outside lower center",
            ncols=across,
            handlelength=1.8,
        )
    else:
        style.below(drawn, facts.below(rows))
    return drawn


def _hand_down(upper: Axes, lower: Axes) -> None:
    """Move what stands below a panel to the one below it, which shares its axis."""
    lower.set_xlabel(upper.get_xlabel())
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)


def _own_losses(losses: pd.DataFrame, rows: pd.DataFrame, shown: Sequence[str] | None) -> pd.DataFrame:
    """The losses of a group's runs on the datasets that are drawn, unless metrics are chosen, or one of the datasets has none."""
    own = losses[losses["model"].isin(rows["model"]) & losses["dataset"].isin(rows["dataset"]) & losses["step"].notna()]
    whole = own["dataset"].nunique() == rows["dataset"].nunique()
    return own if whole and shown is None else own[:0]


def _own_loss(axes: Axes, losses: pd.DataFrame, look: dict) -> pd.DataFrame:
    """Draw the loss on one dataset with its 95 % interval, or the range over seeds; returns the curve as `over_runs`."""
    line = over_training.over_runs(losses, "loss")
    if losses["model"].nunique() == 1:
        of_one = losses.sort_values("step")
        line = line.assign(low=of_one["lower"].to_numpy(), high=of_one["upper"].to_numpy())
        line["band"] = line["band"].where(line["low"].isna(), bands.OF_ONE["interval"])
    over_training.curve(axes, line, look)
    return line


def _of_split(second_axis: str | None, rows: pd.DataFrame, training: pd.DataFrame) -> dict[str, str]:
    """The metric of the second axis for each dataset that has one."""
    if second_axis is None:
        return {}
    splits = rows[["dataset", "split"]].drop_duplicates().itertuples(index=False, name=None)
    named = {dataset: second_axis.replace("{split}", str(split)) for dataset, split in splits}
    if "{split}" not in second_axis:
        return named
    known = set(training["metric"])
    found = {dataset: metric for dataset, metric in named.items() if metric in known}
    if not found:
        raise ValueError(
            f"second_axis: the training table has no metric {' and no '.join(dict.fromkeys(named.values()))}; "
            "expected one of a split that is measured."
        )
    return found


def _curves(training: pd.DataFrame, group: str, rows: pd.DataFrame, metrics: Sequence[str] | None) -> pd.DataFrame:
    """The metrics that are shown of the runs of a group that `rows` are of."""
    of_group = training[training["model"].isin(rows["model"])]
    if metrics is not None and not (of_group.empty and not training.empty):
        require_asked(of_group["metric"], metrics, "metric", f"the training table of model {group!r}")
    mask = of_group["metric"].str.endswith("_loss") if metrics is None else of_group["metric"].isin(metrics)
    of_group = of_group[mask.astype(bool)]
    require_one_row_each(of_group, "training", ["model", "step", "metric"])
    return of_group


def _dimension(
    axes: Axes, rows: pd.DataFrame, layers: list[int], colours: Colormap, band: bool | str, of_one: str
) -> dict[int, tuple[pd.DataFrame, object]]:
    """Draw a curve per layer; returns each with its colour."""
    known = rows[rows["step"].notna()]
    shades = _shades(layers, colours)
    lines = {}
    for layer, shade in zip(layers, shades, strict=True):
        of_layer = known[known["layer"] == layer].sort_values("step")
        line = over_training.over_runs(of_layer, "mean", band, of_one)
        over_training.curve(axes, line, {"color": shade}, alpha=min(0.15, 0.9 / len(layers)))
        lines[layer] = line, shade
    return lines


def _shades(layers: list[int], colours: Colormap) -> np.ndarray:
    return colours(np.linspace(0, 1, len(layers)) if len(layers) > 1 else [0.4])


def _notes(rows: pd.DataFrame) -> str:
    """What is not drawn, below the label of the steps."""
    known = rows[rows["step"].notna()]
    unplaced = list(by_step(rows).loc[lambda checkpoints: checkpoints["step"].isna(), "checkpoint"])
    if unplaced:
        logger.warning("Checkpoints without a step are not on the step axis: %s.", ", ".join(unplaced))
    note = style.undefined_note(int(known["n_undefined"].sum()), "left out of the means")
    return note + (f"\n(without a step, not drawn: {', '.join(unplaced)})" if unplaced else "")


def _published(axes: Axes, of_curve: pd.DataFrame, line: pd.DataFrame, colour: object) -> Counter[str]:
    """Draw what was published of a curve; returns how many `values` and `ranges` those are."""
    return Counter(
        values=over_training.points(axes, of_curve, line, colour), ranges=over_training.shade(axes, of_curve, colour)
    )


def _metrics(axes: Axes, curves: pd.DataFrame, reference: pd.DataFrame) -> Counter[str]:
    """Draw the metrics and what was published of them, counted as by `_published`."""
    metrics = list(curves["metric"].unique())
    counts = Counter[str]()
    for place, (metric, colour) in enumerate(zip(metrics, style.categories(len(metrics)), strict=True)):
        line = over_training.over_runs(curves[curves["metric"] == metric], "value")
        look = {"color": colour, "linestyle": style.DASHES[place % 4], "label": metric.replace("_", " ")}
        over_training.curve(axes, line, look, markers=False)
        counts.update(_published(axes, over_training.published(reference, metric), line, colour))
    return counts


def _second_axis(axes: Axes, curves: pd.DataFrame, metric: str, reference: pd.DataFrame) -> tuple[Axes, Counter[str]]:
    """The metric over the panel of the dimension, dashed, with an axis on the right; and what was published, counted as by `_published`."""
    second = axes.twinx()
    line = over_training.over_runs(curves[curves["metric"] == metric], "value")
    over_training.curve(second, line, {"color": SECOND, "linestyle": "--"})
    counts = _published(second, over_training.published(reference, metric), line, SECOND)
    second.spines["right"].set(visible=True, color=SECOND)
    second.tick_params(axis="y", colors=SECOND)
    second.yaxis.set_major_locator(MaxNLocator(5))
    return second, counts


def _metric_label(curves: pd.DataFrame) -> str:
    return "Loss" if curves["metric"].str.endswith("_loss").all() else "Metric"


def _layer_bar(drawn: Figure, panels: list[Axes], layers: list[int], colours: Colormap) -> None:
    places = np.arange(len(layers) + 1) - 0.5
    shades = colours if len(layers) > 1 else ListedColormap(_shades(layers, colours))
    bar = drawn.colorbar(
        ScalarMappable(BoundaryNorm(places, colours.N), shades), ax=panels, label="Layer", aspect=25, pad=0.02
    )
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    style.layer_ticks(bar.ax, layers, "y", DIMENSION_HEIGHT, 0.14)
    bar.ax.tick_params(length=0)
