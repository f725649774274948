"""The data against clouds without their structure, over layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from idsweep.drawing import bands, facts, style
from idsweep.drawing.selection import axis_label, last_of_both
from idsweep.neighbors.variants import DATA, NULLS

NEEDS = {"texts": False}
ROW_HEIGHT = 1.1
LEAST_WIDTH = 1.5
MARGIN = 0.8
BESIDE = 0.15  # between the points of a single layer
MOST_PANELS = 40
LONGEST = 22  # letters of a line of a label
CLOUD = ["group", "checkpoint", "dataset"]
ESTIMATE = ["estimator", "scope"]
COVARIANCE = ("participation_ratio", "effective_rank", "stable_rank", "lpca")  # estimators that read eigenvalues of it
AT_CEILING = 0.99  # of L − 1, which no estimate from the covariance of L neighbours exceeds
LABELS = {DATA: "data", "gaussian": "Gaussian null", "permuted": "permuted null"}


@style.styled
def draw(
    local: pd.DataFrame,
    global_: pd.DataFrame,
    *,
    estimators: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    scale: str = "linear",
) -> Figure:
    """The data against their nulls over layers: a row per estimate, a column per model's last checkpoint and dataset.
    The Gaussian null has the data's mean and covariance and nothing else, the permuted one shuffles each coordinate
    by itself; bands are 95 % intervals, or, where a model has several seeds, go from the lowest to the highest of them
    around their median. What lies below the Gaussian null is curvature or clustering beyond linear spread. Not drawn: the
    Gaussian null of global estimates that are read off the covariance, which is the data's own, and estimates at their ceiling,
    as local PCA of L neighbours at L − 1.

    local and global_: the summary table of local estimates (`mean`, …) and the table of global ones (`value`, …),
    both with `group`, `variant` and `standard_error`. `estimators` takes both scopes of those named. A row has one axis for
    all its panels, which `scale` makes "linear" or "log".

    Raises ValueError if what is asked for is not in the tables, or if there are more than 40 panels.
    """
    rows = last_of_both(local, global_, estimators=estimators, models=models, datasets=datasets)
    shown = [name for name in (DATA, *NULLS) if (rows["variant"] == name).any()]
    if not set(shown) & set(NULLS):
        return style.statement(
            "No nulls to compare the data with: none were measured. "
            "Add them to the configuration of the sweep, as nulls: [gaussian, permuted]."
        )
    rows, notes = _telling(rows[rows["variant"].isin(shown)])
    if rows.empty:
        return style.statement(f"No nulls that tell anything beside the data: {' '.join(notes)}.")
    shown = [name for name in shown if (rows["variant"] == name).any()]
    kinds = [of_kind for _, of_kind in rows.groupby(ESTIMATE, sort=False)]
    clouds = list(rows[CLOUD].drop_duplicates().itertuples(index=False, name=None))
    if len(kinds) * len(clouds) > MOST_PANELS:
        raise ValueError(
            f"{len(kinds)} estimates × {len(clouds)} models and datasets are more than the {MOST_PANELS} panels that "
            "can be read: choose some with the options estimators, models and datasets."
        )
    across = style.columns(len(clouds), LEAST_WIDTH)
    down = -(-len(clouds) // across)
    width = style.COLUMN_WIDTH if across == 1 else style.TEXT_WIDTH
    inches = (width - MARGIN) / across
    drawn = style.figure(width, (ROW_HEIGHT * len(kinds) + 0.45) * down + 0.5)
    grid = drawn.add_gridspec(len(kinds) * down, across)
    for row, of_kind in enumerate(kinds):
        first = None
        for place, cloud in enumerate(clouds):
            band, column = divmod(place, across)
            axes = drawn.add_subplot(grid[band * len(kinds) + row, column], sharey=first)
            first = first or axes
            layers = sorted(rows.loc[rows["group"] == cloud[0], "layer"].unique())
            of_cloud = of_kind[(of_kind[CLOUD] == list(cloud)).all(axis=1)]
            _curves(axes, of_cloud, shown, layers)
            style.layer_ticks(axes, layers, "x", inches, 0.2)
            axes.tick_params(labelbottom=row == len(kinds) - 1)
            if row == 0:
                seeds = style.seeds_note(of_cloud["n_seeds"].max())
                size = facts.of_panel(of_cloud[of_cloud["variant"] == DATA], rows[rows["variant"] == DATA])
                style.title(axes, f"{cloud[0]} ({cloud[1]}){seeds},\n{cloud[2]}{size}", inches)
            style.label_outer(axes, _label(of_kind), column == 0)
        style.value_axis(first, scale)
    undefined = style.undefined_note(int(rows["n_undefined"].sum()), "left out").strip()
    style.below(drawn, axis_label(rows["layer"]), facts.below(rows[rows["variant"] == DATA]), undefined, *notes)
    style.beside(drawn, "Intrinsic dimension")
    handles = [Line2D([], [], **look, label=LABELS[name]) for name, look in _looks(shown).items()]
    handles += bands.handles(rows["band"].replace(bands.OF_ESTIMATES))
    if rows.groupby("group")["layer"].nunique().max() == 1:
        for handle in handles:
            handle.set_label(handle.get_label().replace("band: ", "bars: "))
    ncols = len(handles) if width > style.COLUMN_WIDTH else 2
    drawn.legend(handles=handles, loc="outside upper center", ncols=ncols, handlelength=2.6)
    return drawn


def _telling(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows that can tell the data from a null, and notes that name the estimates of which some were left out."""
    of_covariance = rows["estimator"].str.split("-").str[0].isin(COVARIANCE)
    own_covariance = of_covariance & (rows["scope"] == "global") & (rows["variant"] == "gaussian")
    ceiling = pd.to_numeric(rows["n_neighbors"]) - 1 if "n_neighbors" in rows else np.nan
    high = of_covariance & (rows["scope"] == "local") & (rows["value"] >= AT_CEILING * ceiling)
    at_ceiling = high.groupby([rows[key] for key in (*CLOUD, *ESTIMATE, "variant")]).transform("all")
    kept = rows[~own_covariance & ~at_ceiling]
    variants = kept.groupby(ESTIMATE)["variant"]
    compared = variants.transform(lambda names: DATA in set(names) and len(set(names)) > 1)
    notes = {
        "Gaussian null not drawn, since it has the data's own covariance": rows[own_covariance],
        "curves at their ceiling, L − 1, not drawn": rows[at_ceiling],
    }
    named = {
        why: list(dict.fromkeys(map(_named, of_note["estimator"], of_note["scope"]))) for why, of_note in notes.items()
    }
    return kept[compared.astype(bool)], [f"({why}: {', '.join(names)})" for why, names in named.items() if names]


