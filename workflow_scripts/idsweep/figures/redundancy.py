"""How many of a representation's dimensions are redundant: against the size of the model, or over training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from idsweep.drawing import bands, facts, over_training, published, style
from idsweep.drawing.selection import at_last_checkpoint, of_representations, over_seeds, require_asked
from idsweep.files.representations import VOCABULARY

NEEDS = {"texts": False}
MATRICES = {"input_embeddings", "output_embeddings"}
PANEL = ["estimator", "representation", "dataset"]
ROW_HEIGHT = 1.7
LEAST_WIDTH = 2.1
MARGIN = 0.8
MOST_MODELS = 30
MOST_PANELS = 12
TELLABLE = 10  # colours that do not come in an order
AGAINST = ("size", "step", None)
FEW_MODELS = {"size": 4, "step": 6}  # whose names fit into a column's width
LACKING = {"size": "a known size", "step": "several known steps"}
LEGEND_LETTER, LEGEND_LINE = 0.06, 0.16
SCOPES = {"global": "global", "local": "mean local"}
DASHES = {"global": "-", "local": "--"}
MARKERS = {False: "o", True: "D"}  # True: static vectors
KINDS = {False: "language models", True: "static vectors"}
MARK_SIZE = 4.5
DISTANCES = (2, 5, 9, 14, 20, 28, 38, 50, 64, 80, 100, 120)  # in points, at which a free place for a name is looked for
ANGLES = np.deg2rad([90, 0, 270, 180, 45, 135, 315, 225, 20, 160, 340, 200, 70, 110, 290, 250])
NEAR = 5  # points; names farther than that have a line to their point
GAP = 1.5  # points between names, and around marks
GROWTH, HIGHEST = 1.2, 7.0  # inches, of panels whose names need room


@dataclass
class Part:
    """A figure, or a part of it as wide as itself, that is to grow from no height."""

    drawn: Figure
    figure: Figure | SubFigure
    width: float  # inches
    heights: list[float]  # inches, of all parts from top to bottom
    place: int
    grid: GridSpec | None = None  # of the parts, where there are several

    def grow(self, inches: float) -> None:
        self.heights[self.place] += inches
        self.drawn.set_figheight(sum(self.heights))
        if self.grid is not None:
            self.grid.set_height_ratios([max(height, 1e-3) for height in self.heights])

    def below(self, *lines: str) -> None:
        """As `style.below`; the room for the first line is not added."""
        text = style.fitting(self.width, *lines)
        self.figure.supxlabel(text, fontsize=style.NORMAL)
        self.grow(style.LINE * text.count("\n"))


@style.styled
def draw(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    estimators: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    representations: Sequence[str] = ("input_embeddings",),
    against: str | None = None,
    static: Sequence[str] | None = None,
    steps: str = "symlog",
    scale: str = "linear",
    band: bool | str = True,
) -> Figure:
    """Intrinsic dimension of embedding matrices (above) and their redundancy 1 − ID / D (below), D being the extrinsic
    dimension: against the number of parameters, at each model's last checkpoint, and over training. Means of the local
    estimates and global values are told apart by their looks; bars and bands are 95 % intervals, or, where a model has
    several seeds, go from the lowest to the highest of them around their median.

    local and global_: the summary table of local estimates (`mean`, …) and the table of global ones (`value`, …). reference: ranges
    of `redundancy` are shaded. A column of
    panels for each of `estimators` (None: all that were made of them), `representations` and datasets. `against` is "size"
    or "step" (None: one below the other, where there is something); models without a known size, or, of "step" alone, without
    several steps, are named below, and so are those beyond 30. `static` names the models that are static vectors, to mark them apart from
    language models. `steps` makes the axis of the steps "symlog" (linear up to 1 and logarithmic beyond), "linear" or "log",
    which has no place for step 0; `scale` makes that of the dimension "linear" or "log"; `band: false` leaves out the bands.

    Raises ValueError if what is asked for is not in the tables, or if there are more than 12 columns of panels.
    """
    if against not in AGAINST:
        raise ValueError(
            f"against = {against!r} is not known; it must be size or step, or null to choose by the table."
        )
    if set(representations) <= MATRICES and not {*local["representation"], *global_["representation"]} & {
        *representations
    }:
        return style.statement(
            f"No redundancy to draw: {' and '.join(representations)} were not measured. Add them to the layers of the "
            "sweep, as layers: [input_embeddings], or choose others by the option representations."
        )
    rows = of_representations(local, global_, representations, models=models)
    if estimators is not None:
        require_asked(
            rows["estimator"], estimators, "estimator", "the local and global tables of these representations"
        )
        rows = pd.concat([rows[rows["estimator"] == estimator] for estimator in estimators])
    rows = rows.assign(static=rows["group"].map(_static(rows, static)))
    several = rows["group"].map(rows.groupby("group")["step"].nunique() > 1)
    of_sizes = at_last_checkpoint(rows).assign(place=lambda last: last["n_parameters"])
    of_steps = over_training.on_axis(rows[several].assign(place=rows["step"]), steps)
    blocks = {"size": of_sizes, "step": of_steps}
    blocks = {kind: of_kind[of_kind["place"].notna()] for kind, of_kind in blocks.items() if against in (None, kind)}
    blocks = {kind: of_kind for kind, of_kind in blocks.items() if len(of_kind)}
    if not blocks:
        kind = against or "size"
        return style.statement(f"No redundancy against the {kind} to draw: no model has {LACKING[kind]}.")
    ranges = published.ranges(reference, "redundancy")
    notes = {
        kind: [*_notes(rows, of_kind, kind, len(blocks) == 1), published.note(ranges)]
        for kind, of_kind in blocks.items()
    }
    kept = {kind: of_kind[of_kind["group"].isin(_kept(of_kind))] for kind, of_kind in blocks.items()}
    parts = _parts({kind: _width(of_kind, kind) for kind, of_kind in kept.items()})
    keys = ["group", "checkpoint", *PANEL, "scope"]
    if "step" in kept:
        _over_steps(parts["step"], over_seeds(kept["step"], "value", keys, band), steps, scale, notes["step"], ranges)
    if "size" in kept:
        _of_sizes(parts["size"], over_seeds(kept["size"], "value", keys), scale, notes["size"], ranges)
    return next(iter(parts.values())).drawn


def _kept(rows: pd.DataFrame) -> list[str]:
    return list(rows["group"].unique())[:MOST_MODELS]


def _notes(rows: pd.DataFrame, placed: pd.DataFrame, kind: str, alone: bool) -> list[str]:
    """What a block leaves out; `placed`: those of the rows that have a place in it. `alone`: whether there is no other."""
    there, kept = list(placed["group"].unique()), _kept(placed)
    unplaced = [group for group in rows["group"].unique() if group not in there]
    return [
        facts.points(placed),
        style.undefined_note(int(placed.loc[placed["group"].isin(kept), "n_undefined"].sum()), "left out").strip(),
        style.not_drawn(unplaced if alone or kind == "size" else [], f", without {LACKING[kind]}"),
        style.not_drawn(there[len(kept) :]),
    ]


def _width(rows: pd.DataFrame, kind: str) -> float:
    """How wide the paper of a block is, in inches."""
    alone = _shape(rows)[0] == 1 and rows["group"].nunique() <= FEW_MODELS[kind]
    return style.COLUMN_WIDTH if alone else style.TEXT_WIDTH


def _parts(widths: dict[str, float]) -> dict[str, Part]:
    """The blocks below each other in one figure, or a single one as the figure."""
    width, heights = max(widths.values()), [0.0] * len(widths)
    drawn = style.figure(width, 1)
    if len(widths) == 1:
        return {kind: Part(drawn, drawn, width, heights, 0) for kind in widths}
    grid = drawn.add_gridspec(len(widths), 1)
    return {
        kind: Part(drawn, drawn.add_subfigure(grid[place]), width, heights, place, grid)
        for place, kind in enumerate(widths)
    }


def _static(rows: pd.DataFrame, names: Sequence[str] | None) -> dict[str, bool]:
    """Which groups are static vectors, by the names of groups or runs."""
    names = [] if names is None else list(names)
    found = rows["group"].isin(names) | rows["model"].isin(names)
    return found.groupby(rows["group"]).any().to_dict()


def _panels(part: Part, rows: pd.DataFrame, across: int, scale: str) -> list[tuple[Axes, Axes, pd.DataFrame]]:
    """The upper and the lower panel of each column, and its rows; the columns of a block share their axes."""
    columns = [of_column for _, of_column in rows.groupby(PANEL, sort=False)]
    grid = part.figure.add_gridspec(2 * -(-len(columns) // across), across)
    panels: list[tuple[Axes, Axes, pd.DataFrame]] = []
    for place, of_column in enumerate(columns):
        block, column = divmod(place, across)
        upper_first, lower_first = panels[0][:2] if panels else (None, None)
        upper = part.figure.add_subplot(grid[2 * block, column], sharex=upper_first, sharey=upper_first)
        lower = part.figure.add_subplot(grid[2 * block + 1, column], sharex=upper_first or upper, sharey=lower_first)
        style.title(upper, _title(of_column), (part.width - MARGIN) / across)
        style.label_outer(upper, "Intrinsic dimension", column == 0)
        style.label_outer(lower, "Redundancy 1 − ID / D", column == 0)
        upper.tick_params(labelbottom=False)
        panels.append((upper, lower, of_column))
    style.value_axis(panels[0][0], scale)
    panels[0][1].yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.6g} %"))
    return panels


def _title(rows: pd.DataFrame) -> str:
    estimator, representation, dataset = rows[PANEL].iloc[0]
    name = representation.replace("_", " ").capitalize()
    parts = [name] if dataset == VOCABULARY else [name, dataset]
    of_local = rows[rows["scope"] == "local"]
    return style.local_label(", ".join(parts), estimator, rows if of_local.empty else of_local)


def _shape(rows: pd.DataFrame) -> tuple[int, int]:
    """How many columns of panels stand side by side, and how many rows of such columns below each other."""
    count = len(rows[PANEL].drop_duplicates())
    if count > MOST_PANELS:
        raise ValueError(
            f"{count} estimators, representations and datasets are more than the {MOST_PANELS} columns of panels that can be "
            "read: choose some with the options estimators, models and representations."
        )
    across = style.columns(count, LEAST_WIDTH, MARGIN)
    return across, -(-count // across)


def _redundancy(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the redundancy as `value`, between `low` and `high`."""
    share = {name: 1 - rows[name] / rows["extrinsic_dimension"] for name in ("value", "low", "high")}
    return rows.assign(value=share["value"], low=share["high"], high=share["low"])


