"""How far does the local estimate depend on the settings of the measurement?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from idsweep.drawing import facts, published, style
from idsweep.drawing.selection import (
    IDENTITY,
    at_last_checkpoint,
    of_layers,
    require_asked,
    require_one_row_each,
    rows_of,
)

log = logging.getLogger(__name__)

NEEDS = {"estimator": "beginning"}
PANEL_HEIGHT = 1.65
LEAST_WIDTH = 1.5
MARGIN = 0.8
MOST_LINES = 7
MOST_BLOCKS = 12
LABEL_WIDTH = 0.3
LETTER, LINE = 0.062, 0.14
LEAST_SHARE = 0.95  # of N; of fewer points it is said
NUMBER, HAUSDORFF, TOKENS, NOISE, SEQUENCES, NEIGHBORS = (
    "cloud_number",
    "hausdorff",
    "cloud_tokens",
    "cloud_noise",
    "cloud_sequences",
    "n_neighbors",
)
SETTINGS = {
    NUMBER: ("N", "Points N"),
    NEIGHBORS: ("L", "Neighbours L"),
    SEQUENCES: ("M", "Sequences M"),
    NOISE: ("σ", "Noise, standard deviation σ"),
    TOKENS: ("tokens", "Tokens"),
}
TITLES = {setting: title for setting, (_, title) in SETTINGS.items()} | {
    HAUSDORFF: "Hausdorff distance to the clean cloud"
}
MEAN = "#d55e00"
GLOBAL = "0.25"
DRAWS = ["draw_sequence_seed", "draw_seed"]
SEEDS = ["cloud_seed", "cloud_noise_seed", *DRAWS]
KEYS = [*IDENTITY, *SETTINGS, *SEEDS]
QUANTILES = {"whislo": "q05", "q1": "q25", "med": "median", "q3": "q75", "whishi": "q95"}


@style.styled
def draw(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    scale: str = "linear",
) -> Figure:
    """Mean local ID against each setting of the measurement that takes several values in the sweep: the number of points,
    of neighbours, of sequences, the noise added to the points, the distance by which it moves the cloud, and which tokens
    are measured. Points are means over the seeds by which sequences, tokens, points and noise were drawn, bars their standard
    deviation. There is a line for each combination of the other settings, or, of more than six, for the one below the axis.
    Dashed lines are global estimates, where the sweep has them; published ranges are shaded.

    local: the summary table of local estimates, of all clouds (`cloud_number`, `n_neighbors`, `cloud_sequences`, null for
    all of them, `cloud_noise`, `hausdorff`, `cloud_tokens`, `cloud_seed`, `cloud_noise_seed`, `mean`, quantiles). global_: the
    table of global ones, of which the one named as `estimator`, or as its beginning before a "-", is drawn. reference: ranges of
    `local_dimension` against the `setting` N or M. A row
    of panels is a run at its last checkpoint, a dataset and one of `layers`, counted from the last one where negative
    (None: the last one). `estimator` is the estimate's label, or what its labels begin with before a "-"; of those that
    share all settings the first one is drawn, and of clouds that do, others being told in the log. `scale` makes the
    axis of the dimension "linear" or "log". There are at most 12 blocks of panels; models beyond are named below, and so are
    clouds of fewer than 95 % of N points (`n_points`). Settings that never vary while the others stay are left out.

    Raises ValueError if what is asked for is not in the table, or an estimate is there twice.
    """
    rows, same, other_clouds = _rows(local, estimator, models, datasets)
    rows = of_layers(at_last_checkpoint(rows), layers)
    clouds = _over_seeds(rows)
    of_global, global_name = _global(global_, estimator, models, datasets, layers)
    panels = _panels(clouds)
    if not panels:
        return style.statement(
            f"No sensitivity to draw: the table has estimates of {style.estimator_name(estimator)} with one value of each "
            "setting only. Give lists under `points:` of the sweep, as number: [500, 2000], or several n_neighbors."
        )
    blocks = list(clouds.groupby(IDENTITY, sort=False))
    blocks, left_out = blocks[:MOST_BLOCKS], [model for (model, *_), _ in blocks[MOST_BLOCKS:]]
    across, places = style.positions(len(blocks), len(panels), _least_width(len(panels)), MARGIN)
    down = places[-1][-1][0] + 1
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    inches = (width - MARGIN) / across - 0.25
    labels = {shown: _label(shown, *of_panel, inches) for shown, of_panel in panels.items()}
    drawn = style.figure(width, _height(places, panels, labels, clouds) + 0.3)
    grid = drawn.add_gridspec(down, across)
    points, shaded, dashed = [], [], False
    for (key, of_block), of_places in zip(blocks, places, strict=True):
        first = None
        for place, (shown, (others, line_values)) in zip(of_places, panels.items(), strict=True):
            axes = drawn.add_subplot(grid[place], sharey=None if shown == TOKENS else first)
            of_panel = [of_block[_equal(of_block, others, values)] for values in line_values]
            points += of_panel
            if shown == TOKENS:
                _boxes(axes, of_panel[0])
            else:
                colours = (
                    style.dark_sequence()(np.linspace(0, 1, len(line_values)))
                    if len(line_values) > 1
                    else style.categories(1)
                )
                for line, values, colour in zip(of_panel, line_values, colours, strict=True):
                    _line(axes, line, shown, colour, _named(others, values))
                dashed |= _global_lines(axes, of_global, key, shown, others, line_values)
                ranges = _published(reference, rows, key, shown)
                published.shade(axes, ranges)
                shaded.append(ranges)
                _axis(axes, shown, pd.concat(of_panel), inches)
                first = first or axes
                if place[1] > 0 and axes is not first:
                    axes.tick_params(labelleft=False)
            style.value_axis(axes, scale)
            axes.set_xlabel(labels[shown])
            if len(line_values) > 1 and of_places is places[-1]:
                _legend(axes, labels[shown].count("\n"))
            if place == of_places[0]:
                model, checkpoint, dataset, layer = key
                style.title(axes, f"{model} ({checkpoint}), {dataset}, layer\N{NO-BREAK SPACE}{layer}", inches)
    fewest, seeds = int(clouds["n_seeds"].min()), int(clouds["n_seeds"].max())
    sizes = rows if NEIGHBORS not in panels else rows.drop(columns=NEIGHBORS)
    label = style.local_label("Mean local intrinsic dimension", estimator, sizes)
    for names in filter(None, (same, other_clouds)):
        log.info("Of the same settings as what is drawn, not drawn: %s", ", ".join(names))
    style.below(
        drawn,
        f"Mean and standard deviation over {'up to ' if fewest < seeds else ''}{seeds} draws" if seeds > 1 else "",
        f"Dashed: global estimates ({style.estimator_name(global_name)})" if dashed else "",
        published.note(pd.concat(shaded)) if shaded else "",
        facts.points(rows) if NUMBER not in panels and (clouds["n_points"] == clouds[NUMBER]).all() else "",
        "Boxes: quartiles of the points, whiskers from 5 % to 95 % of them, diamonds means" if TOKENS in panels else "",
        style.undefined_note(int(rows["n_undefined"].sum()), "left out of the means").strip(),
        _fewer(pd.concat(points)),
        style.not_drawn(list(dict.fromkeys(left_out))),
    )
    if down == 1:
        label = label.replace(" intrinsic", "\nintrinsic").replace(" (", "\n(")
    style.beside(drawn, label)
    return drawn


def _rows(
    local: pd.DataFrame, estimator: str, models: Sequence[str] | None, datasets: Sequence[str] | None
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The rows of all estimates whose label begins so; and the estimates and the clouds that repeat others' settings."""
    estimators = local["estimator"].unique()
    labels = [label for label in estimators if label == estimator or label.startswith(f"{estimator}-")]
    if not labels:
        require_asked(estimators, [estimator], "estimator", "the local table")
    chosen = {"models": models, "datasets": datasets, "clouds": list(local["cloud"].unique())}
    rows, same, others = pd.DataFrame(), [], []
    for label in labels:
        of_label = rows_of(local, "local", label, **chosen)
        of_label = _of_all_draws(of_label)
        require_one_row_each(of_label, "local", [*IDENTITY, "cloud", *DRAWS])
        # Without noise the seed of the noise tells nothing apart.
        of_label = of_label.assign(cloud_noise_seed=of_label["cloud_noise_seed"].mask(of_label[NOISE] == 0))
        both = pd.concat([rows, of_label.drop_duplicates(KEYS)])
        if both.duplicated(KEYS).any():
            same.append(label)
        else:
            rows, others = both, others + _others(of_label)
    return rows, same, list(dict.fromkeys(others))


