"""Profiles of the local intrinsic dimension over the layers, of several models or of one over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from idsweep.drawing import bands, facts, style
from idsweep.drawing.selection import (
    IDENTITY,
    at_last_checkpoint,
    n_seeds,
    of_checkpoints,
    over_seeds,
    require_one_row_each,
    rows_of,
)

PANEL_HEIGHT = 2.2
LEAST_WIDTH = 2.1
MARGIN = 0.9
MOST_MODELS = 20
MOST_CHECKPOINTS = 16
MOST_PANELS = 24
LEGEND_LETTER = 0.06
LEGEND_SIGN = 0.45
LEGEND_LINE = 0.16
PEAK = {"marker": "o", "markersize": 5, "markerfacecolor": "white", "linestyle": "none"}
FLAT_TOP = {"linewidth": 2.6, "linestyle": "-", "solid_capstyle": "butt"}
HIGHEST_LAYER = "highest_layer"  # contrasts of a layer with the one of the highest mean
CELL = ["model", "checkpoint", "dataset"]
LINE = ["group", "checkpoint", "dataset"]

# Values of `LINE` -> first and last layer of the top of the line; the same where it has a peak, None where that is not known.
Tops = Mapping[tuple[str, str, str], tuple[int, int] | None]


@style.styled
def draw(
    local: pd.DataFrame,
    contrasts: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    checkpoints: str | Sequence[str | int] | None = None,
    scale: str = "linear",
    band: bool | str = True,
) -> Figure:
    """Mean local ID over the layers, a panel per dataset, a line per model at its last checkpoint; or, with the option
    checkpoints, a panel per model and dataset and a line per checkpoint. Where a model has several seeds, lines are
    their medians; bands go from the lowest to the highest seed, or are 95 % intervals where there is one; `band` chooses
    another kind. A ring marks a peak: its neighbouring layers are lower, by paired differences at the same tokens whose 95 %
    intervals exclude 0. Where there is none, the line is thick along its flat top: the layers around the highest one that are not
    lower in this sense.

    Of several seeds, a ring marks a peak that all have at the same layer; a thick line goes from the first to the last layer of
    any seed's peak or flat top. The highest layer is tested by the values that it was chosen by: of simulated flat profiles of 13
    (37) layers, 3 to 7 (2 to 11) % had a ring, more where the errors of neighbouring layers have less in common.

    contrasts: the table of paired differences, of which those of layers with the highest one count. local: the summary table of local estimates (`group, model, checkpoint, step, dataset, layer, mean, standard_error,
    n_undefined, …`). Over several models the layers stand at their depth relative to the deepest one measured, 0 being
    the output of the embedding; models measured at a single layer are left out and named below, and so are those beyond
    20. Models whose names carry a size (pythia-70m, pythia-1.4b-deduped …) have its place in a sequence as their colour.

    `checkpoints` is "all" or a list of steps or names of checkpoints. Lines are then coloured by the logarithm of the
    step, without bands; of "all", up to 16 are drawn that are evenly spaced in it, the first and the last among them.
    There are at most 24 panels. `scale` makes the axis of the dimension "linear" or "log"; `band: false` leaves out the
    bands.

    Raises ValueError if what is asked for is not in the table.
    """
    rows = rows_of(local, "local", estimator, models=models, datasets=datasets)
    require_one_row_each(rows, "local", IDENTITY)
    n_layers = rows.groupby("group", sort=False)["layer"].nunique()
    single = list(n_layers[n_layers < 2].index)
    rows = rows[~rows["group"].isin(single)]
    if rows.empty:
        return style.statement(
            f"No profiles over layers to draw: no model in the table has more than one layer measured ({', '.join(single)})."
        )
    label = style.local_label("Mean local intrinsic dimension", estimator, rows).replace(" (", "\n(")
    notes = [style.not_drawn(single, ", measured at a single layer")]
    contrasts = contrasts[(contrasts["estimator"] == estimator) & (contrasts["contrast"] == HIGHEST_LAYER)]
    if checkpoints is None:
        rows = at_last_checkpoint(rows)
        lines = over_seeds(rows, "mean", band=band)
        return _of_models(lines, _tops(contrasts, rows, lines), label, notes, scale)
    return _of_checkpoints(rows, contrasts, checkpoints, label, notes, scale)


def _tops(contrasts: pd.DataFrame, rows: pd.DataFrame, lines: pd.DataFrame) -> Tops:
    """The tops of lines over seeds.

    contrasts: of layers with the highest one. rows: of the local table, one for each run, checkpoint, dataset and layer. lines:
    these, `over_seeds`.
    """
    contrasts = contrasts.merge(rows[[*CELL, "set", "cloud"]].drop_duplicates(), on=[*CELL, "set", "cloud"])
    of_runs = {cell: _top(of_cell) for cell, of_cell in contrasts.groupby(CELL, sort=False)}
    runs = rows.groupby("group", sort=False)["model"].unique()
    tops: dict[tuple[str, str, str], tuple[int, int] | None] = {}
    for key, line in lines.groupby(LINE, sort=False):
        group, checkpoint, dataset = key
        ends = [of_runs.get((model, checkpoint, dataset)) for model in runs[group]]
        tops[key] = None
        if line["value"].notna().any() and None not in ends:
            highest = int(line.loc[line["value"].idxmax(), "layer"])
            tops[key] = min(highest, *(first for first, _ in ends)), max(highest, *(last for _, last in ends))
    return tops


def _top(contrasts: pd.DataFrame) -> tuple[int, int] | None:
    """First and last of the layers around the highest one that are not significantly lower; None if an interval is not known.

    contrasts: of each other layer of a run with its highest one. Layers without a defined value are passed over.
    """
    highest = int(contrasts["other_layer"].iloc[0])
    ordered = contrasts[contrasts["n_pairs"] > 0].sort_values("layer")
    ends = []
    for side in (ordered[ordered["layer"] < highest][::-1], ordered[ordered["layer"] > highest]):
        end = highest
        for layer, upper in side[["layer", "upper"]].itertuples(index=False):
            if np.isnan(upper):
                return None
            if upper < 0:
                break
            end = int(layer)
        ends.append(end)
    return ends[0], ends[1]


def _of_models(rows: pd.DataFrame, tops: Tops, label: str, notes: list[str], scale: str) -> Figure:
    """A panel per dataset, a line per group."""
    groups, names = list(rows["group"].unique()), list(rows["dataset"].unique())
    groups, left_out = groups[:MOST_MODELS], groups[MOST_MODELS:]
    rows = rows[rows["group"].isin(groups)]
    across, (places,) = style.positions(1, len(names), LEAST_WIDTH, MARGIN)
    down = places[-1][0] + 1
    looks = style.line_looks(groups)
    last = {
        group: f" ({of_group['checkpoint'].iloc[0]}){style.seeds_note(of_group['n_seeds'].max())}"
        for group, of_group in rows.groupby("group", sort=False)
    }
    same = len(set(last.values())) == 1
    labels = {group: group if same else group + of_group for group, of_group in last.items()}
    tops = {key: top for key, top in tops.items() if key[0] in groups}
    named = [*_signs(tops), *bands.handles(rows["band"])]
    width = style.COLUMN_WIDTH if across == 1 and len(groups) <= 6 else style.TEXT_WIDTH
    in_a_row = _in_a_row([*labels.values(), *(handle.get_label() for handle in named)], width)
    lines = -(-(len(groups) + len(named)) // in_a_row)
    drawn = style.figure(width, PANEL_HEIGHT * down + LEGEND_LINE * lines + 0.3)
    grid = drawn.add_gridspec(down, across)
    first = None
    for place, dataset in zip(places, names, strict=True):
        axes = drawn.add_subplot(grid[place], sharex=first, sharey=first)
        first = first or axes
        for group, of_group in rows[rows["dataset"] == dataset].groupby("group", sort=False):
            line = of_group.sort_values("layer")
            depth = line["layer"] / line["layer"].max()
            if line["low"].notna().any():
                axes.fill_between(
                    depth, line["low"], line["high"], color=looks[group]["color"], alpha=0.18, linewidth=0
                )
            axes.plot(depth, line["value"], **looks[group])
            _mark(axes, depth, line, tops, looks[group]["color"])
        size = facts.of_panel(rows[rows["dataset"] == dataset], rows)
        style.title(axes, dataset + last[groups[0]] * same + size, (width - MARGIN) / across)
        style.label_outer(axes, label, place[1] == 0)
    first.set_xlim(-0.03, 1.03)
    style.value_axis(first, scale)
    undefined = style.undefined_note(int(rows["n_undefined"].sum()), "left out of the means").strip()
    style.below(
        drawn,
        "Relative depth (layer / deepest layer measured)",
        facts.below(rows),
        undefined,
        *_explain(tops, rows["n_seeds"].max()),
        *notes,
        style.not_drawn(left_out),
    )
    handles = [Line2D([], [], **look, label=labels[group]) for group, look in looks.items()]
    drawn.legend(handles=[*handles, *named], loc="outside upper center", ncols=in_a_row)
    return drawn


def _of_checkpoints(
    rows: pd.DataFrame,
    contrasts: pd.DataFrame,
    checkpoints: str | Sequence[str | int],
    label: str,
    notes: list[str],
    scale: str,
) -> Figure:
    """A panel per group and dataset, a line per checkpoint."""
    rows = of_checkpoints(rows, checkpoints, "the local table")
    unplaced = list(rows.loc[rows["step"].isna(), "checkpoint"].unique())
    if unplaced:
        notes.append(f"(without a step, not drawn: {', '.join(unplaced)})")
    rows = rows[rows["step"].notna()]
    if rows.empty:
        return style.statement("No profiles over training to draw: no checkpoint has a known step.")
    steps = {group: np.sort(of_group["step"].unique()) for group, of_group in rows.groupby("group", sort=False)}
    if checkpoints == "all" and max(map(len, steps.values())) > MOST_CHECKPOINTS:
        steps = {group: _thinned(of_group) for group, of_group in steps.items()}
        notes.append(f"(up to {MOST_CHECKPOINTS} checkpoints each, evenly spaced in the logarithm of the step)")
    groups, names = list(steps), list(rows["dataset"].unique())
    kept = groups[: max(1, MOST_PANELS // len(names))]
    notes.append(style.not_drawn(groups[len(kept) :]))
    across, places = style.positions(len(kept), len(names), LEAST_WIDTH, MARGIN)
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    down = places[-1][-1][0] + 1
    drawn = style.figure(width, PANEL_HEIGHT * down + 0.4)
    grid = drawn.add_gridspec(down, across)
    shown = np.unique(np.concatenate([steps[group] for group in kept]))
    norm = AsinhNorm(1, shown[0], max(shown[-1], shown[0] + 1))
    n_undefined = 0
    tops: dict[tuple[str, str, str], tuple[int, int] | None] = {}
    for group, of_places in zip(kept, places, strict=True):
        of_group = rows[(rows["group"] == group) & rows["step"].isin(steps[group])]
        seeds = style.seeds_note(n_seeds(of_group))
        lines = over_seeds(of_group, "mean")
        tops |= _tops(contrasts, of_group, lines)
        n_undefined += int(lines["n_undefined"].sum())
        first = None
        for place, dataset in zip(of_places, names, strict=True):
            axes = drawn.add_subplot(grid[place], sharey=first)
            for step, line in lines[lines["dataset"] == dataset].sort_values(["step", "layer"]).groupby("step"):
                colour = style.dark_sequence()(norm(step))
                axes.plot(line["layer"], line["value"], color=colour)
                _mark(axes, line["layer"], line, tops, colour, 3.5)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            of_panel = of_group[of_group["dataset"] == dataset]
            title = f"{group}{seeds}, {dataset}{facts.of_panel(of_panel, rows)}"
            style.title(axes, title, (width - MARGIN) / across - 0.3)
            style.label_outer(axes, "", first is None or place[1] == 0)
            first = first or axes
        style.value_axis(first, scale)
    undefined = style.undefined_note(n_undefined, "left out of the means").strip()
    style.below(drawn, "Layer", facts.below(rows), undefined, *_explain(tops, n_seeds(rows)), *notes)
    style.beside(drawn, label)
    _step_bar(drawn, norm, shown, PANEL_HEIGHT * down)
    if signs := _signs(tops):
        drawn.legend(handles=signs, loc="outside upper right", ncols=len(signs))
    return drawn


def _thinned(steps: np.ndarray) -> np.ndarray:
    """The steps nearest to places evenly spaced from the first to the last of them, in the norm of the colours."""
    if len(steps) <= MOST_CHECKPOINTS:
        return steps
    places = np.arcsinh(steps.astype(float))
    targets = np.linspace(places[0], places[-1], MOST_CHECKPOINTS)
    return steps[np.unique(np.abs(places[:, None] - targets).argmin(axis=0))]


def _mark(axes: Axes, places: pd.Series, line: pd.DataFrame, tops: Tops, colour: tuple, size: float = 5) -> None:
    """Show the top of a line, whose rows stand at `places` of the axis: a ring on a peak, or a thick line."""
    top = tops[tuple(line[LINE].iloc[0])]
    if top is None:
        return
    inside = line["layer"].between(*top)
    look = PEAK | {"markersize": size, "zorder": 3} if top[0] == top[1] else FLAT_TOP
    axes.plot(places[inside], line.loc[inside, "value"], **look, color=colour)


def _in_a_row(labels: Sequence[str], inches: float) -> int:
    """The most columns, up to four, in which a legend has room; matplotlib fills one after the other."""
    for number in range(min(4, len(labels)), 1, -1):
        columns = np.array_split([len(label) for label in labels], number)
        if sum(LEGEND_SIGN + LEGEND_LETTER * column.max() for column in columns) <= inches:
            return number
    return 1


def _signs(tops: Tops) -> list[Line2D]:
    """What a legend says of the tops that are drawn."""
    looks = {"peak": (PEAK, True), "flat top": (FLAT_TOP, False)}
    shown = {top[0] == top[1] for top in tops.values() if top is not None}
    return [
        Line2D([], [], color=style.GREY, **look, label=name)
        for name, (look, is_peak) in looks.items()
        if is_peak in shown
    ]


def _explain(tops: Tops, seeds: int) -> list[str]:
    """Lines below the figure that say what the signs mean, and where there are none."""
    known = [top for top in tops.values() if top is not None]
    peak, flat = "peak: the layers beside it are lower", "flat top: layers that are not lower than the highest"
    if seeds > 1:
        peak += " in every seed"
        flat = "flat top: from the first to the last layer that is not lower than the highest in some seed"
    signs = [sign for sign, is_peak in ((peak, True), (flat, False)) if is_peak in {top[0] == top[1] for top in known}]
    meant = "; ".join([*signs, "by 95 % intervals of differences at the same tokens"])
    return [
        meant[0].upper() + meant[1:] if known else "",
        "(no top is marked where differences between layers have no interval)" if len(known) < len(tops) else "",
    ]


def _step_bar(drawn: Figure, norm: AsinhNorm, steps: np.ndarray, inches: float) -> None:
    bar = style.colour_bar(drawn, ScalarMappable(norm, style.dark_sequence()), "Training step", inches)
    decades = 10.0 ** np.arange(10)
    for candidates in (
        [0, *decades],
        [factor * decade for decade in decades for factor in (1, 2, 5)],
        {steps[0], steps[-1]},
    ):
        ticks = [tick for tick in candidates if steps[0] <= tick <= steps[-1]]
        if len(ticks) > 2:
            break
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda step, _: style.step_label(step)))