# ---- over training


def _over_steps(part: Part, rows: pd.DataFrame, steps: str, scale: str, notes: list[str], ranges: pd.DataFrame) -> None:
    """A line for each model and scope, over published ranges of the redundancy."""
    models = rows.drop_duplicates("group").set_index("group")
    colours = _colours(models["n_parameters"])
    labels = {group: _label(rows[rows["group"] == group]) for group in models.index}
    across, down = _shape(rows)
    scopes = [scope for scope in SCOPES if (rows["scope"] == scope).any()]
    handles = [Line2D([], [], color=colours[group], label=label) for group, label in labels.items()]
    handles += [Line2D([], [], color=style.GREY, linestyle=DASHES[scope], label=SCOPES[scope]) for scope in scopes]
    handles += bands.handles(rows["band"].replace(bands.OF_ESTIMATES))
    longest = max(len(handle.get_label()) for handle in handles)
    in_a_row = max(1, min(4, int(part.width / (0.45 + LEGEND_LETTER * longest))))
    lines = -(-len(handles) // in_a_row)
    part.grow(2 * ROW_HEIGHT * down + LEGEND_LINE * lines + 0.5)
    panels = _panels(part, rows, across, scale)
    for upper, lower, of_panel in panels:
        published.shade(lower, ranges)
        for axes, shown in ((upper, of_panel), (lower, _redundancy(of_panel))):
            for (group, scope), line in shown.groupby(["group", "scope"], sort=False):
                line, look = line.sort_values("place"), {"color": colours[group], "linestyle": DASHES[scope]}
                over_training.curve(axes, line.rename(columns={"value": "middle"}), look)
    over_training.step_axis(panels[0][0], rows["place"].astype(float), steps)
    part.below("Training step", *notes)
    part.figure.legend(handles=handles, loc="outside upper center", ncols=in_a_row, handlelength=2.4)


def _label(rows: pd.DataFrame) -> str:
    """A model's name, D and number of seeds for the legend."""
    widths = ", ".join(map(str, rows["extrinsic_dimension"].astype(int).unique()))
    return f"{rows['group'].iloc[0]} (D = {widths}){style.seeds_note(rows['n_seeds'].max())}"


def _colours(sizes: pd.Series) -> dict[str, tuple]:
    """A colour for each model: its place in the order of sizes where there are three, or more than ten models; else one of ten."""
    if len(sizes) <= TELLABLE and (sizes.isna().any() or sizes.nunique() < 3):
        return dict(zip(sizes.index, style.categories(len(sizes)), strict=True))
    order = sizes.sort_values(kind="stable").index
    shades = style.dark_sequence()(np.linspace(0, 1, len(sizes)))
    return {group: tuple(shade) for group, shade in zip(order, shades, strict=True)}


# ---- against the size


def _of_sizes(part: Part, rows: pd.DataFrame, scale: str, notes: list[str], ranges: pd.DataFrame) -> None:
    """A point for each model and scope, over published ranges of the redundancy, with the model's name beside it above and D below: when all other parts are drawn."""
    across, down = _shape(rows)
    kinds = [kind for kind in KINDS if (rows["static"] == kind).any()]
    scopes = [scope for scope in SCOPES if (rows["scope"] == scope).any()]
    part.grow(2 * ROW_HEIGHT * down + LEGEND_LINE + 0.4)
    panels = _panels(part, rows, across, scale)
    colours = dict(zip(KINDS, style.categories(2), strict=True))
    for upper, lower, of_panel in panels:
        published.shade(lower, ranges)
        for axes, shown in ((upper, of_panel), (lower, _redundancy(of_panel))):
            for (kind, scope), points in shown.groupby(["static", "scope"], sort=False):
                _points(axes, points, _mark(colours[kind], scope, MARKERS[kind]))
            axes.margins(y=0.2)
    _size_axis(panels[0][0], rows["place"])
    part.below("Parameters", *notes)
    handles = [_handle(_mark(colours[kind], "global", MARKERS[kind]), KINDS[kind]) for kind in kinds if len(kinds) > 1]
    kind = kinds[0] if len(kinds) == 1 else False
    colour = colours[kind] if len(kinds) == 1 else style.GREY
    handles += [_handle(_mark(colour, scope, MARKERS[kind]), SCOPES[scope]) for scope in scopes]
    in_a_row = 2 if part.width < style.TEXT_WIDTH else 4
    part.figure.legend(handles=handles, loc="outside upper center", ncols=in_a_row, handletextpad=0.3)
    _write_names(part, panels)


def _mark(colour: object, scope: str, marker: str) -> dict:
    """Full for global values, hollow for local means."""
    face = colour if scope == "global" else "white"
    return {"color": colour, "marker": marker, "markerfacecolor": face, "markersize": MARK_SIZE, "linestyle": "none"}


def _handle(mark: dict, label: str) -> Line2D:
    return Line2D([], [], **mark, label=label)


def _points(axes: Axes, rows: pd.DataFrame, mark: dict) -> None:
    errors = np.array([rows["value"] - rows["low"], rows["high"] - rows["value"]], dtype=float)
    axes.errorbar(rows["place"].astype(float), rows["value"], errors, elinewidth=0.7, **mark)


def _size_axis(axes: Axes, sizes: pd.Series) -> None:
    """Make x a logarithmic axis of numbers of parameters, with room for names at both ends."""
    low, high = float(sizes.min()), float(sizes.max())
    margin = max((high / low) ** 0.09, 1.5)
    low, high = low / margin, high * margin
    axes.set(xscale="log", xlim=(low, high))
    decades = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2 else (1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _size(size)))