def _of_all_draws(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with datasets by their names without seeds, so that draws of one dataset are seeds of the same point."""
    if "drawn_from" not in rows:
        return rows.assign(**dict.fromkeys(DRAWS))
    return rows.assign(dataset=rows["drawn_from"].fillna(rows["dataset"]))


def _global(
    table: pd.DataFrame,
    estimator: str,
    models: Sequence[str] | None,
    datasets: Sequence[str] | None,
    layers: Sequence[int] | None,
) -> tuple[pd.DataFrame, str]:
    """Global values over the seeds, as `_over_seeds` gives them, and the label of the estimate; no rows if there is none."""
    there = list(table["estimator"].unique()) if len(table) else []
    label = next((name for name in (estimator, estimator.split("-")[0]) if name in there), None)
    if label is None:
        return pd.DataFrame(), ""
    rows = rows_of(table, "global", label, models=models, datasets=datasets, clouds=list(table["cloud"].unique()))
    rows = _of_all_draws(of_layers(at_last_checkpoint(rows), layers)).rename(columns={"value": "mean"})
    rows = rows.assign(
        **dict.fromkeys(QUANTILES.values(), np.nan), cloud_noise_seed=rows["cloud_noise_seed"].mask(rows[NOISE] == 0)
    )
    return _over_seeds(rows.drop_duplicates(KEYS).assign(**{NEIGHBORS: np.nan})), label


def _global_lines(
    axes: Axes, clouds: pd.DataFrame, key: tuple, shown: str, others: list[str], line_values: list[tuple]
) -> bool:
    """Draw the global estimates of the clouds that the lines of a panel stand for; whether there are any."""
    if clouds.empty or shown == NEIGHBORS:
        return False
    of_block = clouds[_equal(clouds, IDENTITY, key)]
    places = [place for place, other in enumerate(others) if other != NEIGHBORS]
    fixed = [others[place] for place in places]
    drawn = False
    for values in dict.fromkeys(tuple(each[place] for place in places) for each in line_values):
        line = of_block[_equal(of_block, fixed, values)]
        line = line[line["value"].notna()]
        if len(line):
            x = _places(line[shown], shown)
            order = np.argsort(x, kind="stable")
            axes.plot(x[order], line["value"].to_numpy(float)[order], color=GLOBAL, linestyle="--", linewidth=0.9)
            _bars(axes, x[order], line.iloc[order], GLOBAL)
            drawn = True
    return drawn


def _published(reference: pd.DataFrame, rows: pd.DataFrame, key: tuple, shown: str) -> pd.DataFrame:
    """Published ranges of the local dimension of one run and dataset, against what is on the axis."""
    model, _, dataset, _ = key
    group = rows.loc[rows["model"] == model, "group"].iloc[0]
    setting = SETTINGS[shown][0] if shown in SETTINGS else ""
    return published.ranges(reference, "local_dimension", group=group, dataset=dataset, setting=setting)


def _others(rows: pd.DataFrame) -> list[str]:
    """The clouds that share all settings with an earlier one and have other estimates, which those of the same points have not."""
    repeated = rows[rows.duplicated(KEYS, keep=False)]
    if repeated.empty:
        return []
    first = repeated.groupby(KEYS, sort=False, dropna=False)["mean"].transform(lambda means: means.iloc[0])
    return list(repeated.loc[~np.isclose(repeated["mean"], first, equal_nan=True), "cloud"].unique())


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each run, layer and combination of settings.

    Columns: `value` and `deviation`, mean and standard deviation (n - 1) of the defined means over the seeds of the cloud;
    `n_seeds`; the median of `n_points`; the means of `hausdorff`, 0 without noise, and of the quantiles.
    """
    distance = rows[HAUSDORFF].astype(float)
    rows = rows.assign(hausdorff=distance.mask(rows[NOISE] == 0, 0.0) if distance.notna().any() else distance)
    means = {name: (name, "mean") for name in (HAUSDORFF, *QUANTILES.values())}
    over = {"value": ("mean", "mean"), "deviation": ("mean", "std"), "n_seeds": ("mean", "size")}
    over["n_points"] = ("n_points", "median")
    return rows.groupby([*IDENTITY, *SETTINGS], sort=False, dropna=False).agg(**over, **means).reset_index()


def _panels(clouds: pd.DataFrame) -> dict[str, tuple[list[str], list[tuple]]]:
    """What each panel has on its axis, the other settings that vary, and their values on each of its lines."""
    varied = [setting for setting in SETTINGS if clouds[setting].nunique(dropna=False) > 1]
    panels = {}
    for setting in varied:
        others = [other for other in varied if other != setting]
        lines: dict[tuple, set] = {}
        for *values, value in clouds[[*others, setting]].replace({np.nan: None}).itertuples(index=False, name=None):
            lines.setdefault(tuple(values), set()).add(value)
        line_values = [values for values, taken in lines.items() if len(taken) > 1]
        if not line_values:
            continue
        if len(line_values) > MOST_LINES or setting == TOKENS:
            line_values = [max(line_values, key=lambda values: len(lines[values]))]
        panels[setting] = others, line_values
        if setting == NOISE and clouds[HAUSDORFF].notna().any():
            panels[HAUSDORFF] = others, line_values
    return panels


def _least_width(panels: int) -> float:
    """Inches of a panel, such that the rows of a block are as full as each other."""
    down = -(-panels // style.columns(panels, LEAST_WIDTH, MARGIN))
    across = -(-panels // down)
    return LEAST_WIDTH if panels == 1 else (style.TEXT_WIDTH - MARGIN) / (across + 0.01)


def _label(shown: str, others: list[str], line_values: list[tuple], inches: float) -> str:
    """What stands below a panel: what is on its axis, and at which values the others are held if it has a single line."""
    other_settings = f"({_named(others, line_values[0])})" if len(line_values) == 1 and others else ""
    lines = [fill(line, int(inches / LETTER)) for line in (TITLES[shown], other_settings) if line]
    return "\n".join(lines)


def _height(
    places: list[list[tuple[int, int]]], panels: dict[str, tuple], labels: dict[str, str], clouds: pd.DataFrame
) -> float:
    """Inches of all rows of panels, with what stands below them."""
    rows: dict[int, float] = {}
    for of_places in places:
        for (row, _), (shown, (_, line_values)) in zip(of_places, panels.items(), strict=True):
            lines = labels[shown].count("\n")
            if len(line_values) > 1:
                lines += len(line_values)
            longest = clouds[TOKENS].str.len().max() if shown == TOKENS else 0
            rows[row] = max(rows.get(row, 0), PANEL_HEIGHT + LINE * lines + LETTER * longest)
    return sum(rows.values())


def _equal(rows: pd.DataFrame, settings: list[str], values: tuple) -> np.ndarray:
    """Which rows have these values of the settings; null is equal to null."""
    same = np.ones(len(rows), dtype=bool)
    for setting, value in zip(settings, values, strict=True):
        same &= (rows[setting].isna() if pd.isna(value) else rows[setting] == value).to_numpy()
    return same


def _fewer(points: pd.DataFrame) -> str:
    """In words which of the drawn points stand for clouds of fewer points than asked for, and of how many; empty for none.

    A value of one setting stands for all of its clouds where they all are; other clouds are named by all settings.
    """
    points = points[~points.index.duplicated()]
    few = points["n_points"] < LEAST_SHARE * points[NUMBER]
    varied = [s for s in (TOKENS, SEQUENCES, NUMBER) if points[s].nunique(dropna=False) > 1] or [NUMBER]
    said = []
    for settings in (*([setting] for setting in varied), varied):
        for values, rows in points.groupby(settings, sort=False, dropna=False):
            left = rows[few[rows.index]]
            if len(left) and (len(left) == len(rows) or settings is varied):
                sizes = [f"{size:,.0f}" for size in sorted({left["n_points"].min(), left["n_points"].max()})]
                names = [
                    _named([s], (value,), "" if s == TOKENS else " = ")
                    for s, value in zip(settings, values, strict=True)
                ]
                said.append(f"{', '.join(names)} ({' – '.join(sizes)})")
                points, few = points.drop(left.index), few.drop(left.index)
    return f"(fewer points than N: {', '.join(said)})" if said else ""


def _named(settings: list[str], values: tuple, equals: str = " = ") -> str:
    """Settings in print, as "N = 500, σ = 0.1", or their values alone."""
    written = [_written(setting, value) for setting, value in zip(settings, values, strict=True)]
    names = [f"{SETTINGS[setting][0]}{equals}" if equals else "" for setting in settings]
    each = [f"{name}{value}".replace(" ", "\N{NO-BREAK SPACE}") for name, value in zip(names, written, strict=True)]
    return ", ".join(each)


def _written(setting: str, value: object) -> str:
    if pd.isna(value):
        return "all" if setting == SEQUENCES else "none"
    if isinstance(value, str):
        return value
    return f"{value:g}" if setting in (NOISE, HAUSDORFF) else style.step_label(value)


def _line(axes: Axes, line: pd.DataFrame, shown: str, colour: object, label: str) -> None:
    x = _places(line[shown], shown)
    order = np.argsort(x, kind="stable")
    x, line = x[order], line.iloc[order]
    axes.plot(x, line["value"].to_numpy(float), color=colour, marker="o", markersize=2.5, label=label)
    _bars(axes, x, line, colour)


def _bars(axes: Axes, x: np.ndarray, rows: pd.DataFrame, colour: object) -> None:
    """Standard deviations over the seeds, of what has several."""
    several = rows["deviation"].notna().to_numpy()
    if several.any():
        values, deviations = (rows.loc[several, name].to_numpy(float) for name in ("value", "deviation"))
        axes.errorbar(x[several], values, deviations, fmt="none", ecolor=colour, elinewidth=0.7, capsize=1.5, zorder=3)


def _places(values: pd.Series, shown: str) -> np.ndarray:
    """Where values stand on their axis; all sequences, a null, beyond the largest number of them."""
    places = values.to_numpy(float, na_value=np.nan)
    return np.where(np.isnan(places), 2 * np.nanmax(places), places) if shown == SEQUENCES else places


def _axis(axes: Axes, shown: str, rows: pd.DataFrame, inches: float) -> None:
    """Ticks at the values themselves, as far as there is room; round ones for distances."""
    values = rows[shown].drop_duplicates()
    places = np.unique(_places(values, shown)[~np.isnan(_places(values, shown))])
    if shown in (NOISE, HAUSDORFF):
        smallest = places[places > 0].min(initial=np.inf)
        axes.set_xscale("symlog", linthresh=smallest if np.isfinite(smallest) else 1.0, linscale=0.5)
    else:
        axes.set_xscale("log", base=2 if shown == NEIGHBORS else 10)
    low, high = axes.get_xlim()
    ticks = _round(places) if shown == HAUSDORFF else places
    at = axes.xaxis.get_transform().transform(np.array([*ticks, low, high], dtype=float))
    at = (at[:-2] - at[-2]) / (at[-1] - at[-2]) * inches
    ticks = ticks[_apart(at)]
    labels = [_written(shown, tick) for tick in ticks]
    if shown == SEQUENCES and values.isna().any():
        labels[-1] = "all"
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticks(ticks, labels)
    axes.xaxis.set_minor_locator(NullLocator())


def _round(values: np.ndarray) -> np.ndarray:
    """0 and powers of ten among the values, or 1, 2, 5, 10 … where these are fewer than three."""
    positive = values[values > 0]
    powers = np.arange(np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max())) + 1)
    for factors in ([1.0], [1.0, 2.0, 5.0]):
        ticks = np.array([factor * 10**power for power in powers for factor in factors])
        ticks = ticks[(ticks >= positive.min()) & (ticks <= positive.max())]
        ticks = np.concatenate([values[values == 0], ticks])
        if len(ticks) >= 3:
            break
    return ticks


def _apart(at: np.ndarray) -> list[int]:
    """Which of sorted places, in inches, keep room for a label: the last one first, the others from left to right."""
    kept: list[int] = []
    for place in range(len(at) - 1):
        if at[-1] - at[place] >= LABEL_WIDTH and (not kept or at[place] - at[kept[-1]] >= LABEL_WIDTH):
            kept.append(place)
    return [*kept, len(at) - 1]


def _boxes(axes: Axes, rows: pd.DataFrame) -> None:
    rows = rows[rows["value"].notna()]
    boxes = [{key: row[name] for key, name in QUANTILES.items()} | {"fliers": []} for row in rows.to_dict("records")]
    places = np.arange(len(rows))
    colour = style.categories(1)[0]
    line = {"color": "0.3", "linewidth": 0.7}
    axes.bxp(
        boxes,
        positions=places,
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": (*colour, 0.35), "edgecolor": "0.3", "linewidth": 0.7},
        medianprops={"color": "black", "linewidth": 1.0},
        whiskerprops=line,
        capprops=line,
    )
    axes.plot(places, rows["value"].to_numpy(float), color=MEAN, marker="D", markersize=2.5, linestyle="none", zorder=3)
    _bars(axes, places, rows, MEAN)
    axes.set_xticks(places, rows[TOKENS], rotation=90)
    axes.set_xlim(-0.6, len(rows) - 0.4)


def _legend(axes: Axes, further_lines: int) -> None:
    """What the lines are, below the label of the axis."""
    down = 0.37 + 0.13 * further_lines
    below = axes.transAxes + ScaledTranslation(0, -down, axes.figure.dpi_scale_trans)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        handlelength=1.2,
        labelspacing=0.2,
        borderaxespad=0,
    )