def _named(estimator: str, scope: str) -> str:
    return f"{scope} {style.estimator_name(estimator)}" if scope == "global" else style.estimator_name(estimator)


def _looks(shown: Sequence[str]) -> dict[str, dict]:
    colours = dict(zip((DATA, *NULLS), style.categories(1 + len(NULLS)), strict=True))
    dashes = dict(zip((DATA, *NULLS), ("-", "--", ":"), strict=True))
    return {name: {"color": colours[name], "linestyle": dashes[name]} for name in shown}


def _curves(axes: Axes, rows: pd.DataFrame, shown: Sequence[str], layers: Sequence[int]) -> None:
    places = np.arange(len(layers))
    for name, look in _looks(shown).items():
        of_name = rows[rows["variant"] == name]
        if of_name.empty:
            continue
        line = of_name.set_index("layer").reindex(layers)
        if len(layers) == 1:  # no curve: points side by side, with bars
            apart = BESIDE * (shown.index(name) - (len(shown) - 1) / 2)
            error = (line["value"] - line["low"], line["high"] - line["value"])
            axes.errorbar(
                places + apart, line["value"], error, color=look["color"], marker="o", markersize=3, linewidth=1
            )
            continue
        axes.fill_between(places, line["low"], line["high"], color=look["color"], alpha=0.2, linewidth=0)
        axes.plot(places, line["value"], **look, marker="o" if len(layers) <= 13 else None, markersize=2)
    axes.set_xlim(-0.4, len(layers) - 0.6)


def _label(rows: pd.DataFrame) -> str:
    estimator = rows["estimator"].iloc[0]
    if rows["scope"].iloc[0] == "global":
        name = style.with_neighbors(estimator, rows)
        return f"Global\n({name if len(name) <= LONGEST else name.replace(', L', f',{chr(10)}L')})"
    return style.local_label("Mean local", estimator, rows).replace(" (", "\n(", 1)