def _size(size: float) -> str:
    """A number of parameters in print: 500k, 70M, 1.4B."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return f"{size:g}"


def _write_names(part: Part, panels: list[tuple[Axes, Axes, pd.DataFrame]]) -> None:
    """Write the models' names beside their points, for which the upper panels grow, and each D below where there is room."""
    grid = panels[0][0].get_gridspec()
    height = ROW_HEIGHT
    while True:
        part.drawn.draw_without_rendering()
        written = [_beside(upper, rows, rows["group"]) for upper, _, rows in panels]
        if all(complete for _, complete in written):
            break
        if height > HIGHEST:
            raise ValueError("There is no room for the names of all models: choose some with the option models.")
        for artists, _ in written:
            for artist in artists:
                artist.remove()
        part.grow((GROWTH - 1) * height * grid.nrows / 2)
        height *= GROWTH
        grid.set_height_ratios([height, ROW_HEIGHT] * (grid.nrows // 2))
    for _, lower, rows in panels:
        _beside(lower, _redundancy(rows), "D = " + rows["extrinsic_dimension"].astype(int).astype(str), DISTANCES[:5])


def _beside(
    axes: Axes, rows: pd.DataFrame, texts: pd.Series, distances: Sequence[float] = DISTANCES
) -> tuple[list, bool]:
    """Write a text beside a point of each model, off all marks and other texts; returns what was drawn.

    And whether there was room for all. The panel must have been laid out.
    """
    point = axes.figure.dpi / 72
    renderer = axes.figure.canvas.get_renderer()
    to_pixels, frame = axes.transData.transform, axes.get_window_extent().extents
    shown = rows.assign(text=texts)[np.isfinite(rows["value"].astype(float))]
    size = (MARK_SIZE / 2 + GAP) * point
    taken = []
    for place, value, low, high in shown[["place", "value", "low", "high"]].astype(float).itertuples(index=False):
        x, y = to_pixels((place, value))
        taken.append((x - size, y - size, x + size, y + size))
        if np.isfinite(low) and np.isfinite(high):
            (_, bottom), (_, top) = to_pixels([(place, low), (place, high)])
            taken.append((x - GAP * point, bottom, x + GAP * point, top))
    written, leaders = [], []
    complete = True
    for _, of_model in shown.sort_values("place", kind="stable").groupby("group", sort=False):
        x, text = of_model[["place", "text"]].iloc[0]
        marks = to_pixels(of_model[["place", "value"]].to_numpy(dtype=float))
        label = axes.annotate(
            text, (x, of_model["value"].iloc[0]), (0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=style.SMALL, color="0.25", zorder=5,
        )  # fmt: skip
        label.set_in_layout(False)
        written.append(label)
        extent = label.get_window_extent(renderer)
        half = np.array([extent.width / 2, extent.height / 2]) + GAP * point / 2
        found = _free_place(marks, half, np.array(taken), leaders, frame, point, distances)
        if found is None:
            complete = False
            written.pop().remove()
            continue
        middle, leader = found
        label.xyann = tuple((middle - marks[0]) / point)
        taken.append((*(middle - half), *(middle + half)))
        if leader is not None:
            leaders.append(leader)
    to_data = axes.transData.inverted().transform
    lines = LineCollection([to_data(leader) for leader in leaders], colors=style.GREY, linewidths=0.4, zorder=1)
    lines.set_in_layout(False)
    axes.add_collection(lines, autolim=False)
    return [*written, lines], complete


def _free_place(
    marks: np.ndarray,
    half: np.ndarray,
    taken: np.ndarray,
    leaders: list[np.ndarray],
    frame: np.ndarray,
    point: float,
    distances: Sequence[float],
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The middle of a free box near one of the marks, and the line from the mark to it where it is far; None if there is none.

    All in pixels. half: half the width and height of the box. taken: (n, 4), left, bottom, right, top of what is there.
    """
    on_leaders = np.concatenate([np.linspace(*leader, 20) for leader in leaders]) if leaders else np.empty((0, 2))
    directions = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    reach = half + point * np.array(distances)[:, None]
    middles = marks[:, None] + reach[:, None, None] * directions  # (distances, marks, angles, 2)
    at_marks = np.broadcast_to(marks[:, None], middles.shape).reshape(-1, 2)
    middles = middles.reshape(-1, 2)
    lows, highs = middles - half, middles + half
    free = (lows >= frame[:2]).all(axis=1) & (highs <= frame[2:]).all(axis=1)
    free &= ~_overlap(lows, highs, taken[:, :2], taken[:, 2:]) & ~_overlap(lows, highs, on_leaders, on_leaders)
    for at, middle, low, high in zip(at_marks[free], middles[free], lows[free], highs[free], strict=True):
        end = np.clip(at, low, high)
        away = np.hypot(*(end - at))
        if away <= (MARK_SIZE / 2 + NEAR) * point:
            return middle, None
        start = at + (end - at) * (MARK_SIZE / 2 + GAP) * point / away
        along = np.linspace(start, end, 20)[1:-1]
        others = taken[~((taken[:, :2] < at) & (taken[:, 2:] > at)).all(axis=1)]
        if not _overlap(along, along, others[:, :2], others[:, 2:]).any():
            return middle, np.array([start, end])
    return None


def _overlap(lows: np.ndarray, highs: np.ndarray, other_lows: np.ndarray, other_highs: np.ndarray) -> np.ndarray:
    """Which boxes, (n, 2) and (n, 2), overlap any of the others, (m, 2) and (m, 2); bool (n,)."""
    return ((lows[:, None] < other_highs) & (highs[:, None] > other_lows)).all(axis=2).any(axis=1)
