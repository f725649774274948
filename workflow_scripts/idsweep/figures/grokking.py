"""Grokking: training accuracy, validation accuracy and local dimension over training, of several models."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from idsweep.drawing import bands, facts, over_training, style
from idsweep.drawing.selection import IDENTITY, of_layers, require_asked, require_one_row_each, rows_of

NEEDS = {"metrics": ("train_accuracy", "validation_accuracy")}
ACCURACIES = NEEDS["metrics"]
ACROSS = 3
PANEL_HEIGHT = 1.9
FEW_CURVES = 5  # with more, points, large marks and lines from bottom to top would hide the curves
CROWDED_MARK_SIZE = 4
CROWDED_TOP = 0.08
LEGEND_LINE, LEGEND_LETTER = 0.2, 0.06


@style.styled
def draw(
    local: pd.DataFrame,
    training: pd.DataFrame,
    events: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    steps: str = "linear",
    band: bool | str = True,
) -> Figure:
    """Training accuracy, validation accuracy and mean local ID over training, a colour per model: medians over its seeds,
    with bands from the lowest to the highest. Marks on the curves of the dimension are its peak, the onset of its fall and
    its plateau, with 95 % intervals; dashed lines stand where the validation accuracy has come half-way to 1, short ones
    if there are more than five models. Both are medians over the seeds, drawn if more than half of them show the event.
    Rings are published values.

    local, training, events, reference: the tables of those names. The dimension is that of `layers`, counted from the end
    where they are negative (None: the last one measured), a panel for each of them and each dataset. `steps` makes the axis
    of the steps "linear", "log", which has no place for step 0, or "symlog". Marks and dashed lines need all seeds of a
    model to be drawn; published values beyond the steps of their curve are left out.

    Raises ValueError if what is asked for is not in the tables, or if a model has no accuracies.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    rows, training, events = (
        over_training.on_axis(table, steps) for table in (rows[rows["step"].notna()], training, events)
    )
    rows = of_layers(rows, layers)
    groups = list(rows["group"].unique())
    if not rows.groupby("group")["step"].nunique().max() > 1:  # also NaN, of no rows
        return style.statement("No grokking to draw: no model has more than one checkpoint with a known step.")
    curves = _accuracies(training, rows)
    looks = style.line_looks(groups)
    clouds = list(rows[["dataset", "layer"]].drop_duplicates().itertuples(index=False, name=None))
    down = -(-(len(ACCURACIES) + len(clouds)) // ACROSS)
    drawn = style.figure(style.TEXT_WIDTH, PANEL_HEIGHT * down + 3 * LEGEND_LINE)
    grid = drawn.add_gridspec(down, ACROSS)
    panels = [drawn.add_subplot(grid[divmod(place, ACROSS)]) for place in range(len(ACCURACIES) + len(clouds))]
    n_published = 0
    crowded = len(groups) > FEW_CURVES
    bands_shown: list[str] = []
    for axes, metric in zip(panels, ACCURACIES, strict=False):
        of_metric = curves[curves["metric"] == metric]
        _, count = _curves(axes, of_metric, "value", looks, over_training.published(reference, metric), band)
        n_published += count
        axes.set(title=metric.replace("train_", "Training ").replace("validation_", "Validation "), ylim=(-0.04, 1.06))
    label = style.local_label("", estimator, rows).strip(" ()")
    events = over_training.of_most_runs(events[events["model"].isin(groups)], rows)
    generalization = events[(events["event"] == "generalization") & (events["curve"] == "validation_accuracy")]
    events = events[events["estimator"] == estimator]
    shown: set[str] = set()
    mark_size, top = (CROWDED_MARK_SIZE, CROWDED_TOP) if crowded else (over_training.MARK_SIZE, 1.0)
    for axes, (dataset, layer) in zip(panels[len(ACCURACIES) :], clouds, strict=True):
        of_cloud = rows[(rows["dataset"] == dataset) & (rows["layer"] == layer)]
        of_reference = over_training.published(reference, over_training.LOCAL_DIMENSION, dataset, layer)
        lines, count = _curves(axes, of_cloud, "mean", looks, of_reference, band)
        bands_shown += [name for line in lines.values() for name in line["band"]]
        n_published += count
        of_events = events[(events["dataset"] == dataset) & (events["layer"] == layer)]
        for group, line in lines.items():
            here = of_events[of_events["model"] == group]
            shown |= set(over_training.marked(axes, here, line, looks[group]["color"], mark_size))
        for event in generalization.itertuples():
            colour = looks[event.model]["color"]
            axes.axvline(event.step, ymax=top, color=colour, linewidth=0.8, linestyle="--", zorder=1)
        where = f"{dataset}, layer {layer}".replace("_", " ")
        axes.set(title=f"Mean local dimension\n({where})", ylabel=f"{label}{facts.number(of_cloud)}")
    every_step = pd.concat([curves["step"], rows["step"]]).astype(float)
    undefined = style.undefined_note(int(rows["n_undefined"].sum()), "left out of the means")
    for place, axes in enumerate(panels):
        over_training.step_axis(axes, every_step, steps)
        if place + ACROSS >= len(panels):
            axes.set_xlabel(f"Training step{undefined * (place >= len(ACCURACIES))}")
    marks = over_training.legend_of(shown, published=n_published > 0) + bands.handles(bands_shown)
    if len(generalization):
        marks.append(Line2D([], [], color=style.GREY, linestyle="--", linewidth=0.8, label="generalization"))
    _legends(drawn, looks, rows.groupby("group")["model"].nunique(), marks)
    return drawn


def _curves(
    axes: Axes,
    rows: pd.DataFrame,
    value: str,
    looks: dict[str, dict],
    reference: pd.DataFrame,
    band: bool | str,
) -> tuple[dict[str, pd.DataFrame], int]:
    """Draw one curve for each group, and what was published of it; returns the curves and the number of those values."""
    lines, n_published = {}, 0
    for group, look in looks.items():
        lines[group] = over_training.over_runs(rows[rows["group"] == group], value, band)
        over_training.curve(axes, lines[group], look, markers=len(looks) <= FEW_CURVES)
        of_group = reference[reference["model"] == group]
        n_published += over_training.points(axes, of_group, lines[group], look["color"])
    return lines, n_published


def _accuracies(training: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    curves = training[training["model"].isin(rows["model"]) & training["metric"].isin(ACCURACIES)]
    for model in rows["model"].unique():
        require_asked(
            curves.loc[curves["model"] == model, "metric"], ACCURACIES, "metric", f"the training table of {model!r}"
        )
    require_one_row_each(curves, "training", ["model", "step", "metric"])
    return curves


def _labels(groups: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The title of the legend and its labels: "fraction" and 0.1, 0.3 … where names differ in nothing else."""
    parts = [style.NUMBER.split(group) for group in groups]
    if len(groups) > 1 and len({(tuple(part[:-2]), part[-1]) for part in parts}) == 1 and len(parts[0]) > 1:
        title = "".join(parts[0][:-2]).rsplit("-", 1)[-1].replace("_", " ").strip()
        if title:
            return title, {group: part[-2] + part[-1] for group, part in zip(groups, parts, strict=True)}
    return "", {group: group for group in groups}


def _legends(drawn: Figure, looks: dict[str, dict], n_seeds: pd.Series, marks: list[Line2D]) -> None:
    """Above the panels a line of the models, what their names have in common before it; below them one of the marks.

    n_seeds: of each group.
    """
    title, labels = _labels(list(looks))
    handles = [Line2D([], [], **look, label=labels[group]) for group, look in looks.items()]
    least, most = int(n_seeds.min()), int(n_seeds.max())
    if title or most > 1:
        seeds = f"{most} seeds" if least == most else f"{least}\N{EN DASH}{most} seeds"
        name = title + (f" ({seeds})" if title else f"{seeds}:") * (most > 1)
        handles.insert(0, Line2D([], [], linestyle="none", label=name))
    longest = max(len(handle.get_label()) for handle in handles)
    across = max(1, min(len(handles), int(style.TEXT_WIDTH / (0.4 + LEGEND_LETTER * longest))))
    across = len(handles) if title else across
    drawn.legend(handles=handles, loc="outside upper left", ncols=across, columnspacing=1.2)
    if marks:
        drawn.legend(handles=marks, loc="outside lower left", ncols=len(marks), columnspacing=1.2)
